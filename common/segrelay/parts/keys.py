"""What distinguishes the phases of a stack, and whether it cuts the stack into whole phases.

In order of trust: the temporal position says which phase an image is of; times say when it was
taken; acquisition numbers are counted in different ways. Echo times and b-values never order
phases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from statistics import median, median_low

from segrelay.dicom.acquisition import HALF_A_DAY, after_midnight, are_comparable
from segrelay.parts.image import PartImage
from segrelay.parts.stacks import Stack

Value = float | datetime
Phases = tuple[tuple[PartImage, ...], ...]
"""Of a stack: for each phase, its images in the order of the places."""


class PartKey(StrEnum):
    """What distinguishes the parts of a series."""

    TEMPORAL_POSITION = "temporal-position"
    """Temporal Position Identifier (0020,0100), or Index of a frame (0020,9128)."""
    TRIGGER_TIME = "trigger-time"
    """Trigger Time (0018,1060), or Temporal Position Time Offset of a frame (0020,930D)."""
    ACQUISITION_TIME = "acquisition-time"
    CONTENT_TIME = "content-time"
    ACQUISITION_NUMBER = "acquisition-number"
    STACK = "stack"
    """No phases: several stacks."""
    IMAGES = "images"
    """One volume, beside images that are left out."""


JITTER = 0.5
"""Seconds by which times of a later phase may be earlier: scanners and gateways round them, and
no dynamic scan for a tumour is so fast."""

ATTRIBUTES = {
    PartKey.TEMPORAL_POSITION: "temporal_position",
    PartKey.TRIGGER_TIME: "trigger_ms",
    PartKey.ACQUISITION_TIME: "acquired",
    PartKey.CONTENT_TIME: "content",
    PartKey.ACQUISITION_NUMBER: "acquisition_number",
}
"""By key of phases: the attribute of a PartImage that holds its value."""

PHASE_KEYS = tuple(ATTRIBUTES)
"""In order of trust."""

_COUNTED = frozenset({PartKey.TEMPORAL_POSITION, PartKey.ACQUISITION_NUMBER})
"""All images of a phase have one value."""

_SLACK: dict[PartKey, float] = {
    PartKey.TRIGGER_TIME: JITTER * 1000,
    PartKey.ACQUISITION_TIME: JITTER,
    PartKey.CONTENT_TIME: JITTER,
}
"""In the unit of the key: what is nearer is no later phase."""

FEWEST_FOLLOWING = 3
EVEN = 1.5
"""Phases after contrast that have one acquisition time are at least so many, and the longest time
from one to the next is at most this many times the shortest."""

SPREAD_OF_STEP = 0.1
"""Of the time from phase to phase: by how much more than twice the usual the times of one phase
may spread; an image that is farther off is of another phase, or a copy of one."""

_STRICT = (PartKey.TEMPORAL_POSITION, PartKey.TRIGGER_TIME, PartKey.ACQUISITION_TIME)
"""Keys whose values may not fall from a phase to the next, whether they cut or not."""


_DISTINCT = (PartKey.TEMPORAL_POSITION, PartKey.ACQUISITION_TIME)
"""Keys that tell phases from copies: images at one place that share a value are one image twice,
where others at that place have another value."""


def values_of(key: PartKey, images: Sequence[PartImage]) -> list[float] | None:
    """The values of a key, times in seconds.

    None where an image has none, or where some images have a date and others have none.

    Times over midnight without a date, or with one date for all, go on.
    """
    name = ATTRIBUTES[key]
    values: list[Value] = [value for image in images if (value := getattr(image, name)) is not None]
    if len(values) < len(images):
        return None
    moments = [value for value in values if isinstance(value, datetime)]
    if not moments:
        return [value for value in values if not isinstance(value, datetime)]
    if not are_comparable(moments):
        return None
    late = after_midnight(moments)
    first = min(moments)
    return [(moment + timedelta(days=moment in late) - first).total_seconds() for moment in moments]


def cut_by(key: PartKey, stack: Stack) -> Phases | None:
    """The phases of a stack by a key; None where it does not cut it into whole ones.

    Every phase has one image at every place, and is over before the next begins.
    """
    columns = _columns(key, stack)
    if columns is None or len({len(column) for column in columns}) != 1:
        return None
    by_value = [sorted(column, key=lambda item: item[0]) for column in columns]
    phases = list(zip(*by_value, strict=True))
    spans = [(min(v for v, _ in phase), max(v for v, _ in phase)) for phase in phases]
    slack = _SLACK.get(key, 0.0)
    if not all(
        before[1] < after[0] and before[0] + slack < after[0] for before, after in pairwise(spans)
    ):
        return None
    if key in _COUNTED and any(low != high for low, high in spans):
        return None
    times = [sorted(v for v, _ in phase) for phase in phases]
    if key in _SLACK and not _is_even(times, slack):
        return None
    return tuple(tuple(image for _, image in phase) for phase in phases)


def falls(key: PartKey, phases: Phases, stack: Stack, *, used: PartKey) -> bool:
    """Whether a key that does not cut the stack falls from one of these phases to the next.

    A temporal position, trigger or acquisition time falls where it does so at any place; another
    key only where it does so at every place, and is trusted more than ``used``, which cut them.
    Images without a value do not count.
    """
    is_more_trusted = PHASE_KEYS.index(key) < PHASE_KEYS.index(used)
    if key not in _STRICT and not is_more_trusted:
        return False
    known = [image for image in stack.images if getattr(image, ATTRIBUTES[key]) is not None]
    values = values_of(key, known) if known else None
    if values is None:
        return False
    value_of = dict(zip(map(_name, known), values, strict=True))
    slack = _SLACK.get(key, 0.0)
    is_enough = any if key in _STRICT else all
    return any(
        pairs and is_enough(late < early - slack for early, late in pairs)
        for pairs in (_known_pairs(value_of, *both) for both in pairwise(phases))
    )


def is_too_long(key: PartKey, stack: Stack) -> bool:
    """Whether the times of a key span more than half a day, which no dynamic scan does."""
    values = values_of(key, stack.images) or [0.0]
    is_time = key in (PartKey.ACQUISITION_TIME, PartKey.CONTENT_TIME)
    return is_time and max(values) - min(values) > HALF_A_DAY.total_seconds()


def has_copies(key: PartKey, phases: Phases, stack: Stack) -> bool:
    """Whether a more trusted key than this says that images of two phases are copies.

    At some place it has one value for several images, and another for others. An acquisition time
    that only parts the phase before contrast from those after it is no sign of copies.
    """
    more_trusted = PHASE_KEYS[: PHASE_KEYS.index(key)]
    return any(
        1 < len(set(values)) < len(values)
        for other in _DISTINCT
        if other in more_trusted and not (_parts_first(other, phases) and _follow(key, phases))
        for values in values_by_place(other, stack)
    )


def _parts_first(key: PartKey, phases: Phases) -> bool:
    """Whether a time has one value for the first phase, and a later one for all others."""
    if key is not PartKey.ACQUISITION_TIME or len(phases) < FEWEST_FOLLOWING + 1:
        return False
    values = values_of(key, [image for phase in phases for image in phase])
    if values is None:
        return False
    size = len(phases[0])
    first, later = set(values[:size]), set(values[size:])
    return len(later) == 1 and max(first) < min(later)


def _follow(key: PartKey, phases: Phases) -> bool:
    """Whether the phases after the first follow each other evenly by a time, as no copies do."""
    if key in _COUNTED:
        return False
    values = values_of(key, [phase[0] for phase in phases[1:]]) or []
    steps = [after - before for before, after in pairwise(values)]
    return len(steps) >= FEWEST_FOLLOWING - 1 and max(steps) <= EVEN * min(steps)


def values_by_place(key: PartKey, stack: Stack) -> list[list[float]]:
    """The values of a key at each place; empty where an image has none."""
    return [[value for value, _ in column] for column in _columns(key, stack) or ()]


def has_values(key: PartKey, stack: Stack) -> bool:
    """Whether every image has a value, and not all have the same."""
    values = values_of(key, stack.images)
    return values is not None and len(set(values)) > 1


def _is_even(phases: Sequence[Sequence[float]], slack: float) -> bool:
    """Whether no phase holds an image that is far from its others: a third of the way to the next.

    Parameters
    ----------
    phases:
        Of each, the rising times.
    """
    if len(phases) < 2:
        return True
    spreads = [times[-1] - times[0] for times in phases]
    step = median(after[-1] - before[-1] for before, after in pairwise(phases))
    pause = min(after[0] - before[-1] for before, after in pairwise(phases))
    limit = 2 * median_low(spreads) + SPREAD_OF_STEP * step + slack
    return all(
        spread <= limit or max(b - a for a, b in pairwise(times)) <= pause / 3
        for spread, times in zip(spreads, phases, strict=True)
    )


def _known_pairs(
    value_of: Mapping[tuple[str, int | None], float],
    before: Sequence[PartImage],
    after: Sequence[PartImage],
) -> list[tuple[float, float]]:
    """The values of two phases at each place where both have one."""
    names = ((_name(early), _name(late)) for early, late in zip(before, after, strict=True))
    return [
        (value_of[early], value_of[late])
        for early, late in names
        if early in value_of and late in value_of
    ]


def _name(image: PartImage) -> tuple[str, int | None]:
    return image.instance, image.frame


def _columns(key: PartKey, stack: Stack) -> list[list[tuple[float, PartImage]]] | None:
    """By place: values and images; None where an image has no value."""
    images = stack.images
    values = values_of(key, images)
    if values is None:
        return None
    known = iter(values)
    return [[(next(known), image) for image in place.images] for place in stack.places]
