"""A full disk at every write of the agent and of its worker: nothing is lost, and it goes on."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from filelock import FileLock, Timeout

from infra.servers.orthanc import OrthancServer
from lab_side.commands.console import EXIT_OK
from segrelay.manifest import utc_now
from segrelay.names import JobName
from segrelay.queue.view import read_heartbeat
from tests.conftest import SEED, Tell
from tests.support.lab.fast_lab import (
    DEADLINE,
    FastLab,
    attempts,
    check_once,
    events,
    open_fast_lab,
)
from tests.support.lab.full_disk import FULL_EVENT, FullDisk
from tests.support.lab.small_disk import fill
from tests.support.lab.small_disk import small_disk as small_disk
from tests.support.launcher import LEASE, Launch
from tests.support.repetition import over
from tests.support.servers.orthanc import orthanc as orthanc

MOST_WRITES = 400
SAMPLE_STEP = 9
"""In a short run every so many-th write, beginning at one that the seed chooses."""

PAGES_OF_A_JOB = 16
"""A little more than what a job of the fast lab needs at once."""

A_WHILE = 40
"""Writes that fail in a row: longer than any single step of the agent."""


@over("directory")
@pytest.mark.parametrize("length", [1, A_WHILE], ids=["once", "for a while"])
@pytest.mark.parametrize("step", [SAMPLE_STEP, pytest.param(1, marks=pytest.mark.long)])
def test_i1_i2_i3_i4_at_every_write_of_the_agent(
    fast_lab: FastLab, tell: Tell, step: int, length: int
) -> None:
    """A queue in a directory is on the same disk: the heartbeat meets it too."""
    first = 1 + SEED % step
    disk = FullDisk(folder=disk_of(fast_lab), first=first, step=step, length=length)
    report = run_through(fast_lab, Launch(full_disk=disk))
    tell(report)


@over("gcs")
@pytest.mark.parametrize("length", [1, A_WHILE], ids=["once", "for a while"])
def test_i1_i2_i3_at_every_write_of_the_worker(fast_lab: FastLab, tell: Tell, length: int) -> None:
    disk = FullDisk(folder=disk_of(fast_lab), first=1, length=length)
    report = run_through(fast_lab, Launch(worker_full_disk=disk))
    codes = {item["code"] for item in events(fast_lab) if item["event"] == "job not finished"}
    assert codes == {"local-disk"}
    tell(report)


@pytest.mark.parametrize("step", [SAMPLE_STEP, pytest.param(1, marks=pytest.mark.long)])
def test_i1_i2_i3_i4_a_real_disk_with_room_for_so_many_pages(
    orthanc: OrthancServer, small_disk: Path, tmp_path: Path, step: int
) -> None:
    """Some writes fit and the next does not; then there is space again."""
    with open_fast_lab(orthanc, tmp_path, "gcs") as lab:
        (tmp_path / "work").symlink_to(small_disk)
        lab.start()
        lab.wait_for(lambda: lab.is_serving("lab-1"), "the agent serves")
        jobs: list[JobName] = []
        handed_back = 0
        for pages in range(0, PAGES_OF_A_JOB, step):
            filler = fill(small_disk, pages)
            jobs.append(lab.submit())
            lab.wait_for(lambda: ends_or_comes_back(lab, jobs[-1]), "the job ends or comes back")
            handed_back += bool(attempts(lab, jobs[-1]))
            filler.unlink()
            lab.wait_until_settled()
        assert handed_back > 0
        assert_unharmed(lab, jobs)
        check_remedies(lab)


def test_i1_i3_everything_on_one_real_disk_that_is_full(
    orthanc: OrthancServer, small_disk: Path
) -> None:
    """Queue, work folder and log: no beat and no line gets through for longer than the lease."""
    with open_fast_lab(orthanc, small_disk, "directory") as lab:
        lab.start()
        lab.wait_for(lambda: lab.is_serving("lab-1"), "the agent serves")
        agent = lab.agents["lab-1"]
        halt(lab, agent)
        job = lab.submit()
        filler = fill(small_disk, 0)
        agent.send_signal(signal.SIGCONT)
        lab.wait_for(lambda: heartbeat_age(lab) > LEASE, "no beat gets through")
        assert agent.poll() is None
        assert lab.results() == {}
        filler.unlink()
        lab.wait_until_settled()
        lab.wait_for(lambda: heartbeat_age(lab) < LEASE, "it beats again")
        assert_unharmed(lab, [job])


def test_a_log_that_takes_no_line_costs_the_log_alone(
    orthanc: OrthancServer, tmp_path: Path
) -> None:
    with open_fast_lab(orthanc, tmp_path, "directory") as lab, open("/dev/full", "wb") as log:
        job = lab.submit()
        agent = lab.open_process("lab-1", Launch(), "once", log)
        try:
            assert agent.wait(DEADLINE) == EXIT_OK
        finally:
            agent.kill()
            agent.wait()
        check_once(lab, [job], {})


def halt(lab: FastLab, agent: subprocess.Popen[bytes]) -> None:
    """Stop the agent for a while, at a moment at which it does not hold the queue's lock."""
    process = psutil.Process(agent.pid)
    while True:
        agent.send_signal(signal.SIGSTOP)
        lab.wait_for(lambda: process.status() == psutil.STATUS_STOPPED, "the agent halts")
        with contextlib.suppress(Timeout), FileLock(lab.folder / "queue/.lock", timeout=0):
            return
        agent.send_signal(signal.SIGCONT)


