"""Small MR images with known values, in every way that the table has.

Values go over the whole range of the stored bits, both ends included. What is outside a voxel's
bits is noise: overlays, as old scanners kept them there (PS3.5 8.1.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from itertools import product
from typing import Any

import imagecodecs
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import RLELosslessEncoder
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MRImageStorage,
    RLELossless,
)

SLICES, ROWS, COLUMNS = 3, 8, 10
SEED = 20_261_130

NATIVE = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
CODED = (JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, RLELossless)
"""All of them without loss, so that every voxel can be compared."""

_BITS = (
    *((8, stored) for stored in (8, 7)),
    *((16, stored) for stored in (16, 12, 8)),
    *((32, stored) for stored in (32, 16)),
)
"""Bits Allocated and Bits Stored."""


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """One row of the table."""

    syntax: UID
    allocated: int
    stored: int
    high_bit: int
    is_signed: bool
    is_multi_frame: bool
    """One enhanced instance with a frame for each slice, or a classic instance for each."""
    is_whole_cell: bool = True
    """Compressed with all bits of the cell; otherwise only the stored bits were."""

    @property
    def name(self) -> str:
        """Short, for a line of the table."""
        sign = "signed" if self.is_signed else "unsigned"
        frames = "enhanced" if self.is_multi_frame else "classic"
        cell = ", stored bits alone" if not self.is_whole_cell else ""
        return f"{self.allocated}/{self.stored}/{self.high_bit} {sign} {frames}{cell}"

    @property
    def limits(self) -> tuple[int, int]:
        """The lowest and the highest value."""
        if self.is_signed:
            return -(1 << (self.stored - 1)), (1 << (self.stored - 1)) - 1
        return 0, (1 << self.stored) - 1

    @property
    def fits_16_bits(self) -> bool:
        """Whether the site's viewer can hold every value."""
        return self.stored <= 16


def encodings() -> Iterator[Encoding]:
    """Every row: bits, high bit, sign, frames, transfer syntax."""
    for (allocated, stored), is_signed, is_multi_frame in product(
        _BITS, (False, True), (False, True)
    ):
        form: Any = {
            "allocated": allocated,
            "stored": stored,
            "is_signed": is_signed,
            "is_multi_frame": is_multi_frame,
        }
        places = sorted({stored - 1, allocated - 1})
        for high_bit, syntax in product(places, (*NATIVE, *CODED)):
            if allocated == 32 and syntax in CODED:
                continue
            yield Encoding(syntax=syntax, high_bit=high_bit, **form)
        for syntax in CODED:
            if syntax != RLELossless and stored < allocated < 32:
                yield Encoding(syntax=syntax, high_bit=stored - 1, is_whole_cell=False, **form)


def true_values(encoding: Encoding) -> NDArray[np.int64]:
    """[slices, rows, columns] what every reader should find."""
    random = np.random.default_rng(SEED)
    low, high = encoding.limits
    values = random.integers(low, high, (SLICES, ROWS, COLUMNS), endpoint=True, dtype=np.int64)
    # Encoders choose a precision by what they see in a frame: both ends are in each.
    values[:, 0, 0], values[:, 0, 1] = low, high
    return values


def make_files(encoding: Encoding) -> list[bytes]:
    """The DICOM files of one series: one for each slice, or one enhanced file."""
    cells = _cells(encoding)
    if encoding.is_multi_frame:
        return [_file(_enhanced(encoding), cells, encoding)]
    return [
        _file(_classic(encoding, index), cells[index : index + 1], encoding)
        for index in range(SLICES)
    ]


def _cells(encoding: Encoding) -> NDArray[Any]:
    """[slices, rows, columns] unsigned cells: the stored bits at their place, noise around."""
    mask = (1 << encoding.stored) - 1
    patterns = true_values(encoding) & mask
    below = encoding.high_bit + 1 - encoding.stored
    noise = np.random.default_rng(SEED + 1).integers(
        0, 1 << encoding.allocated, patterns.shape, dtype=np.int64
    )
    cells = (patterns << below) | (noise & ~(mask << below)) if encoding.is_whole_cell else patterns
    return cells.astype(f"<u{encoding.allocated // 8}")


