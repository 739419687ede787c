"""The masks of a SEG, eight voxels a byte; one frame at a time is spread out to a byte a voxel.

What a file declares is compared with its bytes and with the limits below before memory is taken:
a few hundred bytes can declare frames of 65535 by 65535.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from gcp_side.labseg.errors import SegmentationUnreadableError
from segrelay.voxels.bounds import check_pixel_bytes, pixel_bytes
from segrelay.voxels.codestreams import decode_frames
from segrelay.voxels.pixel_form import read_pixel_form

MOST_FRAMES = 10_000
"""Twenty segments on each of 500 slices."""

MOST_FRAME_VOXELS = 4096 * 4096
"""Of one frame; an MR matrix has a quarter of it at most."""

MOST_VOXELS = 512 * 1024 * 1024
"""Size of every frame together: 64 MiB as single bits; two thousand frames of 512 by 512."""

_PLAIN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)


@dataclass(frozen=True, eq=False)
class PackedMask:
    """One frame, its voxels as bits that follow each other, the lowest of a byte first."""

    bits: NDArray[np.uint8]
    """Bytes with the bits of this frame, and perhaps of others."""
    start: int
    """Index of the frame's first bit in ``bits``."""
    rows: int
    columns: int

    def spread(self) -> NDArray[np.bool_]:
        """[rows, columns]"""
        count = self.rows * self.columns
        first, skipped = divmod(self.start, 8)
        taken = self.bits[first : (self.start + count + 7) // 8]
        bits = np.unpackbits(taken, count=skipped + count, bitorder="little")
        return bits[skipped:].view(np.bool_).reshape(self.rows, self.columns)


def read_masks(dataset: Dataset) -> list[PackedMask]:
    """The masks of a SEG of type BINARY or FRACTIONAL, in the order of its frames.

    FRACTIONAL frames become masks of the voxels with at least half of the maximum (PS3.3
    C.8.20.2.3).

    Raises
    ------
    SegmentationUnreadableError
        ``segmentation-type`` or ``segmentation-too-large``.
    SeriesRefusedError
        There are fewer bytes than the frames need, or a size is not positive.
    """
    kind = dataset.SegmentationType
    if kind not in ("BINARY", "FRACTIONAL"):
        raise SegmentationUnreadableError(
            "The segmentation is neither BINARY nor FRACTIONAL.", code="segmentation-type"
        )
    frames, rows, columns = _checked_shape(dataset)
    if kind == "BINARY" and dataset.file_meta.TransferSyntaxUID in _PLAIN:
        return _single_bits(dataset, frames, rows, columns)
    masks = [
        PackedMask(np.packbits(mask, bitorder="little"), 0, rows, columns)
        for mask in _decoded(dataset, fractional=kind == "FRACTIONAL")
    ]
    if len(masks) != frames:
        raise ValueError("Number of Frames and the pixel data differ")
    return masks


def _checked_shape(dataset: Dataset) -> tuple[int, int, int]:
    """Frames, rows and columns, and that they are no more than can be shown."""
    frames = int(dataset.NumberOfFrames)
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    bits = int(dataset.BitsAllocated)
    pixel_bytes(frames=frames, rows=rows, columns=columns, bits=bits)
    if (
        frames > MOST_FRAMES
        or rows * columns > MOST_FRAME_VOXELS
        or frames * rows * columns > MOST_VOXELS
    ):
        raise too_large()
    if dataset.file_meta.TransferSyntaxUID in _PLAIN:
        check_pixel_bytes(
            len(dataset.PixelData), frames=frames, rows=rows, columns=columns, bits=bits
        )
    return frames, rows, columns


def too_large() -> SegmentationUnreadableError:
    """The error for a SEG beyond the limits."""
    return SegmentationUnreadableError(
        "The segmentation is too large to be shown.",
        code="segmentation-too-large",
        remedy="Check the instance in Orthanc; its header may be damaged.",
    )


def _single_bits(dataset: Dataset, frames: int, rows: int, columns: int) -> list[PackedMask]:
    """Bits that follow each other from frame to frame (PS3.5 8.1.1); none is spread out here."""
    if (dataset.BitsAllocated, dataset.SamplesPerPixel) != (1, 1):
        raise ValueError("a BINARY segmentation without single bits")
    bits = np.frombuffer(dataset.PixelData, np.uint8)
    return [PackedMask(bits, frame * rows * columns, rows, columns) for frame in range(frames)]


def _decoded(dataset: Dataset, *, fractional: bool) -> Iterator[NDArray[np.bool_]]:
    """Frames of bytes or of compressed pixels, one at a time."""
    most = int(dataset.MaximumFractionalValue) if fractional else 1
    if most < 1:
        # Every voxel would be at least half of it.
        raise ValueError("Maximum Fractional Value is not positive")
    for frame in _frames(dataset):
        if fractional:
            yield 2 * frame.astype(np.uint16) >= most
        else:
            yield frame > 0


def _frames(dataset: Dataset) -> Iterator[NDArray[Any]]:
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return iter_pixels(dataset)
    # What a codestream declares of itself is compared as well.
    return (frame.samples for frame in decode_frames(dataset, read_pixel_form(dataset)))
