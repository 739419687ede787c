"""What all tests share: one seed, printed, and no time limit on a loaded machine."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import settings

SEED_VARIABLE = "SEGRELAY_TEST_SEED"
SEED = int(os.environ.get(SEED_VARIABLE, random.SystemRandom().randrange(2**31)))

settings.register_profile("segrelay", deadline=None, print_blob=True, max_examples=60)
settings.load_profile("segrelay")


def pytest_configure(config: pytest.Config) -> None:
    """Let Hypothesis use the seed as well, unless one was given on the command line."""
    if config.getoption("hypothesis_seed", None) is None:
        config.option.hypothesis_seed = SEED


def pytest_report_header() -> str:
    """How to run the same examples again."""
    return f"seed: {SEED_VARIABLE}={SEED}"