def ends_or_comes_back(lab: FastLab, job: JobName) -> bool:
    return bool(attempts(lab, job)) or lab.is_settled()


def heartbeat_age(lab: FastLab) -> timedelta:
    """By the clock of this computer, which is the store's too."""
    seen = read_heartbeat(lab.bucket, "lab-1")
    assert seen is not None
    return utc_now() - seen.updated


def assert_unharmed(lab: FastLab, jobs: Sequence[JobName]) -> None:
    """The agent goes on, every job has ended once and well, and no attempt counted."""
    assert lab.agents["lab-1"].poll() is None, "the agent goes on"
    check_once(lab, jobs, {})
    assert not any(record.counts for job in jobs for record in attempts(lab, job))
    assert "Traceback" not in lab.log("lab-1").read_text()


def disk_of(lab: FastLab) -> Path:
    """Where the agent writes; the queue is there as well where it is a directory."""
    return lab.folder / "work" if lab.queue.fake is not None else lab.folder


def run_through(lab: FastLab, launch: Launch) -> str:
    """One job after the other, until one meets no full disk. Returns a line for a person."""
    lab.start(launch=launch)
    jobs: list[JobName] = []
    for _ in range(MOST_WRITES):
        jobs.append(lab.submit())
        lab.wait_until_settled()
        if not hits(lab, jobs[-1]):
            break
    else:
        raise AssertionError("the job never ran through")
    assert len(jobs) > 1
    assert_unharmed(lab, jobs)
    check_remedies(lab)
    refused = Counter(f"{kind_of(path)} {what}" for job in jobs for what, path in hits(lab, job))
    handed_back = sum(bool(attempts(lab, job)) for job in jobs)
    kinds = ", ".join(sorted(refused))
    return f" {len(jobs)} jobs, {handed_back} handed back; refused: {kinds} "


def hits(lab: FastLab, job: JobName) -> list[tuple[str, str]]:
    """What was refused during the job, and of which file."""
    return [
        (item["what"], item["path"])
        for item in events(lab)
        if item["event"] == FULL_EVENT and item["job"] == job.job_id
    ]


def check_remedies(lab: FastLab) -> None:
    """Whatever the log says of a full disk tells what to do."""
    told = [item for item in events(lab) if item.get("code") in ("local-disk", "store-full")]
    assert told
    for item in told:
        assert "full" in item["why"] or "No space left" in item["why"], item
        assert item["remedy"].startswith("Free space on "), item


def kind_of(path: str) -> str:
    """A file without what is different in every job."""
    parts = [part for part in path.split("/") if part not in ("work", "lab-1")]
    name = parts[-1].strip(".")
    for known in ("seg.dcm", "draft.json", "trouble.json", "stored.dcm"):
        if name.startswith(known):
            return known
    return f"{parts[0]}/*{Path(name).suffix}" if len(parts) > 1 else parts[0]
