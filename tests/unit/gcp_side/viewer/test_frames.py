"""A SEG as masks on the displayed slices: against masks that the test made itself."""

from __future__ import annotations

import base64
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from django.core.cache import caches
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from gcp_side.labseg.errors import QueryRefusedError, SegmentationUnreadableError
from gcp_side.labseg.viewer.frames import load_frames
from segrelay.errors import OrthancRefusedError, SeriesRefusedError
from tests.unit.gcp_side.fakes import (
    SEG_ID,
    FakeOrthanc,
    Grid,
    MadeFrame,
    as_file,
    seg_dataset,
    series_id,
)

ORIENTATIONS = [
    (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),  # axial
    (0.0, 1.0, 0.0, 0.0, 0.0, -1.0),  # sagittal: the normal points to -x
    (1.0, 0.0, 0.0, 0.0, 0.0, -1.0),  # coronal
    (1.0, 0.0, 0.0, 0.0, 0.8, 0.6),  # oblique
    (0.0, -0.8, -0.6, -1.0, 0.0, 0.0),  # oblique, flipped and transposed
]

Masks = dict[int, NDArray[np.bool_]]


def orthanc_with(
    dataset: Dataset, *grids: Grid, upload_order: list[int] | None = None
) -> FakeOrthanc:
    fake = FakeOrthanc(files={SEG_ID: as_file(dataset)})
    for grid in grids:
        fake.slices |= grid.places(upload_order or range(grid.slices))
        fake.files |= grid.files()
    return fake


def load(
    orthanc: FakeOrthanc, *, series: str | None = None, segment: int | None = None
) -> tuple[list[int], Masks]:
    frames = load_frames(SEG_ID, series_id=series, segment=segment, orthanc=orthanc)
    return [frame["index"] for frame in frames], {
        frame["index"]: decode(frame["mask_base64"]) for frame in frames
    }


def decode(text: str) -> NDArray[np.bool_]:
    image = Image.open(BytesIO(base64.b64decode(text, validate=True)))
    assert (image.format, image.mode) == ("PNG", "L")
    pixels = np.asarray(image)
    assert set(np.unique(pixels)) <= {0, 255}
    mask: NDArray[np.bool_] = pixels == 255
    return mask


def assert_same(found: Masks, expected: Masks) -> None:
    assert found.keys() == expected.keys()
    for index, mask in expected.items():
        np.testing.assert_array_equal(found[index], mask)


