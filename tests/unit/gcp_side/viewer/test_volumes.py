"""A series as voxels in space: against the arrays and affines that the test wrote."""

from __future__ import annotations

import gzip
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless

from gcp_side.labseg.errors import NoSuchSliceError, QueryRefusedError, SeriesNotShownError
from gcp_side.labseg.orthanc.client import orthanc_id
from gcp_side.labseg.viewer import volumes
from gcp_side.labseg.viewer.geometry import SeriesGeometry
from gcp_side.labseg.viewer.volumes import (
    DeflatedVoxels,
    MemoryCache,
    load_geometry,
    load_slice,
    load_volume,
)
from segrelay.errors import SeriesRefusedError
from tests.support.dicom.dicom_series import ORIENTATIONS, Edit, make_affine, rotation
from tests.support.dicom.enhanced_series import Whole, make_enhanced
from tests.unit.gcp_side.fakes import FakeOrthanc, series_id
from tests.unit.gcp_side.image_series import store_frames, store_images, write_images

SHAPE = (5, 6, 7)


def volume_size(voxels: DeflatedVoxels) -> int:
    return len(voxels.gzipped)


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volumes, "_volumes", MemoryCache(10**7, volume_size))


def numbered(shape: tuple[int, int, int] = SHAPE) -> NDArray[np.uint16]:
    """Every voxel has a value of its own."""
    return np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)


def orthanc_with(
    *,
    affine: NDArray[np.float64] | None = None,
    edit: Edit | None = None,
    voxels: NDArray[np.uint16] | None = None,
) -> FakeOrthanc:
    fake = FakeOrthanc()
    series = write_images(
        numbered() if voxels is None else voxels,
        make_affine() if affine is None else affine,
        edit=edit,
    )
    store_images(fake, series, range(len(series.datasets)))
    return fake


def decoded(found: DeflatedVoxels) -> NDArray[np.generic]:
    return np.frombuffer(gzip.decompress(found.gzipped), found.dtype).reshape(found.shape)


def displayed_volume(fake: FakeOrthanc) -> tuple[SeriesGeometry, NDArray[np.generic]]:
    return load_geometry(series_id(0), fake), decoded(load_volume(series_id(0), fake))


