"""Motion between phases: rigid, small, and in millimetres of the patient."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from infra.phantom.grid import AXIAL, ORIENTATIONS, Grid, Matrix, centred_grid, rotation, tilted
from infra.phantom.motion import LARGEST_SHIFT_MM, move, random_motion

CENTRE = np.array([40.0, -30.0, 12.0])


def ball_grid(direction: Matrix = AXIAL) -> Grid:
    return centred_grid((30, 36, 40), (1.5, 1.5, 2.0), direction, CENTRE)


@pytest.mark.parametrize("name", ["axial", "sagittal", "oblique"])
def test_a_ball_moves_by_the_motion(name: str) -> None:
    directions = {**ORIENTATIONS, "oblique": tilted(AXIAL, 12.0, -8.0)}
    grid = ball_grid(directions[name])
    start = CENTRE + np.array([6.0, -4.0, 8.0])
    ball = np.exp(-((grid.points() - start) ** 2).sum(axis=-1) / 60).astype(np.float32)
    motion = np.eye(4)
    motion[:3, :3] = rotation(2, 15.0)
    motion[:3, 3] = CENTRE + np.array([1.0, 2.0, -3.0]) - motion[:3, :3] @ CENTRE
    moved = move(ball, grid, np.asarray(np.linalg.inv(motion), np.float64))
    index = ndimage.center_of_mass(moved)[::-1]
    found = (grid.affine @ [*index, 1.0])[:3]
    assert np.allclose(found, motion[:3, :3] @ start + motion[:3, 3], atol=0.3)


@given(seed=st.integers(0, 2**32 - 1))
def test_random_motion_is_rigid_and_at_most_a_few_millimetres(seed: int) -> None:
    grid = ball_grid()
    motion = random_motion(np.random.default_rng(seed), grid)
    assert np.allclose(motion[:3, :3].T @ motion[:3, :3], np.eye(3))
    assert np.linalg.det(motion[:3, :3]) == pytest.approx(1.0)
    middle = motion[:3, :3] @ CENTRE + motion[:3, 3] - CENTRE
    assert np.abs(middle).max() <= LARGEST_SHIFT_MM + 1e-9
    places = np.concatenate([grid.points().reshape(-1, 3)[[0, -1]], [CENTRE]])
    assert np.linalg.norm(places @ motion[:3, :3].T + motion[:3, 3] - places, axis=1).max() < 4
