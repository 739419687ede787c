"""Rigid registration: known motions are found, wrong ones are dropped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the library's own abbreviation)
from numpy.typing import NDArray
from scipy import ndimage

from lab_side.imaging.read.series import SeriesVolume, read_series
from lab_side.imaging.volume.registration import Registration, place_together, register
from segrelay.errors import SeriesRefusedError
from tests.conftest import SEED
from tests.support.dicom.dicom_series import centres, make_affine, rotation, write_series

SHAPE = (28, 44, 40)
FIXED = make_affine("axial", spacing=(3.0, 3.0, 4.0), origin=(-60.0, -66.0, -54.0))
OTHER = make_affine("coronal", spacing=(3.0, 3.0, 4.0), origin=(-60.0, -50.0, 64.0))
MOST_OFF_MM = 2.5
"""At the corners of the head: less than a voxel."""
CORNERS = np.array([[x, y, z] for x in (-50, 50) for y in (-50, 50) for z in (-40, 40)], float)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As in the product: sums over several threads differ from run to run."""
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    yield
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def head(places: NDArray[np.float64], *, inverted: bool) -> NDArray[np.float32]:
    """A lopsided head with parts inside, at places [..., 3] in millimetres."""
    x, y, z = np.moveaxis(places, -1, 0)
    values = np.zeros(x.shape)
    for centre, radii, value in (
        ((0, 0, 0), (48, 56, 44), 100),
        ((18, 10, 8), (14, 9, 12), 70),
        ((-20, -14, -6), (10, 18, 8), -60),
        ((6, -26, 14), (8, 8, 16), 120),
        ((-14, 24, -18), (16, 6, 6), -80),
    ):
        inside = sum(
            ((axis - middle) / radius) ** 2
            for axis, middle, radius in zip((x, y, z), centre, radii, strict=True)
        )
        values = np.where(inside < 1, values + value, values)
    tissue = np.where(values > 0, 300 - values, 0) if inverted else values
    return ndimage.gaussian_filter(tissue, 0.6).astype(np.float32)


def turned(degrees: tuple[float, float, float], shift: tuple[float, ...]) -> NDArray[np.float64]:
    motion = np.eye(4)
    motion[:3, :3] = rotation(*degrees)
    motion[:3, 3] = shift
    return motion


def volume_of(
    folder: Path, affine: NDArray[np.float64], *, inverted: bool, uid: str
) -> SeriesVolume:
    """The head as a series, with noise that is its own."""
    rng = np.random.default_rng([SEED, int(inverted)])
    shown = head(centres(SHAPE, affine), inverted=inverted)
    noisy = np.clip(shown + rng.normal(0, 4, shown.shape) + 20, 0, None).astype(np.uint16)
    return read_series(write_series(folder, noisy, affine, series_uid=uid))


@pytest.fixture
def fixed(tmp_path: Path) -> SeriesVolume:
    return volume_of(tmp_path / "fixed", FIXED, inverted=False, uid="2.25.1")


@pytest.fixture
def moving(tmp_path: Path) -> SeriesVolume:
    """Of another weighting and orientation, where it belongs."""
    return volume_of(tmp_path / "moving", OTHER, inverted=True, uid="2.25.2")


def off_by(found: Registration, motion: NDArray[np.float64]) -> float:
    """Millimetres by which a corner of the head is off after motion and registration."""
    both = (found.motion @ motion) if found.kept else motion
    return float(np.linalg.norm(CORNERS @ both[:3, :3].T + both[:3, 3] - CORNERS, axis=1).max())


@pytest.mark.parametrize(
    ("degrees", "shift"),
    [((0, 0, 0), (9, -6, 4)), ((5, -7, 6), (0, 0, 0)), ((-6, 4, 8), (-7, 5, -6))],
)
def test_a_known_motion_is_undone(
    fixed: SeriesVolume,
    moving: SeriesVolume,
    degrees: tuple[float, float, float],
    shift: tuple[float, ...],
) -> None:
    motion = turned(degrees, shift)
    found = register(replace(moving, affine=motion @ moving.affine), fixed, is_placed=True)
    assert found.kept
    assert found.after > found.before
    assert off_by(found, np.eye(4)) > 5
    assert off_by(found, motion) < MOST_OFF_MM


def test_a_series_that_lies_right_stays(fixed: SeriesVolume, moving: SeriesVolume) -> None:
    found = register(moving, fixed, is_placed=True)
    assert off_by(found, np.eye(4)) < 1.0


def test_what_has_nothing_in_common_is_not_moved(fixed: SeriesVolume, moving: SeriesVolume) -> None:
    noise = np.random.default_rng(SEED).normal(100, 20, SHAPE).astype(np.float32)
    for voxels in (noise, np.zeros(SHAPE, np.float32)):
        assert not register(replace(moving, voxels=voxels), fixed, is_placed=True).kept


def test_a_motion_beyond_reason_is_dropped(fixed: SeriesVolume, moving: SeriesVolume) -> None:
    away = replace(moving, affine=turned((0, 0, 0), (75.0, 0, 0)) @ moving.affine)
    assert not register(away, fixed, is_placed=True).kept
    nowhere = replace(moving, affine=turned((0, 0, 0), (1000.0, 0, 0)) @ moving.affine)
    assert not register(nowhere, fixed, is_placed=True).kept


def test_the_same_series_give_the_same_motion_to_the_last_digit(
    fixed: SeriesVolume, moving: SeriesVolume
) -> None:
    away = replace(moving, affine=turned((2, 1, -3), (4, 0, 2)) @ moving.affine)
    volumes = {"t1c": fixed, "t1": away, "t2": moving}
    first, second = (place_together(volumes, "t1c") for _ in range(2))
    for role in volumes:
        np.testing.assert_array_equal(first[0][role].affine, second[0][role].affine)
    assert first[1] == second[1]
    assert [record.role for record in first[1]] == ["t1", "t2"]


def test_without_a_common_frame_of_reference_the_middles_are_the_start(
    fixed: SeriesVolume, moving: SeriesVolume
) -> None:
    motion = turned((3, -4, 5), (400.0, -90.0, 130.0))
    away = replace(moving, affine=motion @ moving.affine, frame_of_reference_uid="2.25.7")
    placed, (record,) = place_together({"t1c": fixed, "t2": away}, "t1c")
    assert record.kept
    both = placed["t2"].affine @ np.linalg.inv(moving.affine)
    moved = CORNERS @ both[:3, :3].T + both[:3, 3]
    assert np.linalg.norm(moved - CORNERS, axis=1).max() < MOST_OFF_MM
    flat = replace(away, voxels=np.zeros(SHAPE, np.float32))
    with pytest.raises(SeriesRefusedError) as caught:
        place_together({"t1c": fixed, "t2": flat}, "t1c")
    assert caught.value.code == "frame-of-reference"
