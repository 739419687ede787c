"""Half an hour of jobs with faults at random: what the agent takes of its computer does not grow.

``SEGRELAY_SOAK_MINUTES`` (``infra/test --long --soak MINUTES``) makes it shorter or longer.
"""

from __future__ import annotations

import contextlib
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from infra.fake_gcs import Fault, FaultKind
from infra.servers.orthanc import OrthancServer
from segrelay import names
from segrelay.names import JobName
from tests.conftest import SEED, Tell
from tests.support.lab.fast_lab import FastLab, check_once, open_fast_lab
from tests.support.servers.fault_proxy import FaultProxy, fault_proxy
from tests.support.servers.orthanc import fresh_orthanc as fresh_orthanc

MINUTES_VARIABLE = "SEGRELAY_SOAK_MINUTES"
MINUTES = float(os.environ.get(MINUTES_VARIABLE, "30"))

MOST_WAITING = 3
SAMPLE_EVERY_S, LONGEST_CALM_S = 1.0, 4.0
"""Between two samples; and, at random, at most, between two faults."""

WARM_SHARE = 1 / 3
"""Of the run: caches and pools fill, and are not looked at."""

QUEUE_FAULTS = (
    FaultKind.DROP_BEFORE,
    FaultKind.DROP_AFTER,
    FaultKind.STATUS,
    FaultKind.STATUS_AFTER,
    FaultKind.CUT,
    FaultKind.RESET,
)
ORTHANC_FAULTS = (FaultKind.DROP_BEFORE, FaultKind.DROP_AFTER, FaultKind.STATUS, FaultKind.RESET)

LIMITS = {"agent MB": 8.0, "worker MB": 30.0, "open files": 4.0, "threads": 3.0, "files": 12.0}
"""What the fitted line may rise between the end of the warm share and the end of the run."""


@dataclass
class Soak:
    """One run and what was measured."""

    lab: FastLab
    proxy: FaultProxy
    temp: Path
    chance: random.Random
    jobs: list[JobName] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Seconds and value, by what was measured."""

    def run(self, seconds: float) -> None:
        """Work and break things for so long; then let all jobs end."""
        began = time.monotonic()
        next_fault = began
        while (now := time.monotonic()) < began + seconds:
            self.submit()
            self.sample(now - began)
            if now >= next_fault:
                self.break_something()
                next_fault = now + self.chance.uniform(0, LONGEST_CALM_S)
            assert self.lab.agents["lab-1"].poll() is None, self.lab.log("lab-1").read_text()[
                -2000:
            ]
            time.sleep(SAMPLE_EVERY_S)
        self.clear_faults()
        self.lab.wait_until_settled()

    def submit(self) -> None:
        """Keep jobs coming; a submit that meets a fault of the queue is the site's affair."""
        waiting = sum(name.startswith(names.PENDING) for name in self.lab.live())
        for _ in range(MOST_WAITING - waiting):
            self.jobs.append(self.lab.submit())

    def break_something(self) -> None:
        """One fault, of the queue, of Orthanc, of the worker, or of a person."""
        assert self.lab.queue.fake is not None
        what = self.chance.choice(("queue", "Orthanc", "worker", "pause"))
        self.counts[what] += 1
        times = self.chance.randint(1, 6)
        if what == "queue":
            kind = self.chance.choice(QUEUE_FAULTS)
            self.lab.queue.fake.faults.add(Fault(kind=kind, times=times))
        elif what == "Orthanc":
            self.proxy.faults.add(Fault(kind=self.chance.choice(ORTHANC_FAULTS), times=times))
        elif what == "worker":
            self.lab.kill_worker("lab-1")
        else:
            self.lab.command("pause", "--reason", "soak")
            self.lab.command("resume")

    def clear_faults(self) -> None:
        assert self.lab.queue.fake is not None
        self.lab.queue.fake.faults.clear()
        self.proxy.faults.clear()

    def sample(self, seconds: float) -> None:
        """Measure the agent, its worker, and the files that it has."""
        agent = psutil.Process(self.lab.agents["lab-1"].pid)
        files = sum(path.is_file() for path in self._files())
        self._note(seconds, "agent MB", agent.memory_info().rss / 1e6)
        self._note(seconds, "open files", agent.num_fds())
        self._note(seconds, "threads", agent.num_threads())
        self._note(seconds, "files", files)
        # It may end, or not have begun, in this moment.
        with contextlib.suppress(psutil.NoSuchProcess):
            for worker in agent.children():
                self._note(seconds, "worker MB", worker.memory_info().rss / 1e6)

    def _files(self) -> Iterator[Path]:
        for folder in (self.lab.home("lab-1"), self.temp):
            # Files come and go meanwhile.
            with contextlib.suppress(OSError):
                yield from folder.rglob("*")

    def _note(self, seconds: float, what: str, value: float) -> None:
        self.samples.setdefault(what, []).append((seconds, value))

    def rises(self) -> dict[str, tuple[float, float]]:
        """By what was measured: the rise over the fitted time, and per hour."""
        found = {}
        for what, samples in self.samples.items():
            warm = samples[round(len(samples) * WARM_SHARE) :]
            seconds, values = zip(*warm, strict=True)
            slope = statistics.linear_regression(seconds, values).slope
            found[what] = slope * (seconds[-1] - seconds[0]), slope * 3600
        return found


@pytest.mark.long
def test_what_the_agent_takes_does_not_grow(
    fresh_orthanc: OrthancServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tell: Tell,
) -> None:
    temp = tmp_path / "temp"
    temp.mkdir()
    monkeypatch.setenv("TMPDIR", str(temp))
    with (
        fault_proxy(fresh_orthanc.url) as proxy,
        open_fast_lab(fresh_orthanc, tmp_path / "lab", "gcs") as lab,
    ):
        lab.orthanc_url = proxy.url
        soak = Soak(lab, proxy, temp, random.Random(SEED))
        lab.start()
        lab.wait_for(lambda: lab.is_serving("lab-1"), "the agent serves")
        soak.run(MINUTES * 60)
        check_once(lab, soak.jobs, {})
        rises = soak.rises()
        broken = ", ".join(f"{number} {what}" for what, number in soak.counts.items())
        tell(f"{MINUTES:g} minutes, {len(soak.jobs)} jobs, all once; faults: {broken}")
        for what, (rise, hourly) in rises.items():
            last = soak.samples[what][-1][1]
            tell(
                f"{what}: {last:.0f} at the end, {hourly:+.2f} an hour, {rise:+.2f} in the time "
                f"looked at (limit {LIMITS[what]})"
            )
    assert set(rises) == set(LIMITS)
    assert {what: rise for what, (rise, _) in rises.items() if rise > LIMITS[what]} == {}
