"""Padding is no tissue: in the volume, after rescale and resampling, in normalisation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from gcp_side.labseg.dicom.pixels import read_slices
from gcp_side.labseg.errors import SeriesNotShownError
from lab_side.imaging.read.series import read_series
from lab_side.imaging.volume.grid import grid_of, network_grid, to_grid
from lab_side.imaging.volume.normalise import normalise
from tests.support.dicom.dicom_series import Edit, make_affine, write_series
from tests.support.dicom.enhanced_series import write_enhanced

OUTSIDE = -32768


def tissue() -> NDArray[np.int16]:
    """[4, 10, 12] with 2 rows and columns outside the field of view."""
    values = np.random.default_rng(7).integers(90, 260, (4, 10, 12)).astype(np.int16)
    values[:, :2, :] = values[:, :, :2] = OUTSIDE
    return values


def signed_with_padding(**attributes: object) -> Edit:
    def edit(dataset: Dataset, index: int) -> None:
        dataset.PixelRepresentation = 1
        dataset.add_new(0x00280120, "SS", OUTSIDE)
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)

    return edit


def written(folder: Path, **attributes: object) -> list[Path]:
    edit = signed_with_padding(**attributes)
    return write_series(folder, tissue().view(np.uint16), make_affine(), edit=edit)


def test_padding_is_zero_after_the_rescale(tmp_path: Path) -> None:
    values = tissue()
    volume = read_series(written(tmp_path, RescaleSlope="2", RescaleIntercept="-30"))
    wanted = np.where(values == OUTSIDE, 0, values.astype(float) * 2 - 30)
    np.testing.assert_array_equal(volume.voxels, wanted)


def test_padding_is_zero_in_frames_too(tmp_path: Path) -> None:
    values = tissue()

    def edit(instance: Dataset) -> None:
        signed_with_padding()(instance, 0)

    paths = write_enhanced(tmp_path, values.view(np.uint16), make_affine(), edit=edit)
    volume = read_series(paths)
    np.testing.assert_array_equal(volume.voxels, np.where(values == OUTSIDE, 0, values))


def test_tissue_keeps_its_spread_in_normalisation_and_padding_is_not_smeared(
    tmp_path: Path,
) -> None:
    values = tissue()
    volume = read_series(written(tmp_path))
    normal = normalise(volume.voxels, "zscore-nonzero")
    inside = values != OUTSIDE
    assert normal[inside].std() == pytest.approx(1, abs=1e-4)
    assert not normal[~inside].any()
    grid = network_grid(grid_of(volume), "RAS", (1.0, 1.0, 1.0))
    sampled = to_grid(volume.voxels, volume.affine, grid)
    assert sampled.min() >= 0
    assert sampled.max() <= values.max()


def test_the_site_shows_padding_darkest_and_windows_without_it(tmp_path: Path) -> None:
    values = tissue()
    for path in written(tmp_path):
        (image,) = read_slices(path.read_bytes())
        inside = values[int(path.stem)] != OUTSIDE
        assert set(image.voxels[~inside].tolist()) == {0}
        np.testing.assert_array_equal(image.voxels[inside], values[int(path.stem)][inside])
        centre, width = image.window
        assert centre - width / 2 >= 90
        assert centre + width / 2 <= 260


def test_on_phase_images_padding_is_as_dark_as_the_darkest_tissue(tmp_path: Path) -> None:
    values = tissue()
    values[values != OUTSIDE] -= 200
    edit = signed_with_padding()
    for path in write_series(tmp_path, values.view(np.uint16), make_affine(), edit=edit):
        (image,) = read_slices(path.read_bytes())
        inside = values[int(path.stem)] != OUTSIDE
        assert set(image.voxels[~inside].tolist()) == {image.voxels[inside].min()}


def test_a_slice_of_padding_alone_is_shown_black(tmp_path: Path) -> None:
    empty = np.full((3, 6, 7), OUTSIDE, np.int16)
    paths = write_series(tmp_path, empty.view(np.uint16), make_affine(), edit=signed_with_padding())
    for path in paths:
        (image,) = read_slices(path.read_bytes())
        assert not image.voxels.any()
        assert image.window == (0.5, 1.0)
    assert not read_series(paths).voxels.any()


def test_values_of_32_bits_are_shown_where_16_hold_them(tmp_path: Path) -> None:
    values = np.arange(3 * 4 * 5).reshape(3, 4, 5) * 1000

    def wide(offset: int) -> Edit:
        def edit(dataset: Dataset, index: int) -> None:
            dataset.BitsAllocated = dataset.BitsStored = 32
            dataset.HighBit = 31
            dataset.PixelData = (values[index] + offset).astype("<u4").tobytes()

        return edit

    small = values.astype(np.uint16)
    for path in write_series(tmp_path / "fit", small, make_affine(), edit=wide(0)):
        (image,) = read_slices(path.read_bytes())
        np.testing.assert_array_equal(image.voxels, values[int(path.stem)])
    paths = write_series(tmp_path / "wide", small, make_affine(), edit=wide(70_000))
    with pytest.raises(SeriesNotShownError) as caught:
        read_slices(paths[0].read_bytes())
    assert caught.value.code == "pixel-depth"
    wanted = (values + 70_000).astype(np.float32)
    np.testing.assert_array_equal(read_series(paths).voxels, wanted)
