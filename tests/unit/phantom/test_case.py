"""The phantom: deterministic, and its truth where the images show it."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from infra.phantom import Case, make_case, network_grid, scanner_grid
from infra.phantom.case import GridOf
from infra.phantom.grid import ORIENTATIONS, Matrix, centred_grid, tilted
from tests.support.repetition import at_length

COARSE = partial(scanner_grid, shape=(46, 48, 58), spacing=(3.0, 3.0, 3.0))
SLANTED: GridOf = partial(
    scanner_grid,
    shape=(50, 56, 60),
    spacing=(2.6, 2.6, 3.2),
    direction=tilted(ORIENTATIONS["sagittal"], 12.0, -9.0),
)
BOTH = partial(network_grid, size_mm=(340.0, 140.0, 140.0), spacing_mm=3.0, bilateral=True)
SEEDS = [3, *at_length(11, 40)]


def lesion_centre(case: Case) -> Matrix:
    """(3,) LPS mm, by the affine."""
    slices, rows, columns = np.nonzero(case.truth)
    index = np.array([columns.mean(), rows.mean(), slices.mean(), 1.0])
    return np.asarray((case.affine @ index)[:3])


def lesion_ml(case: Case) -> float:
    return float(case.truth.sum() * abs(np.linalg.det(case.affine[:3, :3])) / 1000)


def mean_rise(case: Case, where: npt.NDArray[np.bool_]) -> float:
    """Mean of the first phase after contrast minus that before it."""
    return float((case.phases[1] - case.phases[0])[where].mean())


def test_a_seed_gives_the_same_case_every_time() -> None:
    first, second = make_case(7, grid=COARSE), make_case(7, grid=COARSE)
    assert np.array_equal(first.truth, second.truth)
    for one, other in zip(first.phases, second.phases, strict=True):
        assert np.array_equal(one, other)


def test_another_seed_gives_another_case() -> None:
    assert not np.array_equal(make_case(7, grid=COARSE).truth, make_case(8, grid=COARSE).truth)


def test_shapes_types_and_range() -> None:
    case = make_case(7, grid=COARSE)
    assert case.truth.shape == (46, 48, 58)
    assert case.truth.dtype == np.uint8
    assert set(np.unique(case.truth)) == {0, 1}
    for phase in case.phases:
        assert phase.shape == case.truth.shape
        assert phase.dtype == np.float32
        assert phase.min() >= 0
        assert phase.max() <= 4095
        assert np.array_equal(phase, np.rint(phase))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_lesion_lies_at_one_place_of_the_patient_on_every_grid(seed: int) -> None:
    cases = [make_case(seed, grid=grid) for grid in (COARSE, SLANTED, BOTH)]
    centres = [lesion_centre(case) for case in cases]
    for centre in centres[1:]:
        assert np.linalg.norm(centre - centres[0]) < 1.5
    assert lesion_ml(cases[1]) == pytest.approx(lesion_ml(cases[0]), rel=0.25)


@pytest.mark.parametrize("grid", [COARSE, SLANTED], ids=["axial", "oblique sagittal"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_lesion_takes_up_contrast_where_the_truth_says(seed: int, grid: GridOf) -> None:
    case = make_case(seed, grid=grid)
    shell = ndimage.binary_dilation(case.truth, iterations=3) & (case.truth == 0)
    assert mean_rise(case, case.truth == 1) > 2 * mean_rise(case, shell)


def test_air_is_dark() -> None:
    case = make_case(7, grid=COARSE)
    front = case.phases[1][:, 0, :]
    assert front.mean() < 0.1 * np.percentile(case.phases[1], 99)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_healthy_patient_has_no_lesion(seed: int) -> None:
    case = make_case(seed, has_lesion=False, grid=BOTH)
    assert not case.has_lesion
    assert not case.truth.any()
    # Heart and vessels still take up contrast: a network must tell them from a tumour.
    rise = case.phases[1] - case.phases[0]
    assert np.percentile(rise, 99.9) > 0.2 * np.percentile(case.phases[1], 99)


@pytest.mark.parametrize("seeds", [4, *at_length(12)])
def test_lesions_are_one_piece_of_4_to_50_mm(seeds: int) -> None:
    diameters = []
    for seed in range(seeds):
        case = make_case(seed, grid=COARSE)
        labels, count = ndimage.label(case.truth, structure=np.ones((3, 3, 3)))
        sizes = np.bincount(labels.ravel())[1:]
        assert count >= 1, f"seed {seed}"
        assert sizes.max() > 0.95 * sizes.sum(), f"seed {seed}"
        diameters.append(2 * np.cbrt(lesion_ml(case) * 1000 * 3 / (4 * np.pi)))
    assert min(diameters) > 4
    assert max(diameters) < 50
    assert np.std(diameters) > 2


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 40)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 8)] * 3),
    degrees=st.tuples(st.floats(-180, 180), st.floats(-180, 180)),
    name=st.sampled_from(sorted(ORIENTATIONS)),
)
def test_a_grid_is_centred_and_places_its_voxels_by_the_affine(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    degrees: tuple[float, float],
    name: str,
) -> None:
    centre = np.array([12.0, -30.0, 5.0])
    grid = centred_grid(shape, spacing, tilted(ORIENTATIONS[name], *degrees), centre)
    points = grid.points()
    assert points.shape == (*shape, 3)
    assert np.allclose(points.mean(axis=(0, 1, 2)), centre, atol=1e-2)
    assert np.allclose(grid.spacing, spacing)
    last = np.array([shape[2] - 1, shape[1] - 1, shape[0] - 1, 1.0])
    assert np.allclose(points[-1, -1, -1], (grid.affine @ last)[:3], atol=1e-2)
    assert np.allclose(grid.direction.T @ grid.direction, np.eye(3), atol=1e-9)
