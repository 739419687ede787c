"""The phases of a DCE study: which series are one acquisition over time, and in what order."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from gcp_side.labseg.recognition.clues import ORDERS, Clue, Confidence, Recognised, clue
from gcp_side.labseg.recognition.facts import SeriesFacts

Value = int | float | datetime
Order = Callable[[SeriesFacts], Value | None]

_DYNAMIC = re.compile(r"dce|dyn|phase|vibrant|post|pre\b|contrast|\bc[+-]|\+c\b|thrive|vibe", re.I)
_OTHER = re.compile(
    r"\bsub|subtr|\bmip\b|\badc\b|dwi|diff|\bt2|stir|\bloc|scout|survey|trace", re.I
)
_BEFORE = re.compile(r"\bpre\b|\bpre[-_ ]?contrast|\bbefore\b|\bnative\b|\bw/?o\b|without", re.I)
_COUNTED = re.compile(r"(\d+)\D*$")
_COSINE_DIGITS = 2
_DESCRIBED = "phase-in-description"


def recognise_phases(roles: Sequence[str], series: Sequence[SeriesFacts]) -> list[Recognised]:
    """The series of the phases: ``roles`` in the order of time.

    The first phases are taken where there are more of them than roles.
    """
    groups = _groups(series)
    if not groups:
        return [_no_series(role, clue("no-phases")) for role in roles]
    best = groups[0]
    rivals = [group for group in groups[1:] if _rank(group) == _rank(best)]
    ordered = _order(best)
    found = []
    for position, role in enumerate(roles):
        if position >= len(best):
            found.append(_no_series(role, clue("too-few-phases", count=len(best))))
            continue
        clues = list(ordered.clues[position])
        confidence = ordered.confidence
        if rivals:
            clues.append(clue("more-groups", count=len(rivals[0])))
        if len(best) < len(roles):
            clues.append(clue("too-few-phases", count=len(best)))
        if rivals or len(best) < len(roles):
            confidence = Confidence.GUESS
        found.append(
            Recognised(
                role=role,
                series_id=ordered.series[position].series_id,
                confidence=confidence,
                clues=tuple(clues),
            )
        )
    return found


@dataclass(frozen=True)
class _Ordered:
    series: list[SeriesFacts]
    clues: list[tuple[Clue, ...]]
    confidence: Confidence


def _groups(series: Sequence[SeriesFacts]) -> list[list[SeriesFacts]]:
    """Series of one geometry and timing, at least two of them; the likeliest group first.

    Derived series (subtractions, mostly) only where there is no original group: a study that
    was resampled or made anonymous may have nothing else.
    """
    plain = [item for item in series if not _OTHER.search(item.description)]
    originals = _alike(item for item in plain if not item.derived)
    groups = originals or _alike(item for item in plain if item.derived)
    return sorted(groups, key=lambda group: (_rank(group), _ids(group)), reverse=True)


def _alike(series: Iterable[SeriesFacts]) -> list[list[SeriesFacts]]:
    by_geometry: dict[object, list[SeriesFacts]] = defaultdict(list)
    for item in series:
        by_geometry[_geometry(item)].append(item)
    return [group for group in by_geometry.values() if len(group) > 1]


def _geometry(item: SeriesFacts) -> object:
    cosines = item.orientation or ()
    return (
        item.rows,
        item.columns,
        item.instances,
        # Adding 0 makes one number of 0.0 and -0.0.
        tuple(round(value, _COSINE_DIGITS) + 0.0 for value in cosines),
        item.frame_of_reference,
        item.echo_ms,
        item.repetition_ms,
    )


def _rank(group: Sequence[SeriesFacts]) -> tuple[bool, int]:
    """By name, then by number: a DCE study has more phases than anything else is repeated."""
    return all(_DYNAMIC.search(item.description) for item in group), len(group)


def _ids(group: Sequence[SeriesFacts]) -> list[str]:
    return sorted(item.series_id for item in group)


def _order(group: Sequence[SeriesFacts]) -> _Ordered:
    """Sort by the first clue that tells all phases apart; see what the others say."""
    orders = {
        code: ordered
        for code, value in _ORDERS.items()
        if (ordered := _sorted_by(group, value)) is not None
    }
    if not orders:
        series = sorted(group, key=lambda item: item.series_id)
        why = clue("no-order", count=len(group))
        return _Ordered(series, [(why,)] * len(series), Confidence.GUESS)
    (used, series), *others = orders.items()
    agreeing = [code for code, other in others if other == series]
    opposing = [code for code, other in others if other != series]
    if _DESCRIBED not in orders and _is_named_late(series):
        opposing.append(_DESCRIBED)
    extra = [clue("agrees", other=ORDERS[code]) for code in agreeing[:1]]
    extra += [clue("disagrees", other=ORDERS[code]) for code in opposing]
    return _Ordered(
        series,
        [(_position_clue(used, series, n), *extra) for n in range(len(series))],
        _confidence(used, opposing),
    )


def _is_named_late(series: Sequence[SeriesFacts]) -> bool:
    """Whether the only one that is called *before contrast* is not the first."""
    before = [n for n, item in enumerate(series) if _BEFORE.search(item.description)]
    return len(before) == 1 and before != [0]


def _confidence(used: str, opposing: Sequence[str]) -> Confidence:
    if opposing:
        return Confidence.GUESS
    return Confidence.CERTAIN if used in _CLOCKS else Confidence.LIKELY


def _sorted_by(group: Sequence[SeriesFacts], value: Order) -> list[SeriesFacts] | None:
    """By ``value``, if every phase has one and no two have the same."""
    values = {item.series_id: value(item) for item in group}
    known = {one for one in values.values() if one is not None}
    if len(known) != len(group):
        return None
    return sorted(group, key=lambda item: values[item.series_id])  # type: ignore[arg-type,return-value]


def _position_clue(code: str, series: Sequence[SeriesFacts], index: int) -> Clue:
    item, where = series[index], {"position": index + 1, "count": len(series)}
    told: dict[str, dict[str, str | int]] = {
        "temporal-position": {},
        "acquired": {"time": _clock(item.acquired)},
        "triggered": {"time": f"{item.trigger_ms or 0:g}"},
        "content": {"time": _clock(item.content)},
        "series-number": {"number": item.number or 0},
        "phase-in-description": {"description": item.description},
    }
    return clue(code, **told[code], **where)


def _clock(moment: datetime | None) -> str:
    return "" if moment is None else moment.strftime("%H:%M:%S")


def _described(item: SeriesFacts) -> int | None:
    """Which phase the description counts; 0 before contrast."""
    if _BEFORE.search(item.description):
        return 0
    counted = _COUNTED.search(item.description)
    return int(counted[1][:6]) if counted else None


_ORDERS: Mapping[str, Order] = {
    "temporal-position": lambda item: item.temporal_position,
    "acquired": lambda item: item.acquired,
    "triggered": lambda item: item.trigger_ms,
    "content": lambda item: item.content,
    "series-number": lambda item: item.number,
    _DESCRIBED: _described,
}
"""What phases are sorted by, the most trustworthy first."""

_CLOCKS = ("temporal-position", "acquired", "triggered", "content")
"""What the scanner measures; a number or a name is given by people and programs."""


def _no_series(role: str, why: Clue) -> Recognised:
    return Recognised(role=role, series_id=None, confidence=Confidence.NONE, clues=(why,))
