"""What is not brain becomes 0, wherever the head lies on the network's grid."""

from __future__ import annotations

import sys
from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from lab_side.imaging.volume.brain_mask import LEAST_ML, MOST_ML, strip_skull
from lab_side.imaging.volume.grid import Grid, network_grid
from lab_side.models.brain import BrainFinder
from segrelay.errors import FixConfigurationError, SeriesRefusedError
from segrelay.profiles import SkullStrip
from tests.conftest import SEED
from tests.support.dicom.dicom_series import centres, make_affine, rotation
from tests.support.repetition import at_length

ORIENTATIONS = [
    "".join(pair[sign] for pair, sign in zip(order, signs, strict=True))
    for order in permutations(("RL", "AP", "SI"))
    for signs in product((0, 1), repeat=3)
]
SHAPE = (40, 48, 36)
SCANNER = Grid(shape=SHAPE, affine=make_affine("sagittal", spacing=(5.0, 5.0, 5.0)))

BRAIN, SCALP, CSF, SKULL = 600.0, 900.0, 150.0, 40.0
T1 = SkullStrip(role="t1")
SIZES_MM = np.array([[46, 21, 21], [26, 51, 26], [31, 16, 56]])


def block(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """A finder for a world of ones in a world of noughts."""
    return values > 0.5


def lopsided(places: NDArray[np.float64], middle: NDArray[np.float64]) -> NDArray[np.float32]:
    """1 in three boxes of other sizes to the left, to the back and to the top of the middle."""
    away = places - middle
    boxes = [
        np.all(np.abs(away - at) < size, axis=-1)
        for at, size in zip(np.eye(3) * 40, SIZES_MM, strict=True)
    ]
    return np.asarray(np.any(boxes, axis=0), dtype=np.float32)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_finder_sees_the_head_upright_and_the_brain_stays_where_it_is(
    orientation: str,
) -> None:
    grid = network_grid(SCANNER, orientation, (5.0, 5.0, 5.0))
    middle = (SCANNER.affine @ [*(np.array(SHAPE) / 2), 1.0])[:3]
    brain = lopsided(centres(grid.shape[::-1], grid.affine), middle)
    seen: list[NDArray[np.float32]] = []

    def find(head: NDArray[np.float32]) -> NDArray[np.bool_]:
        seen.append(head)
        return block(head)

    ones = np.ones_like(brain)
    stripped, _ = strip_skull({"t1": brain, "t2": ones}, grid, orientation, T1, find)
    np.testing.assert_array_equal(stripped["t2"], brain)
    np.testing.assert_array_equal(stripped["t1"], brain)
    upright = network_grid(SCANNER, "RAS", (5.0, 5.0, 5.0))
    expected = lopsided(centres(upright.shape[::-1], upright.affine), middle).transpose(2, 1, 0)
    np.testing.assert_array_equal(seen[0], expected)


@given(margin_mm=st.floats(0, 25))
def test_the_margin_is_in_millimetres_along_every_axis(margin_mm: float) -> None:
    grid = Grid(shape=(41, 43, 39), affine=np.diag([4.0, 3.0, 6.0, 1.0]))
    middle = np.array([80.0, 63.0, 114.0])
    off = np.linalg.norm(centres(grid.shape[::-1], grid.affine) - middle, axis=-1)
    head = (off < 50).astype(np.float32)
    inputs = {"t1": head, "t2": np.ones_like(head)}
    stripped, told = strip_skull(
        inputs, grid, "RAS", SkullStrip(role="t1", margin_mm=margin_mm), block
    )
    kept = stripped["t2"] > 0
    assert kept[off < 50].all()
    assert not kept[off > 50 + margin_mm].any()
    # Along an axis the outermost voxel inside lies less than a voxel within the ball.
    assert kept[off < 50 - 6 + margin_mm].all()
    assert told.text == f"The brain was found in t1: {head.sum() * 0.072:.0f} ml."


@pytest.mark.parametrize("volume_ml", [LEAST_ML - 20, MOST_ML + 20])
def test_what_is_no_brain_by_its_size_is_refused(volume_ml: float) -> None:
    grid = Grid(shape=(50, 50, 50), affine=np.diag([4.0, 4.0, 4.0, 1.0]))
    head = np.zeros(50**3, dtype=np.float32)
    head[: round(volume_ml / 0.064)] = 1
    inputs = {"t1": head.reshape(grid.shape)}
    with pytest.raises(SeriesRefusedError, match=rf"has {volume_ml:.0f} ml") as told:
        strip_skull(inputs, grid, "RAS", T1, block)
    assert told.value.code == "no-brain"


def head_of(grid: Grid) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A T1-weighted head of ellipsoids in noise, and its brain; both [third, second, first]."""
    middle = (grid.affine @ [*(np.array(grid.shape) / 2), 1.0])[:3]
    x, y, z = np.moveaxis(centres(grid.shape[::-1], grid.affine) - middle, -1, 0)
    z = z - 10

    def ellipsoid(wider: float) -> NDArray[np.bool_]:
        radii = np.array([66.0, 84.0, 60.0]) + wider
        inside = (x / radii[0]) ** 2 + (y / radii[1]) ** 2 + (z / radii[2]) ** 2 < 1
        return np.asarray(inside)

    rng = np.random.default_rng(SEED)
    grey = ndimage.gaussian_filter(rng.normal(size=x.shape), 2.0 / grid.spacing[::-1])
    brain = ellipsoid(0)
    neck = (x**2 + (y - 10) ** 2 < 55**2) & (z < -30)
    values = np.where(neck, 350.0, 0.0)
    for wider, value in ((16, SCALP), (9, SKULL), (3, CSF)):
        values = np.where(ellipsoid(wider), value, values)
    values = np.where(brain, np.where(grey > 0, BRAIN, BRAIN * 0.7), values)
    noisy = np.abs(values + rng.normal(0, 15, values.shape))
    return ndimage.gaussian_filter(noisy, 0.5).astype(np.float32), brain


@pytest.fixture(scope="module")
def finder() -> BrainFinder:
    return BrainFinder(torch.device("cpu"))


@pytest.mark.parametrize("orientation", ["SAR", *at_length("LPS")])
def test_deepbet_finds_the_brain_of_a_head(finder: BrainFinder, orientation: str) -> None:
    tilted = make_affine("axial", spacing=(2.5, 2.5, 5.0), tilt=rotation(9, 6, 12))
    grid = network_grid(Grid(shape=(90, 100, 44), affine=tilted), orientation, (2.5, 2.5, 2.5))
    head, brain = head_of(grid)
    stripped, told = strip_skull({"t1": head}, grid, orientation, T1, finder.find)
    found = stripped["t1"] > 0
    assert 2 * (found & brain).sum() / (found.sum() + brain.sum()) > 0.93, told


@pytest.mark.parametrize("value", [0.0, 100.0])
def test_where_there_is_nothing_there_is_no_brain(finder: BrainFinder, value: float) -> None:
    grid = Grid(shape=(40, 40, 40), affine=np.diag([5.0, 5.0, 5.0, 1.0]))
    empty = np.full(grid.shape, value, dtype=np.float32)
    with pytest.raises(SeriesRefusedError) as told:
        strip_skull({"t1": empty}, grid, "RAS", T1, finder.find)
    assert told.value.code == "no-brain"


def test_a_missing_deepbet_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepbet", None)
    with pytest.raises(FixConfigurationError) as told:
        BrainFinder(torch.device("cpu"))
    assert told.value.code == "skull-strip-missing"
    assert "pip install '.[lab,brain]'" in told.value.remedy
