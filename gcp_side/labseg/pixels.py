"""One DICOM image of a series: its 16-bit voxels and what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from gcp_side.labseg.errors import SeriesNotShownError

_TAGS: list[Any] = [
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelSpacing",
    "SliceThickness",
    "RescaleSlope",
    "RescaleIntercept",
    "WindowCenter",
    "WindowWidth",
    "PixelData",
]
"""Nothing of the patient enters."""

_PLAIN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)

_DARKEST, _BRIGHTEST = 1.0, 99.5
"""Percentiles between which a slice without a window is shown."""


@dataclass(frozen=True, eq=False)
class SliceImage:
    """One decoded slice."""

    voxels: NDArray[Any]
    """[rows, columns] ``<u2`` or ``<i2``, as stored."""
    pixel_spacing: tuple[float, float] | None
    """Between rows, between columns, millimetres."""
    thickness_mm: float | None
    slope: float
    intercept: float
    window: tuple[float, float]
    """Centre and width, of values after slope and intercept."""


def read_slice(data: bytes) -> SliceImage:
    """Decode one greyscale image of at most 16 bits.

    Raises
    ------
    SeriesNotShownError
        ``unreadable-instance``, ``multiframe``, ``not-greyscale``, ``pixel-depth`` or
        ``compressed``.
    """
    dataset = _parsed(data)
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise SeriesNotShownError("Multi-frame images are not shown.", code="multiframe")
    if (dataset.get("SamplesPerPixel"), dataset.get("PhotometricInterpretation")) != (
        1,
        "MONOCHROME2",
    ):
        raise SeriesNotShownError(
            "The images are not plain greyscale (MONOCHROME2).", code="not-greyscale"
        )
    try:
        voxels = _voxels(dataset)
        slope = float(dataset.get("RescaleSlope") or 1)
        intercept = float(dataset.get("RescaleIntercept") or 0)
        return SliceImage(
            voxels=voxels,
            pixel_spacing=_pair(dataset.get("PixelSpacing")),
            thickness_mm=_positive(dataset.get("SliceThickness")),
            slope=slope,
            intercept=intercept,
            window=_window(dataset) or _window_of(voxels * slope + intercept),
        )
    except (AttributeError, TypeError, ValueError):
        raise _unreadable() from None


def _parsed(data: bytes) -> Dataset:
    try:
        # Values of a wrong form are checked where they matter; warnings would quote them.
        with disable_value_validation():
            dataset = pydicom.dcmread(BytesIO(data), specific_tags=_TAGS)
            for _ in dataset:
                pass
    except Exception:
        # The original text may quote a patient's attribute.
        raise _unreadable() from None
    if not all(keyword in dataset for keyword in ("Rows", "Columns", "PixelData")):
        raise _unreadable()
    return dataset


def _unreadable() -> SeriesNotShownError:
    return SeriesNotShownError(
        "An instance of the series is not a readable image.",
        code="unreadable-instance",
        remedy="Send the series to Orthanc again; the stored copy may be damaged.",
    )


def _voxels(dataset: Dataset) -> NDArray[Any]:
    bits, signed = int(dataset.BitsAllocated), int(dataset.get("PixelRepresentation") or 0) == 1
    if bits not in (8, 16):
        raise SeriesNotShownError(
            f"The images have {bits} bits a voxel, not 8 or 16.", code="pixel-depth"
        )
    target = np.dtype("<i2" if signed else "<u2")
    if bits == 16 and dataset.file_meta.TransferSyntaxUID in _PLAIN:
        shape = (int(dataset.Rows), int(dataset.Columns))
        count = shape[0] * shape[1]
        return np.frombuffer(dataset.PixelData, target, count=count).reshape(shape)
    try:
        decoded: NDArray[Any] = dataset.pixel_array.astype(target)
    except (NotImplementedError, RuntimeError, AttributeError, ValueError):
        raise SeriesNotShownError(
            "The images are compressed in a way that cannot be read here.",
            code="compressed",
            remedy="Set IngestTranscoding in Orthanc to 1.2.840.10008.1.2.1, and send them again.",
        ) from None
    return decoded


def _pair(value: Any) -> tuple[float, float] | None:
    numbers = tuple(float(item) for item in value) if value else ()
    return (numbers[0], numbers[1]) if len(numbers) == 2 else None


def _positive(value: Any) -> float | None:
    number = float(value) if value else 0.0
    return number if 0 < number < np.inf else None


def _window(dataset: Dataset) -> tuple[float, float] | None:
    centre, width = _first(dataset.get("WindowCenter")), _first(dataset.get("WindowWidth"))
    return None if centre is None or width is None or not width >= 1 else (centre, width)


def _first(value: Any) -> float | None:
    """A header may offer several windows: the first is the usual one."""
    if value is None or value == "":
        return None
    return float(value) if isinstance(value, (int, float, str)) else float(value[0])


def _window_of(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(values, [_DARKEST, _BRIGHTEST])
    return float(low + high) / 2, max(1.0, float(high - low))
