"""Random histories of agents, zombies, crashes and bad networks, over three stores.

Each history is made by the seed of the run and its number. To see one again, with its story,
give both to ``pytest tests/model``::

    SEGRELAY_TEST_SEED=<seed> SEGRELAY_HISTORY=<number>
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from infra.servers.redis import RedisServer
from tests.conftest import SEED, SEED_VARIABLE
from tests.support.simulator.history import History

NUMBER_VARIABLE = "SEGRELAY_HISTORY"
BATCH = 100

IN_DIRECTORY, IN_CLOUD, IN_REDIS = 200, 40, 20
"""Histories of every run; more than the rarest planted fault needs to be found."""

LONG = 4000
"""More of each with ``--long``."""


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """It forgets: a history ends before the server does."""
    with RedisServer({"appendonly": "no"}) as server:
        yield server


def batches(first: int, count: int) -> Sequence[range]:
    """The numbers of the histories, some hundred to a test; or the one that is asked for."""
    wanted = os.environ.get(NUMBER_VARIABLE)
    numbers = range(first, first + count)
    if wanted is not None:
        return [range(int(wanted), int(wanted) + 1)] if int(wanted) in numbers else []
    return [numbers[start : start + BATCH] for start in range(0, count, BATCH)]


def ids(numbers: range) -> str:
    """``first-last``."""
    return f"{numbers[0]}-{numbers[-1]}"


def live(
    folder: Path, numbers: range, *, cloud: bool = False, redis: RedisServer | None = None
) -> None:
    """Run the histories; the first broken promise fails, with its story."""
    store = "redis" if redis else "cloud" if cloud else "directory"
    for number in numbers:
        seed = f"{SEED}/{store}/{number}"
        history = History(seed, folder / str(number), cloud=cloud, redis=redis)
        try:
            history.run()
        except BaseException:
            again = f"{SEED_VARIABLE}={SEED} {NUMBER_VARIABLE}={number}"
            sys.stdout.write(f"{history.story}\nhistory {number} ({store}): {again}\n")
            raise


@pytest.mark.parametrize("numbers", batches(0, IN_DIRECTORY), ids=ids)
def test_i1_i3_i5_in_a_directory(fast_folder: Path, numbers: range) -> None:
    live(fast_folder, numbers, cloud=False)


@pytest.mark.parametrize("numbers", batches(0, IN_CLOUD), ids=ids)
def test_i1_i3_i5_in_the_cloud(fast_folder: Path, numbers: range) -> None:
    live(fast_folder, numbers, cloud=True)


@pytest.mark.parametrize("numbers", batches(0, IN_REDIS), ids=ids)
def test_i1_i3_i5_in_a_redis(fast_folder: Path, redis: RedisServer, numbers: range) -> None:
    live(fast_folder, numbers, redis=redis)


@pytest.mark.long
@pytest.mark.parametrize("numbers", batches(IN_DIRECTORY, LONG), ids=ids)
def test_i1_i3_i5_in_a_directory_at_length(fast_folder: Path, numbers: range) -> None:
    live(fast_folder, numbers, cloud=False)


@pytest.mark.long
@pytest.mark.parametrize("numbers", batches(IN_CLOUD, LONG), ids=ids)
def test_i1_i3_i5_in_the_cloud_at_length(fast_folder: Path, numbers: range) -> None:
    live(fast_folder, numbers, cloud=True)


@pytest.mark.long
@pytest.mark.parametrize("numbers", batches(IN_REDIS, LONG), ids=ids)
def test_i1_i3_i5_in_a_redis_at_length(
    fast_folder: Path, redis: RedisServer, numbers: range
) -> None:
    live(fast_folder, numbers, redis=redis)
