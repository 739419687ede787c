"""Image Orientation (Patient): the normal of a slice, and slices that differ in it."""

from __future__ import annotations

from collections.abc import Sequence

from segrelay.errors import SeriesRefusedError


def normal_of(orientation: Sequence[float]) -> tuple[float, float, float]:
    """The slice normal, along a row times along a column (DICOM PS3.3 C.7.6.2.1.1).

    Parameters
    ----------
    orientation:
        6 direction cosines, of a row, then of a column; LPS.
    """
    (a, b, c), (d, e, f) = orientation[:3], orientation[3:]
    return b * f - c * e, c * d - a * f, a * e - b * d


def not_parallel() -> SeriesRefusedError:
    """The error for slices of several orientations where one is needed."""
    return SeriesRefusedError(
        "The slices of the series are not parallel.",
        code="mixed-orientation",
        remedy="Submit a series of one orientation, without localizer images.",
    )
