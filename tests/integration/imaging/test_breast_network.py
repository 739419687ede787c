"""The shipped network of ``breast-dce`` finds tumours in synthetic patients that it never saw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from infra.phantom.patient.case import make_patient_case
from infra.training.breast.crops import (
    HELD_OUT_HEALTHY_SEEDS,
    HELD_OUT_LESION_SEEDS,
    TRAINING_SEEDS,
    VALIDATION_SEEDS,
)
from infra.training.breast.evaluate import false_findings, score
from infra.training.breast.train import PROFILE_FOLDER
from lab_side.models.loaded import load_model

ONE_BREAST = VALIDATION_SEEDS[6]  # of a small field of view, so that the test is quick


def test_seeds_of_training_validation_and_measurement_do_not_meet() -> None:
    ranges = (TRAINING_SEEDS, VALIDATION_SEEDS, HELD_OUT_LESION_SEEDS, HELD_OUT_HEALTHY_SEEDS)
    together = [seed for seeds in ranges for seed in seeds]
    assert len(together) == len(set(together))


def test_a_patient_with_a_tumour() -> None:
    model = load_model(PROFILE_FOLDER, device="cpu")
    case = make_patient_case(ONE_BREAST)
    found = score(case, model)
    assert found.dice is not None
    assert found.dice > 0.7
    assert found.false_findings == 0
    # The result does not depend on the scanner's unit of brightness.
    scaled = score(replace(case, phases=case.phases * np.float32(7)), model)
    assert scaled.dice == pytest.approx(found.dice, abs=0.005)


def test_parts_that_touch_nothing_malignant_are_counted() -> None:
    case = make_patient_case(ONE_BREAST)
    mask = np.zeros_like(case.truth)
    mask[0, 0, 0] = mask[-1, -1, -1] = 1
    assert false_findings(mask, case) == 2
    assert false_findings(mask | case.truth, case) == 2
    assert false_findings(case.truth, case) == 0
