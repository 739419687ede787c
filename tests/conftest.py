"""What all tests share: one seed, printed, no time limit on a loaded machine, and a clean log."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Iterator

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


@pytest.fixture(autouse=True)
def _same_log_for_every_test() -> Iterator[None]:
    """Programs that a test runs in this process set up their own log: undo it."""
    root, log = logging.getLogger(), logging.getLogger("segrelay")
    before = (root.handlers[:], log.level)
    yield
    root.handlers[:], level = before
    log.setLevel(level)
