"""Pixel Data to stored values: the one decoder of both sides.

A cell of Bits Allocated holds a voxel of Bits Stored, whose highest bit is High Bit; the other
bits of the cell are not of the image, and old scanners keep overlays there (PS3.5 8.1.1). So
every cell is shifted until its voxel's bits are the lowest, everything else is masked out, and
the highest stored bit becomes the sign where Pixel Representation says so.

What a codec returns has no cells: its samples have the bits of the codestream. Where these are
more than Bits Stored, the whole cell was compressed, and the same rule applies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from segrelay.errors import SeriesRefusedError
from segrelay.voxels.bounds import check_pixel_bytes
from segrelay.voxels.codestreams import CodedFrame, Sign, decode_frames
from segrelay.voxels.padding import find_padding, padding_range
from segrelay.voxels.pixel_form import PixelForm, read_pixel_form

_NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)


@dataclass(frozen=True, eq=False)
class StoredImage:
    """The decoded voxels of one instance."""

    values: NDArray[Any]
    """[frames, rows, columns] integers as stored, little endian: 8, 16 or 32 bits as Bits
    Allocated says, signed as Pixel Representation says. Possibly read-only."""
    padded: NDArray[np.bool_] | None
    """[frames, rows, columns] where a voxel is padding; None where the instance declares none."""

    def frames(self) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_] | None]]:
        """Values and padding of one frame after the other: [rows, columns] each."""
        for index, values in enumerate(self.values):
            yield values, None if self.padded is None else self.padded[index]


def decode_stored(dataset: Dataset) -> StoredImage:
    """Decode greyscale Pixel Data (one sample a voxel).

    Parameters
    ----------
    dataset:
        Parsed from a file of ``file_format.plain_file``, with the attributes of
        ``pixel_form.PIXEL_ATTRIBUTES``, and its transfer syntax in ``file_meta``.

    Raises
    ------
    SeriesRefusedError
        ``pixel-depth``, ``pixel-encoding``: a form that is not read, or that contradicts itself;
        ``unreadable-instance``: less Pixel Data than declared, or a size that is not positive;
        ``compressed-unreadable``, ``image-too-large``.
    """
    form = read_pixel_form(dataset)
    padding = padding_range(dataset, form)
    if dataset.file_meta.TransferSyntaxUID in _NATIVE:
        return _aligned(_native_cells(dataset, form), form, padding)
    frames = [_coded(frame, form, padding) for frame in decode_frames(dataset, form)]
    padded = [frame.padded for frame in frames if frame.padded is not None]
    return StoredImage(
        values=np.stack([frame.values for frame in frames]),
        padded=np.stack(padded) if padded else None,
    )


def _native_cells(dataset: Dataset, form: PixelForm) -> NDArray[Any]:
    """[frames, rows, columns] whole cells, little endian."""
    data = dataset.PixelData
    frames, rows, columns = form.shape
    needed = check_pixel_bytes(
        len(data), frames=frames, rows=rows, columns=columns, bits=form.allocated
    )
    is_big_endian = dataset.file_meta.TransferSyntaxUID == ExplicitVRBigEndian
    if is_big_endian and form.allocated == 8 and dataset["PixelData"].VR == "OW":
        # Two voxels in each word, the first in its lower byte (PS3.5 D.1).
        words = np.frombuffer(data, ">u2", count=len(data) // 2)
        cells: NDArray[Any] = words.astype("<u2").view(form.dtype)[:needed]
        return cells.reshape(form.shape)
    kind = form.dtype.newbyteorder(">") if is_big_endian else form.dtype
    cells = np.frombuffer(data, kind, count=frames * rows * columns)
    return cells.astype(form.dtype, copy=False).reshape(form.shape)


def _aligned(cells: NDArray[Any], form: PixelForm, padding: tuple[int, int] | None) -> StoredImage:
    """Voxels from their cells, with what is padding among them."""
    values = _voxels_of(cells, form.high_bit, form.stored, form.is_signed)
    if padding is None:
        return StoredImage(values, None)
    low, high = form.limits
    # Some writers pad with more bits than a voxel has, so that no tissue has the value.
    is_voxel = low <= padding[0] and padding[1] <= high
    return StoredImage(values, find_padding(values if is_voxel else cells, padding))


def _coded(frame: CodedFrame, form: PixelForm, padding: tuple[int, int] | None) -> StoredImage:
    if frame.precision > form.stored:
        return _aligned(_cells_of(frame, form), form, padding)
    sign_bits = _sign_bits(frame, form)
    values = frame.samples.astype(form.dtype, copy=False)
    values = _voxels_of(values, sign_bits - 1, sign_bits, form.is_signed)
    return StoredImage(values, None if padding is None else find_padding(values, padding))


def _sign_bits(frame: CodedFrame, form: PixelForm) -> int:
    """How many bits a sample has up to its sign, where the image is signed."""
    if frame.sign is Sign.YES:
        return frame.precision
    is_open = form.is_signed and frame.precision < form.stored and frame.sign is Sign.UNCLEAR
    if is_open and (frame.samples >> (frame.precision - 1)).any():
        raise SeriesRefusedError(
            f"The compressed voxels have {frame.precision} bits and Bits Stored is {form.stored}: "
            "which bit is their sign is not clear.",
            code="pixel-encoding",
        )
    return form.stored


def _cells_of(frame: CodedFrame, form: PixelForm) -> NDArray[Any]:
    if form.high_bit >= frame.precision:
        raise SeriesRefusedError(
            f"The compressed voxels have {frame.precision} bits, and High Bit is {form.high_bit}.",
            code="pixel-encoding",
        )
    cells = frame.samples.astype(form.dtype, copy=False)
    return _voxels_of(cells, frame.precision - 1, frame.precision, form.is_signed)


def _voxels_of(cells: NDArray[Any], high_bit: int, stored: int, is_signed: bool) -> NDArray[Any]:
    """The bits from ``high_bit`` down to ``stored`` of them, as numbers."""
    bits = 8 * cells.dtype.itemsize
    if stored == bits:
        return cells
    above, below = bits - 1 - high_bit, high_bit + 1 - stored
    if above == 0:
        # Shifting signed numbers to the right repeats the sign.
        return np.asarray(cells >> below)
    if below == 0 and not is_signed:
        return np.asarray(cells & cells.dtype.type((1 << stored) - 1))
    return np.asarray((cells << above) >> (above + below))
