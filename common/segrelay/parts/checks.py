"""What images of several volumes may not differ in, each with a reason of its own."""

from __future__ import annotations

from collections.abc import Sequence

from segrelay.dicom.acquisition import is_same
from segrelay.dicom.rounding import SAME_COSINE
from segrelay.errors import SeriesRefusedError
from segrelay.parts.keys import PartKey, Phases, is_too_long
from segrelay.parts.stacks import Stack, are_near

SPLIT_REMEDY = (
    "Store each volume as a series of its own (scanners and PACS can split it), and submit those "
    "that are meant."
)
ONE_REMEDY = (
    "Store each volume as a series of its own (scanners and PACS can split it), and submit the "
    "one that is meant."
)


def check_one_contrast(stack: Stack) -> None:
    """Refuse ``several-echoes`` and ``several-weightings``."""
    numbers = {image.echo_number for image in stack.images} - {None}
    if not _is_one([image.echo_ms for image in stack.images]) or len(numbers) > 1:
        raise SeriesRefusedError(
            "The series holds images of several echo times, not phases of one acquisition.",
            code="several-echoes",
            remedy=ONE_REMEDY,
        )
    if not _is_one([image.b_value for image in stack.images]):
        raise SeriesRefusedError(
            "The series holds images of several diffusion weightings, not phases of one "
            "acquisition.",
            code="several-weightings",
            remedy=ONE_REMEDY,
        )


def _is_one(values: Sequence[float | None]) -> bool:
    return all(is_same(values[0], value) for value in values)


def check_one_kind(stack: Stack) -> None:
    """Refuse ``parts-derived`` and ``mixed-rescale``: volumes that cannot be compared."""
    if len({image.image_type[:1] for image in stack.images}) > 1:
        raise SeriesRefusedError(
            "Some images of the series are originals, others are derived from them, such as "
            "subtractions.",
            code="parts-derived",
            remedy=SPLIT_REMEDY,
        )
    rescaled = {image.is_rescaled for image in stack.images}
    if {None, True} <= rescaled:
        raise SeriesRefusedError(
            "Some images of the series have a Rescale Slope and others have none, so their values "
            "are not in one unit.",
            code="mixed-rescale",
            remedy="Send the series again with the values that the scanner gave.",
        )


def check_subtracted(phases: Phases) -> None:
    """Refuse ``parts-derived``: phases that all have values below zero, beside others without.

    As subtractions have that nothing else marks.
    """
    below = [[(image.lowest or 0) < 0 for image in phase] for phase in phases]
    if any(map(all, below)) and not all(map(any, below)):
        raise SeriesRefusedError(
            "Some volumes of the series have values below zero, as subtractions have, and others "
            "have none.",
            code="parts-derived",
            remedy=SPLIT_REMEDY,
        )


def check_dates(key: PartKey, stack: Stack) -> None:
    """Refuse ``parts-dates``: times by which no dynamic scan can have run."""
    if is_too_long(key, stack):
        raise SeriesRefusedError(
            "The times of the volumes are more than half a day apart: a date among them is wrong.",
            code="parts-dates",
            remedy=SPLIT_REMEDY,
        )


def check_stacks(stacks: Sequence[Stack]) -> None:
    """Refuse stacks of other phases by what they differ in.

    Raises
    ------
    SeriesRefusedError
        ``parts-turned``, ``mixed-matrix``, ``mixed-pixel-spacing``
    """
    images = [stack.images[0] for stack in stacks]
    first = images[0].orientation or ()
    if not all(are_near(first, image.orientation or (), SAME_COSINE) for image in images):
        raise SeriesRefusedError(
            "The volumes of the series are turned against each other.",
            code="parts-turned",
            remedy=SPLIT_REMEDY,
        )
    if len({image.matrix for image in images}) > 1:
        raise SeriesRefusedError(
            "The volumes of the series are of different sizes.",
            code="mixed-matrix",
            remedy=SPLIT_REMEDY,
        )
    if len({image.spacing for image in images}) > 1:
        raise SeriesRefusedError(
            "The volumes of the series differ in Pixel Spacing.",
            code="mixed-pixel-spacing",
            remedy=SPLIT_REMEDY,
        )
