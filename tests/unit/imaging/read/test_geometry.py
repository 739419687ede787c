"""Slices in space."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lab_side.imaging.read.geometry import place_slices
from segrelay.errors import SeriesRefusedError
from tests.support.dicom.dicom_series import ORIENTATIONS, make_affine, rotation

angles = st.floats(-180, 180)
spacings = st.floats(0.2, 8.0)
coordinates = st.floats(-500, 500)


def slices_of(affine: NDArray[np.float64], count: int) -> tuple[NDArray[np.float64], ...]:
    """Positions and orientations of ``count`` slices."""
    positions = affine[:3, 3] + np.arange(count)[:, None] * affine[:3, 2]
    unit = affine[:3, :2] / np.linalg.norm(affine[:3, :2], axis=0)
    return positions, np.tile(unit.T.ravel(), (count, 1))


def spacing_of(affine: NDArray[np.float64]) -> tuple[float, float]:
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    return float(lengths[1]), float(lengths[0])


@given(
    orientation=st.sampled_from(sorted(ORIENTATIONS)),
    turns=st.tuples(angles, angles, angles),
    spacing=st.tuples(spacings, spacings, spacings),
    origin=st.tuples(coordinates, coordinates, coordinates),
    count=st.integers(3, 12),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_voxel_keeps_its_place_whatever_the_order(
    orientation: str,
    turns: tuple[float, float, float],
    spacing: tuple[float, float, float],
    origin: tuple[float, float, float],
    count: int,
    seed: int,
) -> None:
    affine = make_affine(orientation, spacing=spacing, origin=origin, tilt=rotation(*turns))
    positions, orientations = slices_of(affine, count)
    shuffle = np.random.default_rng(seed).permutation(count)
    stack = place_slices(positions[shuffle], orientations[shuffle], spacing_of(affine))
    corners = np.array([[0, 0, k, 1] for k in range(count)] + [[7, 3, k, 1] for k in range(count)])
    placed = (corners @ stack.affine.T)[:, :3]
    written = shuffle[stack.order]
    expected = corners.astype(float)
    expected[:, 2] = np.tile(written, 2)
    np.testing.assert_allclose(placed, (expected @ affine.T)[:, :3], atol=1e-6)


@given(
    count=st.integers(3, 40),
    step=st.floats(0.5, 8.0),
    data=st.data(),
)
def test_rounding_jitter_within_the_tolerance_is_accepted(
    count: int, step: float, data: st.DataObject
) -> None:
    affine = make_affine("coronal", spacing=(1.0, 1.0, step))
    positions, orientations = slices_of(affine, count)
    limit = 0.45 * max(0.1, 0.02 * step)
    jitter = data.draw(st.lists(st.floats(-limit, limit), min_size=count, max_size=count))
    positions = positions + np.outer(jitter, affine[:3, 2] / step)
    stack = place_slices(positions, orientations, (1.0, 1.0))
    assert abs(np.linalg.norm(stack.affine[:3, 2]) - step) <= 2 * limit / (count - 1) + 1e-9


def refused(positions: NDArray[np.float64], orientations: NDArray[np.float64]) -> str:
    with pytest.raises(SeriesRefusedError) as caught:
        place_slices(positions, orientations, (1.0, 1.0))
    return caught.value.code


@given(count=st.integers(5, 30), step=st.floats(0.5, 8.0), data=st.data())
def test_a_missing_slice_is_named(count: int, step: float, data: st.DataObject) -> None:
    positions, orientations = slices_of(make_affine(spacing=(1, 1, step)), count)
    gone = data.draw(st.integers(1, count - 2))
    left = np.delete(np.arange(count), gone)
    assert refused(positions[left], orientations[left]) == "missing-slice"


@given(count=st.integers(3, 30), step=st.floats(0.5, 8.0), data=st.data())
def test_a_duplicate_slice_is_named(count: int, step: float, data: st.DataObject) -> None:
    positions, orientations = slices_of(make_affine(spacing=(1, 1, step)), count)
    twice = data.draw(st.integers(0, count - 1))
    order = np.append(np.arange(count), twice)
    assert refused(positions[order], orientations[order]) == "duplicate-slice"


def test_two_phases_in_one_series_are_duplicates() -> None:
    positions, orientations = slices_of(make_affine(), 6)
    assert refused(np.tile(positions, (2, 1)), np.tile(orientations, (2, 1))) == "duplicate-slice"


def test_all_slices_at_one_place_are_duplicates() -> None:
    positions, orientations = slices_of(make_affine(), 5)
    assert refused(np.tile(positions[:1], (5, 1)), orientations) == "duplicate-slice"


def test_uneven_spacing_is_named() -> None:
    positions, orientations = slices_of(make_affine(), 6)
    positions[3] += 0.3 * (positions[1] - positions[0])
    assert refused(positions, orientations) == "uneven-spacing"


def test_one_slice_shifted_in_its_plane_is_uneven() -> None:
    positions, orientations = slices_of(make_affine(), 6)
    positions[3] += [5.0, 0.0, 0.0]
    assert refused(positions, orientations) == "uneven-spacing"


def test_a_slanted_stack_is_refused() -> None:
    positions, orientations = slices_of(make_affine(), 6)
    positions[:, 1] += np.arange(6) * 0.5
    assert refused(positions, orientations) == "sheared-stack"


def test_mixed_orientation_is_named() -> None:
    positions, orientations = slices_of(make_affine(), 6)
    orientations[2] = [0, 1, 0, 0, 0, -1]
    assert refused(positions, orientations) == "mixed-orientation"


def test_orientation_must_be_perpendicular_unit_vectors() -> None:
    positions, orientations = slices_of(make_affine(), 6)
    orientations[:] = [1, 0, 0, 0.7, 0.7, 0]
    assert refused(positions, orientations) == "no-position"


def test_positions_must_be_numbers() -> None:
    positions, orientations = slices_of(make_affine(), 6)
    positions[4, 2] = np.nan
    assert refused(positions, orientations) == "no-position"


def test_two_slices_are_too_few() -> None:
    positions, orientations = slices_of(make_affine(), 2)
    assert refused(positions, orientations) == "too-few-slices"
