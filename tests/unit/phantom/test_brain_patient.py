"""Synthetic heads: what is tumour, what surrounds it, and how it is scanned."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from infra.brain_phantom.atlas import Atlas
from infra.brain_phantom.patient import Patient, make_patient, paint
from infra.brain_phantom.scanner import Slices, bright_images, random_slices, scan, sliced
from infra.brain_phantom.tissues import SEQUENCES, Tissue, random_tables
from tests.unit.phantom.brain import ball_atlas

SEED = 20_260_302


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    return ball_atlas()


@pytest.fixture(scope="module")
def patient(atlas: Atlas) -> Patient:
    return make_patient(SEED, atlas, has_tumour=True, spacing_mm=3.0)


def test_a_seed_is_one_patient(atlas: Atlas, patient: Patient) -> None:
    again = make_patient(SEED, atlas, has_tumour=True, spacing_mm=3.0)
    assert torch.equal(again.tissues, patient.tissues)
    assert torch.equal(again.brain, patient.brain)
    other = make_patient(SEED + 1, atlas, has_tumour=True, spacing_mm=3.0)
    assert not torch.equal(other.tissues, patient.tissues)


def test_shares_of_a_voxel_add_up_to_one_at_most(patient: Patient) -> None:
    total = patient.tissues.sum(dim=0)
    assert float(patient.tissues.min()) > -1e-5
    assert float(total.max()) < 1.001
    brain = 0.3 * 4 / 3 * np.pi * 62 * 78 * 60 / 1000
    assert float(patient.brain.sum()) * 0.027 > brain


def test_core_lies_in_the_whole_tumour_and_the_enhancing_part_in_the_core(atlas: Atlas) -> None:
    volumes = []
    for seed in range(6):
        core, whole, enhancing = make_patient(seed, atlas, has_tumour=True, spacing_mm=3.0).truth()
        assert bool((enhancing <= core + 1e-5).all())
        assert bool((core <= whole + 1e-5).all())
        assert float(whole.max()) <= 1.001
        volumes.append(float(whole.sum()) * 0.027)
    assert min(volumes) > 0.2
    assert max(volumes) > 10


def test_a_healthy_head_has_no_tumour(atlas: Atlas) -> None:
    healthy = make_patient(SEED, atlas, has_tumour=False, spacing_mm=3.0)
    assert float(healthy.truth().sum()) == 0


def test_paint_covers_what_was_there() -> None:
    tissues = torch.zeros((len(Tissue), 3, 3, 3))
    tissues[Tissue.WHITE] = 1
    share = torch.zeros((3, 3, 3))
    share[1, 1, 1] = 0.25
    paint(tissues, Tissue.OEDEMA, share)
    assert float(tissues[Tissue.WHITE, 1, 1, 1]) == 0.75
    assert float(tissues[Tissue.OEDEMA, 1, 1, 1]) == 0.25
    assert float(tissues[Tissue.OEDEMA].sum()) == 0.25


def test_sequences_show_tissues_as_scanners_do() -> None:
    for seed in range(200):
        t1c, t1, t2, flair = random_tables(np.random.default_rng(seed))
        assert t1c[Tissue.ENHANCING] > t1[Tissue.ENHANCING] or t1c[Tissue.WHITE] != t1[Tissue.WHITE]
        assert t2[Tissue.OEDEMA] > t2[Tissue.WHITE]
        assert flair[Tissue.OEDEMA] > max(flair[Tissue.GREY], flair[Tissue.WHITE])
        assert min(map(float, (*t1c, *t1, *t2, *flair))) > 0


def test_images_are_finite_and_differ_from_scan_to_scan(patient: Patient) -> None:
    images = [
        scan(bright_images(patient, rng), patient.spacing_mm, random_slices(rng), rng)
        for rng in map(np.random.default_rng, (1, 2))
    ]
    for found in images:
        assert found.shape == (len(SEQUENCES), *patient.brain.shape)
        assert bool(torch.isfinite(found).all())
        assert float(found.min()) >= 0
    assert not torch.equal(*images)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_thick_slices_keep_what_does_not_change_across_them(axis: int) -> None:
    shape = [20, 20, 20]
    ramp = torch.arange(20.0)
    along = (axis + 1) % 3
    image = ramp.reshape([20 if one == along else 1 for one in range(3)]).expand(shape)
    thick = sliced(image, 2.0, Slices(axis, 6.0, 5.0, (0.0, 0.0)), 0.3)
    assert torch.allclose(thick, image, atol=1e-3)


def test_thick_slices_average_over_their_thickness() -> None:
    image = torch.zeros((4, 4, 40))
    image[..., 20] = 1.0
    thick = sliced(image, 1.0, Slices(2, 8.0, 8.0, (0.0, 0.0)), 0.5)
    # The slice of voxels 16 to 24 holds an eighth of it, and its neighbours are dark.
    assert float(thick[0, 0].max()) == pytest.approx(1 / 8, abs=0.02)
    assert float(thick[0, 0, 20]) > 0.08
    assert float(thick[0, 0, :11].max()) == 0