def one_frame(grid: Grid, index: int = 1) -> list[MadeFrame]:
    mask = np.zeros((grid.rows, grid.columns), bool)
    mask[0, :2] = True
    return [MadeFrame(segment=1, index=index, mask=mask)]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Grid, list[MadeFrame], list[int]]:
    """A grid, frames of up to two segments in any order, and an upload order."""
    grid = Grid(
        slices=draw(st.integers(1, 6)),
        rows=draw(st.integers(1, 9)),
        columns=draw(st.integers(1, 19)),
        orientation=draw(st.sampled_from(ORIENTATIONS)),
        step_mm=draw(st.sampled_from([0.8, 2.5, 6.0])),
    )
    places = st.tuples(st.integers(1, 2), st.integers(0, grid.slices - 1))
    chosen = draw(st.lists(places, min_size=1, unique=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    frames = [
        MadeFrame(segment=segment, index=index, mask=rng.random((grid.rows, grid.columns)) < 0.4)
        for segment, index in chosen
    ]
    return grid, frames, draw(st.permutations(range(grid.slices)))


@given(case=cases(), sources=st.booleans(), segment=st.sampled_from([None, 1, 2]))
@settings(max_examples=60, deadline=None)
def test_every_mask_is_on_its_slice(
    case: tuple[Grid, list[MadeFrame], list[int]],
    sources: bool,
    segment: int | None,
) -> None:
    """Any frame order, upload order, orientation, width; omitted frames; two segments."""
    grid, frames, upload_order = case
    expected: Masks = {}
    for frame in frames:
        if segment in (None, frame.segment):
            before = expected.get(frame.index, np.zeros((grid.rows, grid.columns), bool))
            expected[frame.index] = before | frame.mask
    dataset = seg_dataset(grid, frames, sources=sources, positions=not sources)
    orthanc = orthanc_with(dataset, grid, upload_order=upload_order)
    # Every example is another SEG under the same id.
    caches["segmentations"].clear()
    if not expected:
        with pytest.raises(SegmentationUnreadableError) as caught:
            load(orthanc, segment=segment)
        assert caught.value.code == "no-such-segment"
        return
    indices, found = load(orthanc, segment=segment)
    assert indices == sorted(expected)
    assert_same(found, expected)


GRID = Grid(slices=4, rows=5, columns=7)


def test_the_reference_series_is_the_one_with_the_source_images() -> None:
    """A SEG made from four series names them all."""
    others = [Grid(slices=4, rows=5, columns=7, number=number) for number in (1, 2, 3)]
    dataset = seg_dataset(GRID, one_frame(GRID), other_series=others)
    indices, _ = load(orthanc_with(dataset, GRID))
    assert indices == [1]


def test_without_source_images_the_first_series_named_is_the_reference() -> None:
    indices, _ = load(orthanc_with(seg_dataset(GRID, one_frame(GRID), sources=False), GRID))
    assert indices == [1]


def test_another_series_on_the_same_grid() -> None:
    other = Grid(slices=4, rows=5, columns=7, number=3)
    orthanc = orthanc_with(seg_dataset(GRID, one_frame(GRID, 2)), other, upload_order=[3, 1, 0, 2])
    indices, _ = load(orthanc, series=series_id(3))
    assert indices == [2]


@pytest.mark.parametrize(
    "other",
    [
        Grid(slices=4, rows=5, columns=7, number=3, origin=(-20.0, 6.0, 30.0)),
        Grid(slices=4, rows=5, columns=7, number=3, origin=(-18.0, 5.0, 30.0)),
        Grid(slices=4, rows=5, columns=7, number=3, step_mm=3.5),
        Grid(slices=4, rows=10, columns=14, number=3),
        Grid(slices=4, rows=5, columns=7, number=3, orientation=ORIENTATIONS[0]),
        Grid(slices=4, rows=5, columns=7, number=3, orientation=(-1.0, 0.0, 0.0, 0.0, 0.0, 1.0)),
        Grid(slices=1, rows=5, columns=7, number=3),
    ],
    ids=["between slices", "in-plane shift", "step", "matrix", "plane", "turned", "too short"],
)
def test_a_series_on_another_grid_is_refused(other: Grid) -> None:
    orthanc = orthanc_with(seg_dataset(GRID, one_frame(GRID, 3)), other)
    with pytest.raises(SegmentationUnreadableError) as caught:
        load(orthanc, series=series_id(3))
    assert caught.value.code == "not-on-grid"


def test_a_frame_whose_position_contradicts_its_source_image_is_refused() -> None:
    """Shown on either slice it could be wrong."""
    dataset = seg_dataset(GRID, one_frame(GRID))
    group = dataset.PerFrameFunctionalGroupsSequence[0]
    group.PlanePositionSequence[0].ImagePositionPatient = list(GRID.position(2))
    with pytest.raises(SegmentationUnreadableError) as caught:
        load(orthanc_with(dataset, GRID))
    assert caught.value.code == "not-on-grid"


def test_a_fractional_segmentation_is_cut_at_half() -> None:
    dataset = seg_dataset(GRID, one_frame(GRID))
    dataset.SegmentationType, dataset.SegmentationFractionalType = "FRACTIONAL", "PROBABILITY"
    dataset.MaximumFractionalValue = 200
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    values = np.zeros((5, 7), np.uint8)
    values[0, :4] = [99, 100, 101, 200]
    dataset.PixelData = values.tobytes() + b"\0"
    _, found = load(orthanc_with(dataset, GRID))
    expected = np.zeros((5, 7), bool)
    expected[0, 1:4] = True
    assert_same(found, {1: expected})


def test_an_empty_mask_is_a_frame_without_voxels() -> None:
    frame = MadeFrame(segment=1, index=0, mask=np.zeros((5, 7), bool))
    _, found = load(orthanc_with(seg_dataset(GRID, [frame]), GRID))
    assert_same(found, {0: np.zeros((5, 7), bool)})


def test_the_answer_is_cached_by_series_and_segment() -> None:
    orthanc = orthanc_with(seg_dataset(GRID, one_frame(GRID)), GRID)
    first = load(orthanc)
    calls = list(orthanc.calls)
    assert calls == ["instance_file", "series_entry", "index_images", "places", "tags"]
    second = load(orthanc)
    assert orthanc.calls == calls
    assert second[0] == first[0]
    load(orthanc, segment=1)
    # What the series holds is known by now.
    assert orthanc.calls[5:] == ["instance_file", "series_entry", "places", "tags"]
    load(orthanc, series=series_id(0))
    assert orthanc.calls[9:] == ["instance_file", "places", "tags"]


def broken(**changes: object) -> Dataset:
    dataset = seg_dataset(GRID, one_frame(GRID))
    for keyword, value in changes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("dataset", "code"),
    [
        (broken(SOPClassUID=MRImageStorage), "not-a-segmentation"),
        (broken(SegmentationType="LABELMAP"), "segmentation-type"),
        (broken(PixelData=b"\0\0"), "segmentation-broken"),
        (broken(PixelData=None), "segmentation-broken"),
        (broken(PerFrameFunctionalGroupsSequence=[]), "segmentation-broken"),
        (broken(PerFrameFunctionalGroupsSequence=[Dataset()]), "segmentation-broken"),
        (broken(Rows=None), "segmentation-broken"),
        (broken(ReferencedSeriesSequence=None), "no-reference"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(dataset: Dataset, code: str) -> None:
    with pytest.raises(SegmentationUnreadableError) as caught:
        load(orthanc_with(dataset, GRID))
    assert caught.value.code == code
    assert caught.value.remedy


def test_what_is_no_dicom_is_refused() -> None:
    with pytest.raises(SegmentationUnreadableError) as caught:
        load(FakeOrthanc(files={SEG_ID: b"not DICOM"}))
    assert caught.value.code == "not-dicom"


@pytest.mark.parametrize("series", ["../x", "", "0" * 44])
def test_junk_ids_never_reach_orthanc(series: str) -> None:
    orthanc = FakeOrthanc()
    with pytest.raises(QueryRefusedError) as caught:
        load(orthanc, series=series)
    assert caught.value.code == "orthanc-id"
    assert orthanc.calls == []


def test_what_orthanc_has_not_is_its_own_error() -> None:
    with pytest.raises(OrthancRefusedError):
        load(FakeOrthanc())
    with pytest.raises(SeriesRefusedError):
        load(orthanc_with(seg_dataset(GRID, one_frame(GRID))))


def test_a_series_without_positions_has_no_displayed_order() -> None:
    orthanc = orthanc_with(seg_dataset(GRID, one_frame(GRID)), GRID)
    places = orthanc.slices[series_id(0)]
    places[1] = replace(places[1], position=None)
    with pytest.raises(SegmentationUnreadableError) as caught:
        load(orthanc)
    assert caught.value.code == "no-position"


def test_slices_that_are_not_parallel_have_no_displayed_order() -> None:
    orthanc = orthanc_with(seg_dataset(GRID, one_frame(GRID)), GRID)
    places = orthanc.slices[series_id(0)]
    places[1] = replace(places[1], orientation=ORIENTATIONS[3])
    with pytest.raises(SegmentationUnreadableError) as caught:
        load(orthanc)
    assert caught.value.code == "mixed-orientation"
