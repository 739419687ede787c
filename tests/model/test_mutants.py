"""The model's own test: it finds every fault that is planted in the real code, in every store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import SEED, Tell
from tests.support.simulator.history import History
from tests.support.simulator.mutants import MUTANTS, Mutant
from tests.support.simulator.stores import MakeStore
from tests.support.simulator.watch import Violation

MOST_HISTORIES = 1500
"""More than twice what the rarest catch has ever needed; most need fewer than fifty."""

OF_THE_STORE = (
    "result without generation 0",
    "creating over what is there",
    "moving to nowhere",
)
"""Faults of a store itself, which every run looks for in each of them; ``--long`` for all."""


def _cases() -> list[object]:
    cases: list[object] = []
    for store in ("directory", "cloud", "redis", "site"):
        for mutant in MUTANTS:
            is_quick = store == "directory" or mutant.name in OF_THE_STORE
            marks = () if is_quick else pytest.mark.long
            name = f"{store}-{mutant.name.replace(' ', '-')}"
            cases.append(pytest.param(store, mutant, id=name, marks=marks))
    return cases


@pytest.mark.parametrize(("store", "mutant"), _cases())
def test_a_planted_fault_is_found(
    fast_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    store: str,
    make_store: MakeStore,
    mutant: Mutant,
    tell: Tell,
) -> None:
    mutant.plant(monkeypatch)
    first = mutant.first if store == "directory" else 0
    for number in range(first, first + MOST_HISTORIES):
        history = History(f"{SEED}/mutant/{number}", fast_folder / str(number), make_store)
        try:
            history.run()
        except Violation as violation:
            if violation.promise in mutant.promises:
                tell(f"{store}: {mutant.name}: {violation} (history {number})")
                return
    pytest.fail(f"{mutant.name}: not found in {MOST_HISTORIES} histories")
