"""The images of one DICOM file of a series: their 16-bit voxels and what they mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from gcp_side.labseg.errors import SeriesNotShownError
from segrelay.dicom.functional_groups import PER_FRAME, SHARED, frame_attributes
from segrelay.dicom.values import check_forms, settle_numbers, wrong_value
from segrelay.errors import SeriesRefusedError
from segrelay.voxels.file_format import plain_file
from segrelay.voxels.pixel_form import (
    FLOAT_PIXEL_ATTRIBUTES,
    PIXEL_ATTRIBUTES,
    check_greyscale,
    check_integers,
)
from segrelay.voxels.stored import StoredImage, decode_stored

TAGS: list[Any] = [
    *PIXEL_ATTRIBUTES,
    *FLOAT_PIXEL_ATTRIBUTES,
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PixelSpacing",
    "SliceThickness",
    "RescaleSlope",
    "RescaleIntercept",
    "WindowCenter",
    "WindowWidth",
    SHARED,
    PER_FRAME,
]
"""Nothing of the patient enters."""

_SIZES = (
    *("NumberOfFrames", "Rows", "Columns", "SamplesPerPixel"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
)
"""Numbers without which nothing can be decoded."""

_DARKEST, _BRIGHTEST = 1.0, 99.5
"""Percentiles between which a slice without a window is shown."""


@dataclass(frozen=True, eq=False)
class SliceImage:
    """One decoded slice."""

    voxels: NDArray[Any]
    """[rows, columns] ``<u2`` or ``<i2``, as stored; padding has the value that means 0, or the
    slice's lowest where that is lower, so that it is shown darkest."""
    pixel_spacing: tuple[float, float] | None
    """Between rows, between columns, millimetres."""
    thickness_mm: float | None
    slope: float
    intercept: float
    window: tuple[float, float]
    """Centre and width, of values after slope and intercept."""


def read_slice(data: bytes, frame: int | None = None) -> SliceImage:
    """Decode one image of a file: the one of a classic instance, or a frame, counted from 1.

    Raises as :func:`read_slices`.
    """
    images = read_slices(data)
    if len(images) < (frame or 1):
        raise unreadable()
    return images[(frame or 1) - 1]


def read_slices(data: bytes) -> list[SliceImage]:
    """Decode the greyscale images of a file, of at most 16 bits: one, or all frames.

    Raises
    ------
    SeriesNotShownError
        ``unreadable-instance``, ``multiframe``, ``not-greyscale``, ``inverted-greyscale``,
        ``pixel-depth``, ``pixel-encoding``, ``image-too-large``, ``compressed``,
        ``no-pixel-spacing`` or ``header-value``.
    """
    return images_of_dataset(_parsed(data))


def images_of_dataset(dataset: Dataset) -> list[SliceImage]:
    """Decode the images of a file that was parsed; raises as :func:`read_slices`."""
    try:
        check_greyscale(dataset)
        headers = _headers(dataset)
        for header in headers:
            check_forms(header, ("PixelSpacing", "RescaleSlope", "RescaleIntercept"))
        frames = _decoded(dataset).frames()
        return [_image(header, *frame) for header, frame in zip(headers, frames, strict=True)]
    except SeriesRefusedError as error:
        raise not_shown(error) from None
    except (AttributeError, IndexError, TypeError, ValueError):
        raise unreadable() from None


def _headers(dataset: Dataset) -> list[Any]:
    """One for each image: the file's own, or what belongs to each frame."""
    count = int(dataset.get("NumberOfFrames") or 1)
    with disable_value_validation():
        frames: list[Any] = list(frame_attributes(dataset))
    if not frames and count > 1:
        raise SeriesNotShownError(
            "Multi-frame images without functional groups are not shown.",
            code="multiframe",
            remedy="Send the study as Enhanced MR or as classic single-frame MR.",
        )
    if frames and len(frames) != count:
        raise unreadable()
    return frames or [dataset]


def _image(header: Any, stored: NDArray[Any], padded: NDArray[np.bool_] | None) -> SliceImage:
    slope = float(header.get("RescaleSlope") or 1)
    intercept = float(header.get("RescaleIntercept") or 0)
    seen = stored if padded is None else stored[~padded]
    return SliceImage(
        voxels=stored if padded is None else _darkened(stored, padded, -intercept / slope),
        pixel_spacing=_pair(header.get("PixelSpacing")),
        thickness_mm=_positive(header.get("SliceThickness")),
        slope=slope,
        intercept=intercept,
        window=_window(header) or _window_of(seen * slope + intercept),
    )


