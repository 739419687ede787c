"""The infer bench: its parts, and the structure of its report; never how fast anything is."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from infra.benches.harness import Scene
from infra.benches.infer import phases
from infra.benches.infer.scene import BRAIN, BreastSize, InferPlan, random_model, write_series
from infra.benches.study import SyntheticStudy
from infra.benches.web.study import tumour_of
from lab_side.imaging.read.series import read_series
from lab_side.models import loaded
from lab_side.models.loaded import LoadedModel

PLAN = InferPlan(seed=3, brain=(12, 40, 40), breast=(12, 40, 40), plain_window=32, net_window=64)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loaded, "_WARM_UP_SIDE_ON_CPU", 16)
        return random_model(BRAIN, tmp_path_factory.mktemp("models"))


def test_the_matrix_product_is_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phases, "_MATRIX", 64)
    assert phases.matrix_limit(Scene(PLAN, Path()))["sgemm_gflops"] > 0


def test_a_breast_has_its_spacing(tmp_path: Path) -> None:
    study = BreastSize("black", instances=5, matrix=(16, 20), seed=1)
    folders = write_series(study, ("a", "b", "c", "d"), tmp_path)
    volume = read_series(list(folders["b"].iterdir()))
    spacing = np.linalg.norm(volume.affine[:3, :3], axis=0)
    np.testing.assert_allclose(spacing, BreastSize.spacing, atol=1e-4)


def test_the_box_is_the_foregrounds(model: LoadedModel) -> None:
    channels = np.zeros((4, 40, 40, 40), np.float32)
    channels[:, 3:19, 3:19, 3:19] = 1
    box = phases._box_flop(model, channels)
    channels[:] = 1
    assert phases._box_flop(model, channels) / box == pytest.approx((40 / 16) ** 3)
    # Convolutions of the published bundle: 141 kFLOP a voxel.
    assert box / 16**3 == pytest.approx(141_150, rel=0.02)


def test_reading_compares_the_same_files(tmp_path: Path) -> None:
    study = SyntheticStudy("black", instances=5, matrix=(16, 20), seed=1)
    write_series(study, ("a", "b", "c", "d"), tmp_path)
    found = phases._reading(tmp_path)
    assert set(found) == {"read_vs_pydicom", "reading_cpu_s"}


def test_segs_are_written_both_ways(
    tmp_path: Path, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phases, "random_model", lambda *_: model)
    found = phases.seg_file(Scene(PLAN, tmp_path))
    ours, naive = found["seg_large"]["bytes"]
    assert ours == (next(tmp_path.glob("*/ours.dcm"))).stat().st_size
    assert naive == (next(tmp_path.glob("*/naive.dcm"))).stat().st_size


def test_the_lesions_shells_have_their_shares() -> None:
    shape, shares = (30, 40, 50), (0.1, 0.05, 0.02)
    shells = tumour_of(shape, shares, seed=1)
    assert [shell.mean() for shell in shells] == pytest.approx(shares, rel=1e-3)
    for outer, inner in pairwise(shells):
        assert not (inner > outer).any()