def _file(dataset: Dataset, cells: NDArray[Any], encoding: Encoding) -> bytes:
    syntax = encoding.syntax
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    if syntax in NATIVE:
        data = (cells if syntax.is_little_endian else cells.byteswap()).tobytes()
        dataset.PixelData = data + b"\0" * (len(data) % 2)
        dataset["PixelData"].VR = "OB" if encoding.allocated == 8 else "OW"
    else:
        dataset.PixelData = encapsulate([_CODERS[syntax](frame, encoding) for frame in cells])
        dataset["PixelData"].VR = "OB"
    out = BytesIO()
    pydicom.dcmwrite(
        out,
        dataset,
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
        enforce_file_format=True,
    )
    return out.getvalue()


def _by_jpeg(predictor: int) -> Callable[[NDArray[Any], Encoding], bytes]:
    def encode(frame: NDArray[Any], encoding: Encoding) -> bytes:
        return bytes(
            imagecodecs.jpeg8_encode(
                _narrowed(frame, encoding),
                lossless=True,
                predictor=predictor,
                bitspersample=_precision(encoding),
            )
        )

    return encode


def _by_jpeg_ls(frame: NDArray[Any], encoding: Encoding) -> bytes:
    return bytes(imagecodecs.jpegls_encode(_narrowed(frame, encoding)))


def _by_jpeg_2000(frame: NDArray[Any], encoding: Encoding) -> bytes:
    samples, precision = _narrowed(frame, encoding), _precision(encoding)
    if encoding.is_signed:
        # The codestream knows signs: those of the whole precision.
        bits = 8 * samples.dtype.itemsize - precision
        samples = (samples << bits).view(f"i{samples.dtype.itemsize}") >> bits
    return bytes(
        imagecodecs.jpeg2k_encode(
            samples, codecformat="j2k", reversible=True, bitspersample=precision
        )
    )


def _by_rle(frame: NDArray[Any], encoding: Encoding) -> bytes:
    return RLELosslessEncoder.encode(
        frame.tobytes(),
        rows=ROWS,
        columns=COLUMNS,
        number_of_frames=1,
        samples_per_pixel=1,
        bits_allocated=encoding.allocated,
        bits_stored=encoding.allocated,
        pixel_representation=0,
        photometric_interpretation="MONOCHROME2",
    )


_CODERS: Mapping[str, Callable[[NDArray[Any], Encoding], bytes]] = {
    JPEGLossless: _by_jpeg(predictor=4),
    JPEGLosslessSV1: _by_jpeg(predictor=1),
    JPEGLSLossless: _by_jpeg_ls,
    JPEG2000Lossless: _by_jpeg_2000,
    RLELossless: _by_rle,
}
"""By transfer syntax UID."""


def _precision(encoding: Encoding) -> int:
    return encoding.allocated if encoding.is_whole_cell else encoding.stored


def _narrowed(frame: NDArray[Any], encoding: Encoding) -> NDArray[Any]:
    """Codecs take bytes where eight bits suffice."""
    return np.ascontiguousarray(frame.astype("u1" if _precision(encoding) <= 8 else "<u2"))


def _classic(encoding: Encoding, index: int) -> Dataset:
    dataset = _common(encoding, MRImageStorage, index + 1)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    dataset.ImagePositionPatient = [0, 0, 2 * index]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing, dataset.SliceThickness = [1, 1], 2
    return dataset


def _enhanced(encoding: Encoding) -> Dataset:
    dataset = _common(encoding, EnhancedMRImageStorage, 1)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "T1", "NONE"]
    dataset.NumberOfFrames = SLICES
    shared = Dataset()
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]
    shared.PixelMeasuresSequence = [_item(PixelSpacing=[1, 1], SliceThickness=2)]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [
        _item(PlanePositionSequence=[_item(ImagePositionPatient=[0, 0, 2 * index])])
        for index in range(SLICES)
    ]
    return dataset


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _common(encoding: Encoding, sop_class: UID, number: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, UID(f"2.25.3.{number}")
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.1", "2.25.2"
    dataset.FrameOfReferenceUID, dataset.Modality = "2.25.4", "MR"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = ROWS, COLUMNS
    dataset.BitsAllocated, dataset.BitsStored = encoding.allocated, encoding.stored
    dataset.HighBit = encoding.high_bit
    dataset.PixelRepresentation = int(encoding.is_signed)
    return dataset