@given(
    orientation=st.sampled_from(sorted(ORIENTATIONS)),
    angles=st.tuples(*[st.floats(-20, 20)] * 3),
    shape=st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(1, 9)),
    data=st.data(),
)
@settings(max_examples=40)
def test_every_voxel_lies_where_the_scanner_put_it(
    orientation: str,
    angles: tuple[float, float, float],
    shape: tuple[int, int, int],
    data: st.DataObject,
) -> None:
    affine = make_affine(orientation, tilt=rotation(*angles))
    series = write_images(numbered(shape), affine)
    fake = FakeOrthanc()
    store_images(fake, series, data.draw(st.permutations(range(shape[0]))))
    geometry, volume = displayed_volume(fake)
    assert geometry.shape == volume.shape == shape
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)[..., ::-1]
    world = index @ geometry.affine[:3, :3].T + geometry.affine[:3, 3]
    written = (world - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    np.testing.assert_allclose(written, np.rint(written), atol=1e-3)
    column, row, depth = np.rint(written).astype(int).transpose(3, 0, 1, 2)
    np.testing.assert_array_equal(volume, series.voxels[depth, row, column])


def test_a_slice_is_that_of_the_volume() -> None:
    fake = orthanc_with(affine=make_affine("coronal-back-to-front"))
    _, volume = displayed_volume(fake)
    for index in range(SHAPE[0]):
        found = load_slice(series_id(0), index, fake)
        np.testing.assert_array_equal(decoded(found), volume[index])
    with pytest.raises(NoSuchSliceError) as caught:
        load_slice(series_id(0), SHAPE[0], fake)
    assert caught.value.code == "no-such-slice"


def test_signed_voxels_keep_their_sign() -> None:
    def signed(dataset: Dataset, index: int) -> None:
        dataset.PixelRepresentation = 1
        dataset.PixelData = np.full(SHAPE[1:], -index, "<i2").tobytes()

    geometry, volume = displayed_volume(orthanc_with(edit=signed))
    assert geometry.dtype.name == "int16"
    assert volume[:, 0, 0].tolist() == [0, -1, -2, -3, -4]


def test_one_scale_for_all_is_told_and_not_applied() -> None:
    def scaled(dataset: Dataset, index: int) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = "2.5", "-7"
        dataset.WindowCenter, dataset.WindowWidth = ["120", "300"], ["80", "500"]

    geometry, volume = displayed_volume(orthanc_with(edit=scaled))
    assert (geometry.slope, geometry.intercept, geometry.window) == (2.5, -7.0, (120.0, 80.0))
    np.testing.assert_array_equal(volume, numbered())


def test_a_scale_of_every_slice_is_applied() -> None:
    slopes, intercepts = [0.25, 4.0, 11.0, 0.05, 0.5], [0.0, -120.0, 35.0, -7.5, 12.0]

    def scaled(dataset: Dataset, index: int) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = str(slopes[index]), str(intercepts[index])

    geometry, volume = displayed_volume(orthanc_with(edit=scaled))
    shown = volume.astype(float) * geometry.slope + geometry.intercept
    meant = numbered() * np.array(slopes)[:, None, None] + np.array(intercepts)[:, None, None]
    np.testing.assert_allclose(shown, meant, rtol=1e-6, atol=1e-3)


def test_slices_of_both_signs_keep_their_values() -> None:
    """The slice that speaks for the series is unsigned: it has no room for the others."""

    def signed(dataset: Dataset, index: int) -> None:
        if index != SHAPE[0] // 2:
            dataset.PixelRepresentation = 1
            dataset.PixelData = np.full(SHAPE[1:], -index, "<i2").tobytes()

    fake = orthanc_with(edit=signed)
    geometry, volume = displayed_volume(fake)
    assert (geometry.dtype.name, volume.dtype.name) == ("uint16", "float32")
    assert [volume[index, 0, 0] for index in (0, 1, 3, 4)] == [0, -1, -3, -4]
    np.testing.assert_array_equal(decoded(load_slice(series_id(0), 1, fake)), volume[1])


def test_without_a_window_the_values_decide() -> None:
    voxels = np.zeros(SHAPE, np.uint16)
    voxels[:, 2:, :] = 1000
    geometry = load_geometry(series_id(0), orthanc_with(voxels=voxels))
    assert geometry.window == (500.0, 1000.0)


def shifted(dataset: Dataset, index: int) -> None:
    if index == 2:
        dataset.ImagePositionPatient = [*dataset.ImagePositionPatient[:2], -34.5]


def at_one_place(dataset: Dataset, index: int) -> None:
    dataset.ImagePositionPatient = [0, 0, min(index, 3)]


def turned(dataset: Dataset, index: int) -> None:
    if index == 3:
        dataset.ImageOrientationPatient = [0, 1, 0, 1, 0, 0]


def cut(dataset: Dataset, index: int) -> None:
    dataset.PixelData = dataset.PixelData[:10]


def compressed(dataset: Dataset, index: int) -> None:
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless


def put(**values: object) -> Edit:
    def edit(dataset: Dataset, index: int) -> None:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    return edit


def lose(keyword: str) -> Edit:
    def edit(dataset: Dataset, index: int) -> None:
        delattr(dataset, keyword)

    return edit


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (shifted, "uneven-spacing"),
        (at_one_place, "duplicate-slice"),
        (turned, "mixed-orientation"),
        (lose("ImagePositionPatient"), "no-position"),
        (put(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "no-position"),
        (put(ImageOrientationPatient=[0, 0, 0, 0, 0, 0]), "no-position"),
        (lose("PixelSpacing"), "no-pixel-spacing"),
        (put(PixelSpacing=[0, 1]), "no-pixel-spacing"),
        (put(NumberOfFrames=2), "multiframe"),
        (put(PhotometricInterpretation="MONOCHROME1"), "inverted-greyscale"),
        (put(BitsAllocated=12), "pixel-depth"),
        (put(BitsAllocated=32), "unreadable-instance"),
        (put(HighBit=7), "pixel-encoding"),
        (cut, "unreadable-instance"),
        (lose("PixelData"), "unreadable-instance"),
    ],
)
def test_what_cannot_be_placed_is_not_shown(edit: Edit, code: str) -> None:
    with pytest.raises(SeriesNotShownError) as caught:
        load_geometry(series_id(0), orthanc_with(edit=edit))
    assert caught.value.code == code
    assert "Phantom" not in caught.value.message


def enhanced(edit_frame: Edit | None = None, edit: Whole | None = None) -> FakeOrthanc:
    fake = FakeOrthanc()
    order = [3, 0, 4, 1, 2]
    instance = make_enhanced(numbered(), make_affine(), order, shared=(), edit_frame=edit_frame)
    if edit is not None:
        edit(instance)
    store_frames(fake, instance)
    return fake


