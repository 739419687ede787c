"""The shipped network of the profile ``glioma``, through the product's imaging pipeline."""

from __future__ import annotations

import pytest

from infra.brain_phantom.atlas import load_atlas
from infra.training.brain.cases import HELD_OUT_SEEDS, make_case
from infra.training.brain.evaluate import score
from infra.training.brain.train import PROFILE_FOLDER
from lab_side.models.loaded import LoadedModel, load_model
from tests.unit.phantom.brain import ball_atlas

SEED = 70_000_000
"""In no range of ``infra.training.brain``."""


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model(PROFILE_FOLDER)


def test_the_network_finds_a_tumour_even_in_a_brain_of_ellipsoids(model: LoadedModel) -> None:
    found = score(make_case(SEED, ball_atlas(), has_tumour=True), model)
    assert found.dice["whole"] is not None
    assert found.dice["whole"] > 0.7, found


@pytest.mark.long
def test_the_network_finds_tumours_that_nothing_was_chosen_by(model: LoadedModel) -> None:
    """It fetches the template."""
    atlas = load_atlas("mni")
    cases = [make_case(seed, atlas, has_tumour=True) for seed in HELD_OUT_SEEDS[:8]]
    dices = [score(case, model).dice["whole"] or 0.0 for case in cases]
    assert sum(dices) / len(dices) > 0.8, dices
