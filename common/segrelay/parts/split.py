"""The parts of a series, or why it has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from segrelay.errors import SeriesRefusedError
from segrelay.parts.checks import (
    SPLIT_REMEDY,
    check_dates,
    check_one_contrast,
    check_one_kind,
    check_stacks,
    check_subtracted,
)
from segrelay.parts.doubts import PartDoubt, doubt_of
from segrelay.parts.image import PartImage
from segrelay.parts.keys import (
    ATTRIBUTES,
    PHASE_KEYS,
    PartKey,
    Phases,
    cut_by,
    falls,
    has_copies,
    has_values,
    values_by_place,
    values_of,
)
from segrelay.parts.stacks import LeftOutKind, Stack, stacks_of, without_left_out, without_scouts

MOST_PLACES = 0.75
"""Share of the places of all phases that each has, where slices were lost."""

_COMPLETE_REMEDY = (
    "Wait until the scanner has sent everything, or send the series again; if the scan was stopped "
    "during a volume, delete the images of that volume in Orthanc."
)


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Images of the series that are of none of its volumes."""

    kind: LeftOutKind
    count: int


@dataclass(frozen=True, kw_only=True)
class Part:
    """One volume of a series."""

    index: int
    """From 0: stack by stack, in each the phases in the order of time."""
    images: tuple[PartImage, ...]
    """By rising distance along the slice normal."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """The volumes of a series."""

    parts: tuple[Part, ...]
    key: PartKey | None
    """What they are told apart by; None: the whole series is one volume."""
    agreeing: tuple[PartKey, ...] = ()
    """Other keys that cut in the same way."""
    stacks: int = 1
    """How many stacks there are; each has as many phases."""
    declared: int | None = None
    """Number of Temporal Positions, where it is another number than that of the phases."""
    left_out: tuple[LeftOut, ...] = ()
    doubt: PartDoubt | None = None
    """Why the order of the phases may be another one, though no key contradicts."""

    @property
    def is_whole(self) -> bool:
        """Whether the series is one volume, and nothing else."""
        return self.key is None


def split_series(images: Sequence[PartImage]) -> Split:
    """Split the images of a series, in any order, into its volumes.

    A key counts only if it cuts every stack into whole phases of one image at every place, and no
    other key contradicts.

    Raises
    ------
    SeriesRefusedError
        ``no-position``, ``mixed-orientation``; ``several-echoes``, ``several-weightings``: the
        volumes differ in echo time or b-value; ``parts-shifted``: they do not lie on the same
        places; ``part-incomplete``: a volume lacks slices; ``part-duplicate``: one is there twice;
        ``parts-contradict``: two keys give different volumes; ``parts-unordered``: nothing tells
        them apart; and as the functions of ``checks``.
    """
    plain, left_out = without_left_out(images)
    stacks, localizers = without_scouts(*stacks_of(plain))
    left_out += localizers
    said = tuple(LeftOut(kind=kind, count=left_out[kind]) for kind in sorted(left_out))
    _check_one_place(stacks)
    cuts = [_cut(stack) for stack in stacks]
    keys = {key for key, _, _ in cuts}
    counts = {len(phases) for _, phases, _ in cuts}
    if len(keys) > 1 or len(counts) > 1 or not _have_same_positions(cuts):
        check_stacks(stacks)
        raise SeriesRefusedError(
            f"The series holds {len(stacks)} stacks, which have not the same phases.",
            code="parts-unordered",
            remedy=SPLIT_REMEDY,
        )
    key = next(iter(keys), None)
    agreeing = [key for key in PHASE_KEYS if all(key in others for _, _, others in cuts)]
    parts = [phase for _, phases, _ in cuts for phase in phases]
    if key is None and len(stacks) > 1:
        key = PartKey.STACK
    elif key is None and said:
        key = PartKey.IMAGES
    named = {image.positions_declared for image in plain}
    declared = named - {None, max(counts, default=1)}
    has_phases = max(counts, default=1) > 1
    return Split(
        parts=tuple(Part(index=index, images=phase) for index, phase in enumerate(parts)),
        key=key,
        agreeing=tuple(agreeing),
        stacks=len(stacks),
        declared=max((one for one in declared if one is not None), default=None),
        left_out=said,
        doubt=doubt_of(
            key if has_phases else None,
            [phases for _, phases, _ in cuts],
            is_confirmed=bool(agreeing),
            declared=named,
        ),
    )


def _check_one_place(stacks: Sequence[Stack]) -> None:
    """Refuse phases that each have another place, turn or size, which look like several stacks."""
    positions = [{image.temporal_position for image in stack.images} for stack in stacks]
    if len(stacks) > 1 and all(len(found) == 1 for found in positions):
        known = [next(iter(found)) for found in positions]
        if len(set(known)) == len(known):
            raise _shifted()


def _have_same_positions(
    cuts: Sequence[tuple[PartKey | None, Phases, tuple[PartKey, ...]]],
) -> bool:
    """Whether all stacks have the same temporal positions, where these are the key."""
    found = {
        tuple(phase[0].temporal_position for phase in phases)
        for key, phases, _ in cuts
        if key is PartKey.TEMPORAL_POSITION
    }
    return len(found) < 2


def _cut(stack: Stack) -> tuple[PartKey | None, Phases, tuple[PartKey, ...]]:
    """The key of a stack, its phases, and the keys that cut in the same way."""
    if all(len(place.images) == 1 for place in stack.places):
        _check_one_time(stack)
        return None, (tuple(stack.images),), ()
    if not stack.is_aligned:
        raise _shifted()
    check_one_contrast(stack)
    check_one_kind(stack)
    cuts = {key: cut_by(key, stack) for key in PHASE_KEYS}
    key, phases = next(((key, cut) for key, cut in cuts.items() if cut is not None), (None, None))
    if key is None or phases is None:
        raise _not_cut(stack)
    if has_copies(key, phases, stack):
        raise _duplicate()
    check_dates(key, stack)
    check_subtracted(phases)
    others = {other: cut for other, cut in cuts.items() if other is not key}
    opposing = [
        other
        for other, cut in others.items()
        if (falls(other, phases, stack, used=key) if cut is None else cut != phases)
    ]
    if opposing:
        raise SeriesRefusedError(
            f"The volumes of the series by {_words(key)} are others than by {_words(opposing[0])}.",
            code="parts-contradict",
            remedy=SPLIT_REMEDY,
        )
    return key, phases, tuple(other for other, cut in others.items() if cut == phases)


def _check_one_time(stack: Stack) -> None:
    """Refuse phases of which no two images are at one place, which look like one stack."""
    positions = Counter(image.temporal_position for image in stack.images)
    # Evenly spaced slices of several times may be packages of one volume.
    is_by_times = not stack.is_even and any(_has_equal_groups(key, stack) for key in PHASE_KEYS)
    if len(positions) > 1 or is_by_times:
        raise _shifted()


def _not_cut(stack: Stack) -> SeriesRefusedError:
    """Why no key cuts a stack."""
    counts = Counter(len(place.images) for place in stack.places)
    usual = max(counts, key=lambda count: (counts[count], count))
    known = [key for key in PHASE_KEYS if has_values(key, stack)]
    if len(counts) > 1 and (stack.has_close_places or _is_spread(stack, known)):
        return _shifted()
    if known and all(len(set(v)) == len(v) for v in values_by_place(known[0], stack)):
        # Each image at a place is of another phase: the phases that few places have lack slices.
        usual = max(counts)
    if min(counts) < usual:
        lacking = sum(usual - count for count in counts.elements() if count < usual)
        return SeriesRefusedError(
            f"The series holds {usual} volumes, which lack {lacking} slices.",
            code="part-incomplete",
            remedy=_COMPLETE_REMEDY,
        )
    if max(counts) > usual or _is_doubled(stack, known):
        return _duplicate()
    for key in PHASE_KEYS:
        values = {getattr(image, ATTRIBUTES[key]) for image in stack.images}
        if None in values and len(values) > 1:
            return SeriesRefusedError(
                f"Some images of the series have no {_words(key)}, and nothing else tells the "
                "volumes apart.",
                code="part-key-missing",
                remedy="Send the series again with the values that the scanner gave.",
            )
    return SeriesRefusedError(
        f"The series holds {usual} images at every place, and nothing tells the volumes apart.",
        code="parts-unordered",
        remedy=SPLIT_REMEDY,
    )


def _is_doubled(stack: Stack, known: Sequence[PartKey]) -> bool:
    """Whether images at a place have one temporal position, or one time, while others have others.

    At all places, of times only where every one is there equally often, as of a series that was
    sent twice; or at fewer than half, as where a slice was replaced by that of another phase.
    """
    for key in (PartKey.TEMPORAL_POSITION, PartKey.TRIGGER_TIME, PartKey.ACQUISITION_TIME):
        values = [Counter(found) for found in values_by_place(key, stack)]
        if key not in known or not values:
            continue
        is_counted = key is PartKey.TEMPORAL_POSITION
        doubled = sum(len(found) < found.total() for found in values)
        if 0 < doubled < len(values) / 2 or all(
            1 < len(found) < found.total() and (is_counted or len(set(found.values())) == 1)
            for found in values
        ):
            return True
    return False


def _is_spread(stack: Stack, known: Sequence[PartKey]) -> bool:
    """Whether phases of equally many images have places that are not the others'.

    Where each only lacks another slice, the places are even, and each phase has most of them.
    """
    groups = [
        len(set(values_of(key, stack.images) or ()))
        for key in known
        if _has_equal_groups(key, stack)
    ]
    if not groups:
        return False
    share = len(stack.images) / min(groups) / len(stack.places)
    return not stack.is_even or share < MOST_PLACES


def _has_equal_groups(key: PartKey, stack: Stack) -> bool:
    """Whether each value of a key is that of equally many images, and of more than one."""
    sizes = Counter(values_of(key, stack.images) or ()).values()
    return len(sizes) > 1 and len(set(sizes)) == 1 and min(sizes) > 1


def _duplicate() -> SeriesRefusedError:
    return SeriesRefusedError(
        "A volume of the series, or slices of it, are there twice.",
        code="part-duplicate",
        remedy="Look at the images: delete copies in Orthanc, or store images of another kind, as "
        "fat beside water, as a series of their own.",
    )


def _shifted() -> SeriesRefusedError:
    return SeriesRefusedError(
        "The volumes of the series do not lie on the same places.",
        code="parts-shifted",
        remedy=SPLIT_REMEDY,
    )


def _words(key: PartKey) -> str:
    return key.replace("-", " ")
