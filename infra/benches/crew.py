"""The contenders' processes, and blocks of jobs in turn, so that drift hits all alike."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from common.errors import FixConfigurationError
from infra.benches.contender import Timing
from infra.benches.floors import FLOORS
from infra.debian import repository_root
from infra.processes import stop_process

PEERS_PYTHON = Path(".cache/bench/bin/python")
"""Below the repository: where ``infra/bench`` put the peers."""

OWN_KINDS = ("relay", "relay-one-look", "relay-gcs", "naive", *FLOORS)
"""Contenders that need this venv; the others live in that of the peers."""


class Worker:
    """One contender in a process of its own."""

    def __init__(self, kind: str, place: str) -> None:
        self._kind = kind
        self._process = subprocess.Popen(
            [str(_python(kind)), "-m", "infra.benches.worker", kind, place],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=repository_root(),
        )

    def steady(self, jobs: int) -> list[Timing]:
        """Time ``jobs`` jobs, each submitted right before its claim."""
        return self._timed("steady", jobs)

    def backlog(self, jobs: int) -> list[Timing]:
        """Time ``jobs`` jobs that were all submitted before the first claim."""
        return self._timed("backlog", jobs)

    def fill_history(self, count: int) -> None:
        """Add finished jobs."""
        self._ask("history", count)

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        stop_process(self._process)

    def _timed(self, what: str, jobs: int) -> list[Timing]:
        return [Timing(*pair) for pair in self._ask(what, jobs)]

    def _ask(self, what: str, jobs: int) -> Any:
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the worker was started without pipes")
        self._process.stdin.write(json.dumps({"do": what, "jobs": jobs}).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the worker {self._kind} ended; its message is above")
        return json.loads(answer)


@contextlib.contextmanager
def crew(kinds: Sequence[str], folder: Path) -> Iterator[dict[str, Worker]]:
    """Workers by kind, each in its own new folder below ``folder``; ended with the block."""
    with contextlib.ExitStack() as stack:
        workers = {}
        for kind in kinds:
            workers[kind] = Worker(kind, str(folder / kind))
            stack.callback(workers[kind].close)
        yield workers


def steady_rounds(
    workers: Mapping[str, Worker], rounds: int, jobs: int, chance: random.Random
) -> dict[str, list[list[Timing]]]:
    """``rounds`` blocks of each, in a new order every round."""
    timed: dict[str, list[list[Timing]]] = {kind: [] for kind in workers}
    for _ in range(rounds):
        for kind in chance.sample(sorted(workers), len(workers)):
            timed[kind].append(workers[kind].steady(jobs))
    return timed


def _python(kind: str) -> Path:
    if kind in OWN_KINDS:
        return Path(sys.executable)
    python = repository_root() / PEERS_PYTHON
    if not python.exists():
        raise FixConfigurationError(
            "The other queues are not installed.",
            code="bench-tools-missing",
            remedy="Start the benchmark with infra/bench, which installs them.",
        )
    return python
