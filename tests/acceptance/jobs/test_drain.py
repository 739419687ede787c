"""Stopping and pausing in order: finished or handed back, and nothing counts against a job."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil
import pytest

from lab_side.agent.health.control import PAUSE_FILE
from segrelay import names
from segrelay.names import JobName
from segrelay.queue import JobState, SiteQueue
from segrelay.queue.view import read_heartbeat
from tests.conftest import SEED, Tell
from tests.support.lab.fast_lab import FastLab, attempts, check_once, events
from tests.support.launcher import Launch
from tests.support.repetition import over

DRAINS, DRAINS_LONG = 3, 50
"""Over each kind of queue."""

LIMIT_S = 60.0
"""What a drain may take on a busy machine."""

WORK_S, LONGEST_WAIT_S = 0.4, 1.0
"""A job's time in the worker; from the first claim to the stop, at random, at most."""

MOST_JOBS = 3
ENDLESS_S = 600.0


def by_signal(lab: FastLab) -> None:
    lab.agents["lab-1"].send_signal(signal.SIGTERM)


def by_command(lab: FastLab) -> None:
    assert "and ends" in lab.command("drain")


@dataclass
class Drains:
    """Lives of one agent, each of them stopped at work."""

    lab: FastLab
    chance: random.Random
    jobs: list[JobName] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0

    def live(self, stop: Callable[[FastLab], None]) -> None:
        """One life, to its end."""
        for _ in range(self.chance.randint(1, MOST_JOBS)):
            self.jobs.append(self.lab.submit())
        ended = set(self.lab.results())
        self.lab.start(launch=Launch(work_s=WORK_S))
        self.lab.wait_for(lambda: self.is_at_work(ended), "a job is claimed")
        time.sleep(self.chance.uniform(0, LONGEST_WAIT_S))
        before, records = set(self.lab.results()), self.records()
        began = time.monotonic()
        stop(self.lab)
        assert end_of(self.lab) == 0
        self.longest_s = max(self.longest_s, time.monotonic() - began)
        self.counts["drains"] += 1
        self.counts["finished"] += len(set(self.lab.results()) - before)
        self.counts["handed back"] += self.records() - records
        assert not any(name.startswith(names.CLAIMED) for name in self.lab.live())
        assert self.lab.outbox("lab-1") == []

    def is_at_work(self, ended: set[str]) -> bool:
        owned = any(name.startswith(names.CLAIMED) for name in self.lab.live())
        return owned or set(self.lab.results()) > ended

    def records(self) -> int:
        found = [record for job in self.jobs for record in attempts(self.lab, job)]
        assert {(record.code, record.counts) for record in found} <= {("stopping", False)}, found
        return len(found)


@over("gcs")
@pytest.mark.parametrize("drains", [DRAINS, pytest.param(DRAINS_LONG, marks=pytest.mark.long)])
def test_a_stop_at_any_moment_finishes_or_hands_back(
    fast_lab: FastLab, tell: Tell, drains: int
) -> None:
    lives = Drains(fast_lab, random.Random(f"{SEED} {fast_lab.queue.address[:2]} {drains}"))
    for turn in range(drains):
        lives.live(by_command if turn % 5 == 0 else by_signal)
    fast_lab.start()
    fast_lab.wait_until_settled()
    check_once(fast_lab, lives.jobs, {})
    told = ", ".join(f"{number} {what}" for what, number in lives.counts.items())
    tell(f"{len(lives.jobs)} jobs; {told}; the longest drain took {lives.longest_s:.1f} s")


@over("directory")
def test_a_drain_that_reaches_its_limit_hands_the_job_back(fast_lab: FastLab) -> None:
    fast_lab.drain_minutes = 0.01
    job = start_endless_job(fast_lab)
    by_signal(fast_lab)
    assert end_of(fast_lab) == 0
    assert is_handed_back(fast_lab, job, "stopping")
    (cancelling,) = [item for item in events(fast_lab) if item["event"] == "cancellation started"]
    assert cancelling["why"] == "the limit is reached"


@over("gcs")
def test_a_second_signal_cancels(fast_lab: FastLab) -> None:
    job = start_endless_job(fast_lab)
    by_signal(fast_lab)
    fast_lab.wait_for(lambda: has_event(fast_lab, "drain started"), "the first signal drains")
    by_signal(fast_lab)
    assert end_of(fast_lab) == 0
    assert is_handed_back(fast_lab, job, "stopping")


