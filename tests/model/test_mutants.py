"""The model's own test: it finds every fault that is planted in the real code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.servers.redis import RedisServer
from segrelay.bucket import redis as redis_module
from segrelay.bucket.redis_scripts import Script
from tests.conftest import SEED
from tests.support.simulator.history import History
from tests.support.simulator.mutants import MUTANTS, Mutant
from tests.support.simulator.watch import Violation

MOST_HISTORIES = 1500
"""More than twice what the rarest catch has ever needed; most need fewer than fifty."""


REDIS_MUTANTS = {
    "moves-any-generation": (
        "MOVE",
        "if found ~= ARGV[3] then return {'other-generation'} end",
        "S1",
    ),
    "creates-over": ("CREATE", "if there then return {'exists'} end", {"A1", "I3"}),
    "forgets-a-name": ("MOVE", "redis.call('ZADD', KEYS[1], 0, ARGV[2])", {"I1"}),
}
"""What is taken out of a script, and the promises of which one is then found broken."""


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer({"appendonly": "no"}) as server:
        yield server


@pytest.mark.parametrize(
    ("script", "line", "promises"), REDIS_MUTANTS.values(), ids=list(REDIS_MUTANTS)
)
def test_a_fault_planted_in_a_script_is_found(
    fast_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    redis: RedisServer,
    script: str,
    line: str,
    promises: set[str],
) -> None:
    body = getattr(redis_module, script).body
    assert body.count(line) == 1
    monkeypatch.setattr(redis_module, script, Script(body.replace(line, "")))
    for number in range(MOST_HISTORIES):
        history = History(f"{SEED}/{script}/{number}", fast_folder / str(number), redis=redis)
        try:
            history.run()
        except Violation as violation:
            if violation.promise in promises:
                return
    pytest.fail(f"not found in {MOST_HISTORIES} histories")


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
