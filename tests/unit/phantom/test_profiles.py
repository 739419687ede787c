"""The profiles that are shipped: valid, buildable and pinned."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from pydicom.sr.codedict import codes

from infra.training.cases import (
    HELD_OUT_HEALTHY_SEEDS,
    HELD_OUT_LESION_SEEDS,
    PROFILE_FOLDER,
    TRAINING_SEEDS,
    VALIDATION_SEEDS,
)
from lab_side.models.networks import build_network
from segrelay.profiles import Profile, load_profile

PROFILES = PROFILE_FOLDER.parent
DCE = ("dce-0", "dce-1", "dce-2", "dce-3")
ROLES = {
    "brats-segresnet": ("t1c", "t1", "t2", "flair"),
    "breast-dce": DCE,
    "breast-dce-swinunetr": DCE,
    "demo": DCE,
    "glioma": ("t1c", "t1", "t2", "flair"),
}
TYPES = {
    "brats-segresnet": (codes.SCT.Necrosis, codes.SCT.Edema, codes.cid7168.EnhancingLesion),
    "breast-dce": (codes.SCT.Neoplasm,),
    "breast-dce-swinunetr": (codes.SCT.Neoplasm,),
    "demo": (codes.SCT.Neoplasm,),
    "glioma": (codes.SCT.Neoplasm, codes.SCT.Edema, codes.cid7168.EnhancingLesion),
}
REGIONS = {"BRAIN": codes.SCT.Brain, "BREAST": codes.SCT.Breast}
LARGEST_WEIGHTS = 16 * 1024 * 1024


def test_these_are_all_profiles() -> None:
    assert {path.parent.name for path in PROFILES.glob("*/profile.json")} == set(ROLES)


@pytest.fixture(params=sorted(ROLES))
def folder(request: pytest.FixtureRequest) -> Path:
    return PROFILES / str(request.param)


@pytest.fixture
def profile(folder: Path) -> Profile:
    return load_profile(folder)


def test_the_profile_is_valid_and_named_after_its_folder(folder: Path, profile: Profile) -> None:
    assert profile.name == folder.name
    assert profile.roles == ROLES[profile.name]


def test_the_network_can_be_built(profile: Profile) -> None:
    assert sum(parameter.numel() for parameter in build_network(profile).parameters()) > 0


def test_the_codes_are_those_of_the_standard(profile: Profile) -> None:
    for segment, theirs in zip(profile.segments, TYPES[profile.name], strict=True):
        expected = {
            segment.category: codes.SCT.MorphologicallyAbnormalStructure,
            segment.type: theirs,
            segment.region: REGIONS[profile.body_part_examined],
        }
        for ours, code in expected.items():
            assert (ours.value, ours.scheme, ours.meaning) == (
                code.value,
                code.scheme_designator,
                code.meaning,
            )


def test_the_shipped_weights_are_those_that_the_profile_names(
    folder: Path, profile: Profile
) -> None:
    if profile.weights.file is None:
        assert list(folder.glob("*.safetensors")) == []
        return
    content = (folder / profile.weights.file).read_bytes()
    assert len(content) <= LARGEST_WEIGHTS
    assert hashlib.sha256(content).hexdigest() == profile.weights.sha256


def test_the_demo_profile_has_weights() -> None:
    assert load_profile(PROFILE_FOLDER).weights.file is not None


def test_seeds_of_training_validation_and_measurement_do_not_meet() -> None:
    ranges = (TRAINING_SEEDS, VALIDATION_SEEDS, HELD_OUT_LESION_SEEDS, HELD_OUT_HEALTHY_SEEDS)
    together = [seed for seeds in ranges for seed in seeds]
    assert len(together) == len(set(together))
