"""The network's grid and the interpolation there and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from monai.data.meta_tensor import MetaTensor
from monai.transforms.spatial.array import Spacing
from numpy.typing import NDArray

from lab_side.imaging.volume.grid import SAME_SPACING_MM, Grid, network_grid, reorient, to_grid
from tests.support.dicom.dicom_series import ORIENTATIONS, centres, make_affine, rotation

SHAPE = (14, 22, 18)
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

orientation_codes = st.permutations(["RL", "AP", "SI"]).flatmap(
    lambda axes: st.tuples(*[st.sampled_from(axis) for axis in axes]).map("".join)
)
angles = st.floats(-30, 30)


def grid(affine: NDArray[np.float64], shape: tuple[int, int, int] = SHAPE) -> Grid:
    return Grid(shape=(shape[2], shape[1], shape[0]), affine=affine)


def ramp(shape: tuple[int, int, int], affine: NDArray[np.float64]) -> NDArray[np.float32]:
    """A linear function of the place: linear interpolation reproduces it."""
    values: NDArray[np.float32] = (
        centres(shape, affine) @ np.array([0.7, -1.3, 2.1]) + 50.0
    ).astype(np.float32)
    return values


@given(
    source=st.sampled_from(sorted(ORIENTATIONS)),
    code=orientation_codes,
    turns=st.tuples(angles, angles, angles),
)
def test_reordering_keeps_the_set_of_voxel_centres(
    source: str, code: str, turns: tuple[float, float, float]
) -> None:
    start = grid(make_affine(source, spacing=(0.7, 0.9, 2.0), tilt=rotation(*turns)), (3, 4, 5))
    turned = reorient(start, code)
    before = centres(start.shape[::-1], start.affine).reshape(-1, 3)
    after = centres(turned.shape[::-1], turned.affine).reshape(-1, 3)
    assert sorted(map(tuple, before.round(4))) == sorted(map(tuple, after.round(4)))


@given(
    source=st.sampled_from(sorted(ORIENTATIONS)),
    code=orientation_codes,
    turns=st.tuples(angles, angles, angles),
)
def test_each_axis_grows_towards_its_letter(
    source: str, code: str, turns: tuple[float, float, float]
) -> None:
    turned = reorient(grid(make_affine(source, tilt=rotation(*turns))), code)
    towards = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
    for axis, letter in enumerate(code):
        coordinate, sign = towards[letter]
        assert turned.affine[coordinate, axis] * sign > 0


@settings(deadline=None, max_examples=30)
@given(
    counts=st.tuples(st.integers(3, 30), st.integers(3, 30), st.integers(3, 30)),
    old=st.tuples(st.floats(0.4, 4), st.floats(0.4, 4), st.floats(0.4, 4)),
    new=st.tuples(st.floats(0.5, 3), st.floats(0.5, 3), st.floats(0.5, 3)),
    seed=st.integers(0, 1000),
)
def test_layout_and_values_equal_those_of_monai_spacing(
    counts: tuple[int, int, int],
    old: tuple[float, float, float],
    new: tuple[float, float, float],
    seed: int,
) -> None:
    for count, before, after in zip(counts, old, new, strict=True):
        # At exactly half a voxel more, the last bit of the arithmetic decides the size; and
        # where the spacings differ by just the tolerance, it decides which one is kept.
        assume(abs((count - 1) * before / after % 1 - 0.5) > 1e-6)
        assume(abs(abs(before - after) - SAME_SPACING_MM) > 1e-6)
    # MONAI leaves a volume alone that is within 0.1 % of the wanted spacing on all axes.
    assume(old == new or max(abs(b / a - 1) for a, b in zip(old, new, strict=True)) > 2e-3)
    ras = np.diag([*old, 1.0])
    ras[:3, 3] = [-12.0, 30.0, 5.0]
    values = np.random.default_rng(seed).normal(size=counts).astype(np.float32)
    image = MetaTensor(torch.from_numpy(values)[None], affine=torch.from_numpy(ras))
    expected = Spacing(new, mode="bilinear")(image)
    assert isinstance(expected, MetaTensor)
    target = network_grid(Grid(shape=counts, affine=LPS_TO_RAS @ ras), "RAS", new)
    assert target.shape == tuple(expected.shape[1:])
    np.testing.assert_allclose(LPS_TO_RAS @ target.affine, np.asarray(expected.affine), atol=1e-9)
    own = np.ascontiguousarray(values.transpose(2, 1, 0))
    sampled = to_grid(own, LPS_TO_RAS @ ras, target).transpose(2, 1, 0)
    np.testing.assert_allclose(sampled, expected.numpy()[0], atol=1e-4)


@pytest.mark.parametrize("orientation", sorted(ORIENTATIONS))
def test_sampling_a_grid_on_itself_changes_nothing(orientation: str) -> None:
    affine = make_affine(orientation, spacing=(0.7, 0.9, 3.1), tilt=rotation(4, 9, -13))
    values = np.random.default_rng(5).normal(size=SHAPE).astype(np.float32)
    np.testing.assert_allclose(to_grid(values, affine, grid(affine)), values, atol=1e-4)


def test_a_direction_with_numbers_that_are_all_but_zero_is_sampled() -> None:
    """ITK cannot invert such a matrix, and would find every place outside."""
    affine = make_affine("axial", spacing=(0.7, 0.9, 3.1), tilt=rotation(0, 0, 1.4e-293))
    values = np.random.default_rng(5).normal(size=SHAPE).astype(np.float32)
    np.testing.assert_allclose(to_grid(values, affine, grid(affine)), values, atol=1e-4)


@pytest.mark.parametrize("orientation", sorted(ORIENTATIONS))
def test_a_ramp_in_space_survives_the_way_to_the_network_and_back(orientation: str) -> None:
    affine = make_affine(orientation, spacing=(0.8, 1.1, 2.0), tilt=rotation(8, -5, 17))
    target = network_grid(grid(affine), "RAS", (1.0, 1.3, 1.6))
    there = to_grid(ramp(SHAPE, affine), affine, target)
    inner = (slice(1, -1),) * 3
    np.testing.assert_allclose(
        there[inner], ramp(target.shape[::-1], target.affine)[inner], rtol=1e-4, atol=1e-2
    )
    back = to_grid(there, target.affine, grid(affine))
    inner = (slice(3, -3),) * 3
    np.testing.assert_allclose(back[inner], ramp(SHAPE, affine)[inner], rtol=1e-4, atol=1e-2)


def test_series_of_other_orientation_lie_on_each_other() -> None:
    reference = make_affine("axial", spacing=(1.0, 1.0, 1.0), origin=(0, 0, 0))
    target = network_grid(grid(reference), "RAS", (1.0, 1.0, 1.0))
    other = make_affine(
        "sagittal", spacing=(0.9, 0.8, 1.2), origin=(-12, -25, 45), tilt=rotation(9, 7, -11)
    )
    shape = (44, 80, 75)
    sampled = to_grid(ramp(shape, other), other, target)
    expected = ramp(target.shape[::-1], target.affine)
    places = centres(target.shape[::-1], target.affine)
    index = (places - other[:3, 3]) @ np.linalg.inv(other[:3, :3]).T
    inside = ((index >= 0) & (index <= np.array(shape[::-1]) - 1)).all(axis=-1)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(sampled[inside], expected[inside], rtol=1e-4, atol=0.01)


def test_outside_the_field_of_view_is_zero() -> None:
    affine = make_affine("axial", spacing=(1, 1, 1), origin=(0, 0, 0))
    small = make_affine("axial", spacing=(1, 1, 1), origin=(4, 4, 4))
    sampled = to_grid(np.full((4, 5, 6), 7, dtype=np.float32), small, grid(affine))
    expected = np.zeros(SHAPE, dtype=np.float32)
    expected[4:8, 4:9, 4:10] = 7
    np.testing.assert_array_equal(sampled, expected)


def test_a_constant_stays_constant_up_to_the_rim() -> None:
    affine = make_affine("axial", spacing=(0.66, 0.66, 1.2))
    target = network_grid(grid(affine), "RAS", (1.5, 1.5, 1.5))
    there = to_grid(np.full(SHAPE, 3.0, dtype=np.float32), affine, target)
    np.testing.assert_allclose(there, 3.0)
    np.testing.assert_allclose(to_grid(there, target.affine, grid(affine)), 3.0)
