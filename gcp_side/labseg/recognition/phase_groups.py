"""Which series may be phases of one acquisition: alike in geometry and timing, rounding aside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gcp_side.labseg.recognition import words
from gcp_side.labseg.recognition.attributes import SeriesAttributes
from segrelay.dicom.acquisition import all_same, dixon_image, is_computed, is_same

FAST_ECHO_MS = 10.0
FAST_REPETITION_MS = 50.0
"""A fast gradient echo, as every T1-weighted dynamic acquisition is, has times below these."""

FASTEST_PHASES = 3
FAST_RUN = timedelta(seconds=20)
"""A run of images at shorter intervals shows the inflow of contrast, beside the phases proper."""

_DIXON_ORDER = ("water", "", "in-phase", "opposed-phase", "fat")
"""Which images of a Dixon acquisition are taken first: fat is dark in water images, as it is in
the fat-suppressed images that the others are compared with."""


@dataclass(frozen=True)
class PhaseGroup:
    """Series that are alike, at least two."""

    series: tuple[SeriesAttributes, ...]
    is_named: bool
    """Every description names a dynamic acquisition."""
    dixon: str
    """Which images of a Dixon acquisition they are; empty where none."""
    is_derived: bool
    """Computed from other images, and the study has originals beside them."""

    @property
    def rank(self) -> tuple[bool, bool, bool, int, int]:
        """The likeliest group has the highest: by name, then by number.

        A DCE study has more phases than anything else is repeated.
        """
        place = _DIXON_ORDER.index(self.dixon)
        is_usual = self.dixon in ("water", "")
        return not self.is_derived, self.is_named, is_usual, len(self.series), -place


def phase_candidates(series: Sequence[SeriesAttributes]) -> list[SeriesAttributes]:
    """Those that may be phases: no maps, subtractions, other weightings, or copies of others."""
    plain = [
        item
        for item in series
        if not words.is_no_phase(words.plain(item.description))
        and not is_computed(item.image_type)
        and "EP" not in item.sequence
    ]
    acquired = [item for item in plain if not words.is_copy(words.plain(item.description))]
    return acquired if _has_group(acquired) else plain


def phase_groups(candidates: Sequence[SeriesAttributes]) -> list[PhaseGroup]:
    """All groups, the likeliest first.

    Derived series only where no originals are alike: a converted or registered study may have
    nothing else. Dixon images are always computed.
    """
    originals = [item for item in candidates if not item.derived or dixon_of(item)]
    used = originals if _has_group(originals) else candidates
    found = [
        _group(members, has_originals=bool(originals))
        for members in _clusters(used, is_alike)
        if len(members) > 1
    ]
    return sorted(
        found,
        key=lambda group: (group.rank, [item.series_id for item in group.series]),
        reverse=True,
    )


def without_fast_runs(
    groups: Sequence[PhaseGroup],
) -> tuple[list[PhaseGroup], list[PhaseGroup]]:
    """The groups, and those beside them that were acquired fast between two phases of another.

    Of the inflow of contrast, while the phases before it and after it are of a slower acquisition.
    """
    fast = [group for group in groups if any(_is_run_inside(group, one) for one in groups)]
    return [group for group in groups if group not in fast], fast


def _is_run_inside(run: PhaseGroup, other: PhaseGroup) -> bool:
    times, slower = _times(run), _times(other)
    if not times or len(slower) < FASTEST_PHASES or run is other:
        return False
    is_fast = times[-1] - times[0] <= FAST_RUN * (len(times) - 1)
    before = [moment for moment in slower if moment < times[0]]
    after = [moment for moment in slower if moment > times[-1]]
    is_between = bool(before and after) and len(before) + len(after) == len(slower)
    return is_fast and is_between and slower[-1] - slower[0] > FAST_RUN * (len(slower) - 1)


def _times(group: PhaseGroup) -> list[datetime]:
    """The rising times of acquisition; empty where one is unknown, or all are one."""
    known = [item.acquired for item in group.series if item.acquired is not None]
    return sorted(known) if len(known) == len(group.series) and len(set(known)) > 1 else []


def is_alike(first: SeriesAttributes, second: SeriesAttributes) -> bool:
    """Whether two series may be phases of one acquisition.

    The Frame of Reference UID does not part them: a scanner gives a new one after a small
    correction of the table, and de-identification may give each series its own.
    """
    return (
        (first.rows, first.columns, first.instances)
        == (second.rows, second.columns, second.instances)
        and all_same(first.orientation, second.orientation)
        and all_same(first.spacing_mm, second.spacing_mm)
        and is_same(first.echo_ms, second.echo_ms)
        and is_same(first.repetition_ms, second.repetition_ms)
        and is_same(first.flip_degrees, second.flip_degrees)
        and dixon_of(first) == dixon_of(second)
        and (first.stack == second.stack or first.whole_series_id != second.whole_series_id)
        and _side(first) == _side(second)
    )


def is_fast(item: SeriesAttributes) -> bool:
    """Whether echo and repetition time are known, and those of a fast gradient echo."""
    echo, repetition = item.echo_ms, item.repetition_ms
    return bool(echo and repetition and echo <= FAST_ECHO_MS and repetition <= FAST_REPETITION_MS)


def dixon_of(item: SeriesAttributes) -> str:
    """Which image of a Dixon acquisition a series is; empty where it is none."""
    text = words.plain(item.description)
    named = words.dixon_word(text)
    known = dixon_image(item.image_type)
    # One letter at the end of a name is no proof without the Image Type or the technique's name.
    is_letter = len(text.rsplit(maxsplit=1)[-1]) == 1 if text.strip() else False
    is_dixon = any(name in text for name in ("dixon", "ideal", "flex"))
    return known or (named if named and (is_dixon or not is_letter) else "")


def _side(item: SeriesAttributes) -> str:
    return words.side(words.plain(item.description))


def _group(members: Sequence[SeriesAttributes], *, has_originals: bool) -> PhaseGroup:
    dixon = dixon_of(members[0])
    return PhaseGroup(
        series=tuple(sorted(members, key=lambda item: item.series_id)),
        is_named=all(words.is_dynamic(words.plain(item.description)) for item in members),
        dixon=dixon,
        is_derived=not dixon and has_originals and any(item.derived for item in members),
    )


def _has_group(series: Sequence[SeriesAttributes]) -> bool:
    return any(len(members) > 1 for members in _clusters(series, is_alike))


def _clusters(
    series: Sequence[SeriesAttributes],
    is_pair: Callable[[SeriesAttributes, SeriesAttributes], bool],
) -> list[list[SeriesAttributes]]:
    """Series that a chain of pairs joins, whatever their order."""
    clusters: list[list[SeriesAttributes]] = []
    for item in series:
        joined = [one for one in clusters if any(is_pair(item, other) for other in one)]
        apart = [one for one in clusters if one not in joined]
        clusters = [*apart, [item, *(other for one in joined for other in one)]]
    return clusters
