"""What a SEG declares against what it has: nothing is allocated for a size that is not there."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pack_bits
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from gcp_side.labseg.dicom import segmentation
from gcp_side.labseg.dicom.masks import MOST_FRAMES, PackedMask
from gcp_side.labseg.dicom.segmentation import Segmentation, read_segmentation
from gcp_side.labseg.errors import SegmentationUnreadableError
from tests.unit.gcp_side.fakes import Grid, MadeFrame, as_file, seg_dataset

GRID = Grid(slices=4, rows=5, columns=7)
MEBIBYTE = 1024 * 1024


def seg(seed: int = 5) -> tuple[Dataset, list[NDArray[np.bool_]]]:
    rng = np.random.default_rng(seed)
    masks = [rng.random((GRID.rows, GRID.columns)) < 0.4 for _ in range(GRID.slices)]
    frames = [MadeFrame(segment=1, index=n, mask=mask) for n, mask in enumerate(masks)]
    return seg_dataset(GRID, frames), masks


def fractional(dataset: Dataset, masks: list[NDArray[np.bool_]]) -> None:
    dataset.SegmentationType, dataset.MaximumFractionalValue = "FRACTIONAL", 255
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    values = b"".join(np.where(mask, 128, 127).astype(np.uint8).tobytes() for mask in masks)
    dataset.PixelData = values


def deflated(file: bytes, behind: int = 0) -> bytes:
    """The same file in the deflated transfer syntax, mebibytes of zeros behind it."""
    syntax = DeflatedExplicitVRLittleEndian.encode()
    head = bytes(128) + b"DICM\x02\x00\x10\x00UI" + len(syntax).to_bytes(2, "little") + syntax
    body = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    start = body.compress(file[file.index(b"\x08\x00\x16\x00UI") :])
    start += body.flush(zlib.Z_FULL_FLUSH)
    zeros = body.compress(bytes(MEBIBYTE)) + body.flush(zlib.Z_FULL_FLUSH)
    return head + start + zeros * behind + body.flush()


def refused(data: bytes, most_mebibytes: float = 4) -> str:
    """Its code, and that it took almost no memory."""
    tracemalloc.start()
    try:
        with pytest.raises(SegmentationUnreadableError) as caught:
            read_segmentation(data)
        assert tracemalloc.get_traced_memory()[1] < most_mebibytes * MEBIBYTE
    finally:
        tracemalloc.stop()
    return caught.value.code


def masks_of(found: Segmentation) -> list[NDArray[np.bool_]]:
    return [frame.mask for frame in found.frames]


@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 11)),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60)
def test_single_bits_come_back_wherever_a_frame_begins(
    shape: tuple[int, int, int], seed: int
) -> None:
    masks = np.random.default_rng(seed).random(shape) < 0.5
    bits = np.frombuffer(pack_bits(masks.astype(np.uint8).ravel()), np.uint8)
    frames, rows, columns = shape
    for frame in range(frames):
        packed = PackedMask(bits, frame * rows * columns, rows, columns)
        np.testing.assert_array_equal(packed.spread(), masks[frame])


def test_a_frame_of_segment_0_is_refused() -> None:
    dataset = seg_dataset(GRID, [MadeFrame(segment=0, index=0, mask=seg()[1][0])])
    with pytest.raises(SegmentationUnreadableError) as caught:
        read_segmentation(as_file(dataset))
    assert caught.value.code == "segmentation-broken"


def test_a_maximum_of_zero_makes_no_mask_of_everything() -> None:
    dataset, masks = seg()
    fractional(dataset, masks)
    dataset.MaximumFractionalValue = 0
    with pytest.raises(SegmentationUnreadableError) as caught:
        read_segmentation(as_file(dataset))
    assert caught.value.code == "segmentation-broken"


def test_a_mask_is_the_same_in_every_encoding() -> None:
    dataset, masks = seg()
    plain = as_file(dataset)
    fractional(dataset, masks)
    eight = as_file(dataset)
    dataset.compress(RLELossless, encoding_plugin="pydicom")
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    for data in (plain, deflated(plain), eight, buffer.getvalue()):
        for found, expected in zip(masks_of(read_segmentation(data)), masks, strict=True):
            np.testing.assert_array_equal(found, expected)


def _rows(rows: int, columns: int, frames: int | None = None) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        dataset.Rows, dataset.Columns = rows, columns
        if frames is not None:
            dataset.NumberOfFrames = frames

    return change


BOMBS: dict[str, tuple[Callable[[Dataset], None], str]] = {
    "a matrix of 40000": (_rows(40_000, 40_000), "segmentation-too-large"),
    "the largest matrix": (_rows(65_535, 65_535, 2**31 - 1), "segmentation-too-large"),
    "more bits than there are": (_rows(4_000, 4_000), "segmentation-broken"),
    "more frames than there are": (_rows(5, 7, 9_999), "segmentation-broken"),
    "too many frames": (_rows(1, 1, MOST_FRAMES + 1), "segmentation-too-large"),
    "no frames": (_rows(5, 7, 0), "segmentation-broken"),
    "a negative number of frames": (_rows(5, 7, -4), "segmentation-broken"),
    "no rows": (_rows(0, 7), "segmentation-broken"),
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("kind", ["single bits", "eight bits", "RLE"])
def test_a_declared_size_is_compared_before_memory_is_taken(name: str, kind: str) -> None:
    change, code = BOMBS[name]
    dataset, masks = seg()
    if kind != "single bits":
        fractional(dataset, masks)
    if kind == "RLE":
        as_file(dataset)
        dataset.compress(RLELossless, encoding_plugin="pydicom")
    change(dataset)
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True) if kind == "RLE" else buffer.write(
        as_file(dataset)
    )
    assert len(buffer.getvalue()) < 8_000
    limit = 40 if kind == "RLE" else 4
    assert refused(buffer.getvalue(), limit) == code


def test_a_deflated_bomb_is_not_inflated() -> None:
    bomb = deflated(as_file(seg()[0]), behind=600)
    assert len(bomb) < MEBIBYTE
    assert refused(bomb, 8) == "segmentation-too-large"


@pytest.mark.parametrize("defined", [True, False])
def test_items_are_counted_before_they_are_read(defined: bool) -> None:
    dataset, _ = seg()
    dataset.ReferencedSeriesSequence = Sequence([])
    plain = as_file(dataset)
    items = segmentation.MOST_ITEMS + 1
    empty = b"\xfe\xff\x00\xe0" + bytes(4)
    length = (8 * items).to_bytes(4, "little") if defined else b"\xff" * 4
    end = b"" if defined else b"\xfe\xff\xdd\xe0" + bytes(4)
    bomb = plain + b"\x99\x99\x10\x99SQ\0\0" + length + empty * items + end
    assert refused(bomb) == "segmentation-too-large"


def test_segments_are_counted_before_they_are_read() -> None:
    dataset, _ = seg()
    dataset.SegmentSequence = [Dataset() for _ in range(segmentation.MOST_SEGMENTS + 1)]
    for number, item in enumerate(dataset.SegmentSequence, start=1):
        item.SegmentNumber = number
    assert refused(as_file(dataset)) == "segmentation-too-large"


def test_frames_and_functional_groups_are_as_many() -> None:
    dataset, _ = seg()
    dataset.PerFrameFunctionalGroupsSequence = dataset.PerFrameFunctionalGroupsSequence[:-1]
    assert refused(as_file(dataset)) == "segmentation-broken"
