"""Random histories of agents, zombies, crashes and bad networks, over every store.

Each history is made by the seed of the run and its number. To see one again, with its story,
give both to ``pytest tests/model``::

    SEGRELAY_TEST_SEED=<seed> SEGRELAY_HISTORY=<number>
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import SEED, SEED_VARIABLE
from tests.support.simulator.history import History
from tests.support.simulator.stores import MakeStore

NUMBER_VARIABLE = "SEGRELAY_HISTORY"
BATCH = 100

FEW = {"directory": 200, "cloud": 20, "redis": 15, "site": 15}
"""Histories of every run, by store; of the first more than the rarest planted fault needs."""

MANY = 4000
"""More of each with ``--long``."""


def batches(first: int, count: int) -> Sequence[range]:
    """The numbers of the histories, some hundred to a test; or the one that is asked for."""
    wanted = os.environ.get(NUMBER_VARIABLE)
    numbers = range(first, first + count)
    if wanted is not None:
        return [range(int(wanted), int(wanted) + 1)] if int(wanted) in numbers else []
    return [numbers[start : start + BATCH] for start in range(0, count, BATCH)]


def ids(value: object) -> str:
    """The store, and ``first-last``."""
    return f"{value[0]}-{value[-1]}" if isinstance(value, range) else str(value)


def live(folder: Path, store: str, make_store: MakeStore, numbers: range) -> None:
    """Run the histories; the first broken promise fails, with its story."""
    for number in numbers:
        history = History(f"{SEED}/{store}/{number}", folder / str(number), make_store)
        try:
            history.run()
        except BaseException:
            again = f"{SEED_VARIABLE}={SEED} {NUMBER_VARIABLE}={number}"
            sys.stdout.write(f"{history.story}\nhistory {number} ({store}): {again}\n")
            raise


@pytest.mark.parametrize(
    ("store", "numbers"),
    [
        *((store, numbers) for store, few in FEW.items() for numbers in batches(0, few)),
        *(
            pytest.param(store, numbers, marks=pytest.mark.long)
            for store, few in FEW.items()
            for numbers in batches(few, MANY)
        ),
    ],
    ids=ids,
)
def test_i1_i3_i5_in_every_store(
    fast_folder: Path, store: str, make_store: MakeStore, numbers: range
) -> None:
    live(fast_folder, store, make_store, numbers)