@over("directory")
def test_drain_twice_drains_and_drain_cancel_cancels(fast_lab: FastLab) -> None:
    job = start_endless_job(fast_lab)
    by_command(fast_lab)
    by_command(fast_lab)
    assert fast_lab.agents["lab-1"].poll() is None, "the job on the GPU is waited for"
    fast_lab.command("drain", "--cancel")
    assert end_of(fast_lab) == 0
    assert is_handed_back(fast_lab, job, "stopping")


@over("directory")
def test_a_pause_finishes_the_job_on_the_gpu_and_hands_back_the_next(fast_lab: FastLab) -> None:
    """It stands over a restart, is seen from outside, and ends with resume."""
    first = fast_lab.submit()
    fast_lab.start(launch=Launch(work_s=3))
    fast_lab.wait_for(lambda: has_event(fast_lab, "series fetched"), "a job is on its way")
    second, third = fast_lab.submit(), fast_lab.submit()
    fast_lab.command("pause", "--reason", "Kim trains a network", "--until", "2100-01-01T12:00")
    fast_lab.wait_for(lambda: state_of_agent(fast_lab) == "paused", "the heartbeat says it")
    fast_lab.wait_for(lambda: fast_lab.results() != {}, "the job on the GPU is finished")
    fast_lab.wait_for(lambda: not holds_claims(fast_lab), "the other one is handed back")
    assert set(fast_lab.results()) == {first.job_id}
    records = [record for job in (second, third) for record in attempts(fast_lab, job)]
    assert {(record.code, record.counts) for record in records} <= {("paused", False)}
    fast_lab.wait_for(lambda: not has_worker(fast_lab), "the GPU is given back")
    said = fast_lab.command("status")
    assert "runs: paused (Kim trains a network, until 2100-01-01 12:00" in said
    assert "Paused here since" in said

    by_signal(fast_lab)
    assert end_of(fast_lab) == 0
    fast_lab.start()
    fast_lab.wait_for(lambda: state_of_agent(fast_lab) == "paused", "the next life pauses as well")
    assert set(fast_lab.results()) == {first.job_id}
    assert "Resumed." in fast_lab.command("resume")
    fast_lab.wait_until_settled()
    check_once(fast_lab, [first, second, third], {})
    assert state_of_agent(fast_lab) == "listening"


@over("directory")
def test_orders_that_cannot_be_read_do_not_stop_the_agent(fast_lab: FastLab) -> None:
    fast_lab.start()
    fast_lab.wait_for(lambda: fast_lab.is_serving("lab-1"), "the agent serves")
    control = (fast_lab.home("lab-1") / PAUSE_FILE).parent
    (control / "pause.json").write_bytes(b'{"at": "2026-01-0')
    (control / "drain.json").mkdir()
    (control / "shutdown.json").write_bytes(b"now")
    fast_lab.wait_for(lambda: len(unreadable(fast_lab)) == 2, "both are told of")
    job = fast_lab.submit()
    fast_lab.wait_until_settled()
    check_once(fast_lab, [job], {})
    assert sorted(unreadable(fast_lab)) == ["drain.json", "pause.json"], "each is told of once"


def start_endless_job(lab: FastLab) -> JobName:
    """A job that the worker never ends."""
    job = lab.submit()
    lab.start(launch=Launch(work_s=ENDLESS_S))
    lab.wait_for(lambda: stage(lab, job) == "infer", "the worker has it")
    return job


def end_of(lab: FastLab) -> int:
    try:
        return lab.agents["lab-1"].wait(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        raise AssertionError(lab.log("lab-1").read_text()[-2000:]) from None


def is_handed_back(lab: FastLab, job: JobName, code: str) -> bool:
    records = [(record.code, record.counts) for record in attempts(lab, job)]
    assert records == [(code, False)]
    return SiteQueue(lab.bucket).find(job).state is JobState.PENDING


def stage(lab: FastLab, job: JobName) -> str:
    progress = SiteQueue(lab.bucket).find(job).progress
    return "" if progress is None else progress.stage


def state_of_agent(lab: FastLab) -> str:
    """As this life's heartbeat tells."""
    seen = read_heartbeat(lab.bucket, "lab-1")
    if seen is None or seen.heartbeat.identity.pid != lab.agents["lab-1"].pid:
        return ""
    return seen.heartbeat.state


def holds_claims(lab: FastLab) -> bool:
    return any(name.startswith(names.CLAIMED) for name in lab.live())


def has_worker(lab: FastLab) -> bool:
    return bool(psutil.Process(lab.agents["lab-1"].pid).children())


def has_event(lab: FastLab, name: str) -> bool:
    return any(item["event"] == name for item in events(lab))


def unreadable(lab: FastLab) -> list[str]:
    return [item["file"] for item in events(lab) if item["event"] == "control file not read"]
