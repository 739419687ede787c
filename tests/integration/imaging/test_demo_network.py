"""The shipped demo network finds lesions in phantoms that it was never trained or tuned on."""

from __future__ import annotations

import pytest

from infra.training.cases import (
    HELD_OUT_HEALTHY_SEEDS,
    HELD_OUT_LESION_SEEDS,
    TRAINING_SEEDS,
    VALIDATION_SEEDS,
)
from infra.training.evaluate import as_text, evaluate

MEAN_DICE = 0.90
HEALTHY_CLEAR = 39

FEW = 1


def test_held_out_seeds_were_never_used_in_training() -> None:
    held_out = {*HELD_OUT_LESION_SEEDS, *HELD_OUT_HEALTHY_SEEDS}
    assert len(held_out) == 80
    assert not held_out & {*TRAINING_SEEDS, *VALIDATION_SEEDS}


def test_a_few_held_out_phantoms() -> None:
    report = evaluate(HELD_OUT_LESION_SEEDS[:FEW], HELD_OUT_HEALTHY_SEEDS[:FEW])
    found = [case for case in report.cases if (case.dice or 0) > 0.7]
    assert len(found) == FEW, as_text(report)
    assert report.healthy_clear == FEW, as_text(report)


@pytest.mark.long
def test_all_held_out_phantoms() -> None:
    report = evaluate()
    assert report.mean_dice >= MEAN_DICE, as_text(report)
    assert report.healthy_clear >= HEALTHY_CLEAR, as_text(report)
