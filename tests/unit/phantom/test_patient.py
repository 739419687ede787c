"""The synthetic patients that networks for real studies are trained on."""

from __future__ import annotations

import numpy as np
import pytest

from infra.phantom.grid import RAS, Grid, centred_grid
from infra.phantom.patient.anatomy import Patient, random_patient
from infra.phantom.patient.case import make_patient_case, network_view
from infra.phantom.patient.drawing import draw
from infra.phantom.patient.scanner import scan
from infra.phantom.patient.tissue_map import TissueMap, box_around, part_of
from infra.phantom.patient.tissues import Tissue
from infra.training.breast.crops import CROP, IGNORED, crops_of

ONE_BREAST = 3  # a seed of a small field of view


def around_tumour(patient: Patient, spacing: tuple[float, float, float]) -> Grid:
    """A grid of 64 mm around the primary tumour."""
    shape = tuple(round(64 / step) for step in reversed(spacing))
    return centred_grid((shape[0], shape[1], shape[2]), spacing, RAS, patient.tumours[0].centre)


@pytest.fixture(scope="module")
def tissues() -> TissueMap:
    patient = random_patient(ONE_BREAST, has_lesion=True)
    return draw(patient, network_view(patient, ONE_BREAST, 3.0)[0])


def test_a_seed_always_gives_the_same_examination() -> None:
    first, second = make_patient_case(ONE_BREAST), make_patient_case(ONE_BREAST)
    np.testing.assert_array_equal(first.phases, second.phases)
    np.testing.assert_array_equal(first.truth, second.truth)
    assert first.truth.any()
    assert first.phases.min() >= 0


def test_the_tumour_lies_at_the_same_place_on_every_grid() -> None:
    patient = random_patient(ONE_BREAST, has_lesion=True)
    volumes, middles = [], []
    for spacing in ((2.0, 2.0, 2.0), (1.5, 1.5, 3.0)):
        grid = around_tumour(patient, spacing)
        inside = draw(patient, grid).truth > 0
        volumes.append(float(inside.sum()) * float(np.prod(spacing)))
        middles.append(grid.points()[inside].mean(axis=0))
    assert volumes[0] == pytest.approx(volumes[1], rel=0.08)
    np.testing.assert_allclose(middles[0], middles[1], atol=0.7)


def test_a_healthy_patient_is_the_same_one_without_tumour() -> None:
    sick, healthy = (random_patient(ONE_BREAST, has_lesion=has) for has in (True, False))
    assert sick.tumours
    assert healthy.tumours == ()
    assert sick.density == healthy.density
    np.testing.assert_array_equal(sick.arteries, healthy.arteries)


def test_the_truth_is_tumour_and_nothing_else_is(tissues: TissueMap) -> None:
    inside = tissues.truth > 0
    of_tumour = np.isin(tissues.upper[inside], [Tissue.TUMOUR, Tissue.NECROSIS, Tissue.CLIP])
    assert of_tumour.mean() > 0.95
    assert not (inside & (tissues.ignored > 0)).any()
    full = (tissues.upper == Tissue.TUMOUR) & (tissues.share > 200)
    assert inside[full].all()


def test_a_part_of_a_grid_has_the_places_of_the_whole(tissues: TissueMap) -> None:
    grid = tissues.grid
    box = box_around(grid, grid.points()[4, 7, 9].astype(np.float64), 9.0)
    np.testing.assert_allclose(part_of(grid, box).points(), grid.points()[box], atol=1e-3)


@pytest.mark.parametrize("axis", [0, 2])
def test_some_exports_rescale_each_slice_of_each_phase(tissues: TissueMap, axis: int) -> None:
    others = tuple(other for other in (1, 2, 3) if other != axis + 1)
    scans = [scan(tissues, seed, slice_axis=axis) for seed in range(12)]
    rescaled = [
        bool((phases.max(axis=others) == 4095).all() and (phases.min(axis=others) == 0).all())
        for phases in scans
    ]
    assert 0 < sum(rescaled) < len(rescaled)


def test_the_tumour_enhances(tissues: TissueMap) -> None:
    phases = scan(tissues, 1)
    alive = (tissues.upper == Tissue.TUMOUR) & (tissues.share == 255)
    fat = (tissues.upper == Tissue.FAT) & (tissues.share == 255)
    change = phases[1:].max(axis=0) - phases[0]
    assert np.median(change[alive]) > 5 * abs(np.median(change[fat]))


def test_crops_are_normalised_with_all_phases_together_and_know_what_does_not_count() -> None:
    crops = crops_of(11_000_005, 4.0)
    assert crops.shape[1:] == (5, *CROP)
    assert set(np.unique(crops[:, 4])) <= {0.0, 1.0, IGNORED}
    assert (crops[:, 4] == 1).any(axis=(1, 2, 3)).sum() >= 6
    assert (crops[:, 1] - crops[:, 0]).astype(np.float32).max() > 0.5  # enhancement survives
