"""The model's own test: it finds every fault that is planted in the real code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import SEED
from tests.support.simulator.history import History
from tests.support.simulator.mutants import MUTANTS, Mutant
from tests.support.simulator.watch import Violation

MOST_HISTORIES = 1500
"""More than twice what the rarest catch has ever needed; most need fewer than fifty."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_a_planted_fault_is_found(
    fast_folder: Path, monkeypatch: pytest.MonkeyPatch, mutant: Mutant
) -> None:
    mutant.plant(monkeypatch)
    for number in range(mutant.first, mutant.first + MOST_HISTORIES):
        history = History(f"{SEED}/mutant/{number}", fast_folder / str(number), cloud=False)
        try:
            history.run()
        except Violation as violation:
            if violation.promise in mutant.promises:
                return
    pytest.fail(f"{mutant.name}: not found in {MOST_HISTORIES} histories")