def _darkened(stored: NDArray[Any], padded: NDArray[np.bool_], nothing: float) -> NDArray[Any]:
    """Padding set to the stored value that means 0; tissue may be darker still, on phase images."""
    limits = np.iinfo(stored.dtype)
    lowest = stored[~padded].min(initial=round(min(max(nothing, limits.min), limits.max)))
    return np.where(padded, lowest, stored).astype(stored.dtype)


def _parsed(data: bytes) -> Dataset:
    return settled(lambda: pydicom.dcmread(BytesIO(plain_file(data)), specific_tags=TAGS))


def settled(read: Callable[[], Dataset]) -> Dataset:
    """Read a header with its pixel data, and settle and check what decoding needs.

    Raises
    ------
    SeriesNotShownError
        As :func:`read_slices`.
    """
    try:
        # Values of a wrong form are checked where they matter; warnings would quote them.
        with disable_value_validation():
            dataset = read()
            settle_numbers(dataset)
            # No text is read here, in whatever set it may be.
            dataset.pop("SpecificCharacterSet", None)
            for _ in dataset:
                pass
        check_integers(dataset)
        check_forms(dataset, _SIZES)
    except SeriesRefusedError as error:
        raise not_shown(error) from None
    except Exception:
        # The original text may quote a patient's attribute.
        raise unreadable() from None
    for keyword in ("Rows", "Columns"):
        if not dataset.get(keyword):
            raise not_shown(wrong_value(keyword, "is missing or empty"))
    if "PixelData" not in dataset:
        raise unreadable()
    return dataset


def unreadable() -> SeriesNotShownError:
    """The error for what is no image that can be decoded."""
    return SeriesNotShownError(
        "An instance of the series is not a readable image.",
        code="unreadable-instance",
        remedy="Send the series to Orthanc again; the stored copy may be damaged.",
    )


def not_shown(error: SeriesRefusedError) -> SeriesNotShownError:
    """Turn a refusal of the reader into an error of the site."""
    if error.code == "compressed-unreadable":
        return SeriesNotShownError(
            f"The images are compressed in a way that cannot be read here. {error.message}",
            code="compressed",
            remedy="Install Orthanc's GDCM plugin (orthanc-gdcm), or send the series to Orthanc "
            "uncompressed (Explicit VR Little Endian).",
        )
    return SeriesNotShownError(error.message, code=error.code, remedy=error.remedy)


def _decoded(dataset: Dataset) -> StoredImage:
    """The voxels in 16 bits, little endian, which the viewer has; wider ones where they fit."""
    try:
        image = decode_stored(dataset)
    except SeriesRefusedError as error:
        raise not_shown(error) from None
    target = np.dtype("<i2" if image.values.dtype.kind == "i" else "<u2")
    if image.values.dtype.itemsize <= target.itemsize:
        return StoredImage(image.values.astype(target, copy=False), image.padded)
    limits = np.iinfo(target)
    values = image.values if image.padded is None else np.where(image.padded, 0, image.values)
    if values.min() < limits.min or values.max() > limits.max:
        raise SeriesNotShownError(
            "The voxels have 32 bits, and values that 16 bits cannot hold.", code="pixel-depth"
        )
    return StoredImage(values.astype(target), image.padded)


def _pair(value: Any) -> tuple[float, float] | None:
    return (float(value[0]), float(value[1])) if value else None


def _positive(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and value > 0 else None


def _window(header: Any) -> tuple[float, float] | None:
    centre, width = _first(header.get("WindowCenter")), _first(header.get("WindowWidth"))
    return None if centre is None or width is None or not width >= 1 else (centre, width)


def _first(value: Any) -> float | None:
    """A header may offer several windows: the first is the usual one."""
    if isinstance(value, MultiValue):
        value = value[0] if value else None
    return float(value) if isinstance(value, (int, float)) else None


def _window_of(values: NDArray[np.float64]) -> tuple[float, float]:
    if values.size == 0:
        return 0.5, 1.0
    low, high = np.percentile(values, [_DARKEST, _BRIGHTEST])
    return float(low + high) / 2, max(1.0, float(high - low))