def test_the_frames_of_an_enhanced_instance_are_slices() -> None:
    def scaled(groups: Dataset, index: int) -> None:
        groups.PixelValueTransformationSequence[0].RescaleSlope = "2.5"
        window = Dataset()
        window.WindowCenter, window.WindowWidth = [str(100 + index), "300"], ["80", "500"]
        groups.FrameVOILUTSequence = [window]

    fake = enhanced(scaled)
    geometry, volume = displayed_volume(fake)
    np.testing.assert_array_equal(volume, numbered())
    np.testing.assert_allclose(geometry.affine, make_affine(), atol=1e-6)
    assert (geometry.slope, geometry.window) == (2.5, (102.0, 80.0))
    assert len(set(geometry.instances)) == 1
    files = fake.calls.count("instance_file")
    for index in range(SHAPE[0]):
        found = load_slice(series_id(0), index, fake)
        np.testing.assert_array_equal(decoded(found), volume[index])
    assert fake.calls.count("instance_file") == files


def one_group_less(instance: Dataset) -> None:
    instance.NumberOfFrames = 6


def few_pixels(instance: Dataset) -> None:
    instance.PixelData = instance.PixelData[:100]


@pytest.mark.parametrize("edit", [one_group_less, few_pixels])
def test_a_damaged_enhanced_instance_is_not_shown(edit: Whole) -> None:
    with pytest.raises(SeriesNotShownError) as caught:
        load_geometry(series_id(0), enhanced(edit=edit))
    assert caught.value.code == "unreadable-instance"


def test_two_phases_in_one_instance_are_not_shown() -> None:
    def one_place(groups: Dataset, index: int) -> None:
        groups.PlanePositionSequence[0].ImagePositionPatient = [0, 0, index % 2]

    with pytest.raises(SeriesNotShownError) as caught:
        load_geometry(series_id(0), enhanced(one_place))
    assert caught.value.code == "duplicate-slice"


def one_small(dataset: Dataset, index: int) -> None:
    if index == 0:
        dataset.Rows, dataset.PixelData = 2, bytes(2 * 7 * 2)


def one_wide(dataset: Dataset, index: int) -> None:
    if index == 0:
        dataset.PixelSpacing = [3, 3]


@pytest.mark.parametrize(
    ("edit", "code"), [(one_small, "mixed-matrix"), (one_wide, "mixed-spacing")]
)
def test_slices_of_two_kinds_are_not_shown(edit: Edit, code: str) -> None:
    fake = orthanc_with(edit=edit)
    load_geometry(series_id(0), fake)
    with pytest.raises(SeriesNotShownError) as caught:
        load_volume(series_id(0), fake)
    assert caught.value.code == code


def test_junk_and_unknown_ids() -> None:
    with pytest.raises(QueryRefusedError) as caught:
        load_geometry("../instances", FakeOrthanc())
    assert caught.value.code == "orthanc-id"
    with pytest.raises(SeriesRefusedError):
        load_geometry(orthanc_id("nothing"), FakeOrthanc())


def test_a_volume_is_fetched_once_until_an_instance_changes() -> None:
    fake = orthanc_with()
    _, before = displayed_volume(fake)
    files = fake.calls.count("instance_file")
    displayed_volume(fake)
    assert fake.calls.count("instance_file") == files

    other = orthanc_with(voxels=numbered() + 1)
    _, after = displayed_volume(other)
    np.testing.assert_array_equal(after, before + 1)


def kept(size: int) -> DeflatedVoxels:
    return DeflatedVoxels(bytes(size), (1,), np.dtype("<u2"), "")


def test_the_cache_forgets_the_least_lately_used() -> None:
    cache = MemoryCache(250, volume_size)
    for key in "ab":
        cache.keep(key, kept(100))
    cache.get("a")
    cache.keep("c", kept(100))
    assert [cache.get(key) is not None for key in "abc"] == [True, False, True]
    cache.keep("huge", kept(300))
    assert [cache.get(key) for key in ("a", "c", "huge")] == [None] * 3


def test_a_budget_lets_in_what_fits_and_the_too_large_alone() -> None:
    budget = volumes.MemoryBudget(100)
    inside, most = 0, 0
    order = threading.Lock()

    def hold(size: int) -> None:
        nonlocal inside, most
        with budget.taken(size):
            with order:
                inside += min(size, 100)
                most = max(most, inside)
            time.sleep(0.002)
            with order:
                inside -= min(size, 100)

    threads = [threading.Thread(target=hold, args=(size,)) for size in (60, 40, 500, 30, 100, 70)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert (inside, most) == (0, 100)


def test_what_many_ask_for_at_once_is_read_once() -> None:
    fake = orthanc_with()
    answers: list[DeflatedVoxels] = []
    threads = [
        threading.Thread(target=lambda: answers.append(load_volume(series_id(0), fake)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len({id(found) for found in answers}) == 1
    assert len(answers) == 8
