"""``kill -9`` of the real agent at every step of the write order, and once at every change.

Each life first ends the job at which the one before it died, and then dies at the next.
"""

from __future__ import annotations

import pytest

from segrelay.manifest import AttemptOutcome, parse_result
from segrelay.names import JobName
from segrelay.ulid import new_ulid
from tests.conftest import Tell
from tests.support.lab.fast_lab import DEADLINE, FastLab, attempts, check_once, events
from tests.support.launcher import FIRST_SAFE_STEP, STEPS, Launch
from tests.support.repetition import over
from tests.support.servers.orthanc import orthanc as orthanc

MOST_CHANGES = 400


@over("directory")
def test_i1_i2_i3_i4_a_kill_at_every_step_of_the_write_order(fast_lab: FastLab) -> None:
    jobs: dict[str, JobName] = {}
    for step in STEPS:
        jobs[step] = die(fast_lab, Launch(job=new_ulid(), step=step))
    fast_lab.start()
    fast_lab.wait_until_settled()
    check_once(fast_lab, list(jobs.values()), {})
    for step, job in jobs.items():
        check_life_after(fast_lab, step, job)


def check_life_after(lab: FastLab, step: str, job: JobName) -> None:
    """Made again only where the SEG was lost; counted only where work had started."""
    is_safe = STEPS.index(step) >= STEPS.index(FIRST_SAFE_STEP)
    opened = [e for e in events(lab) if e.get("job") == job.job_id and e["event"] == "job opened"]
    result = parse_result(lab.results()[job.job_id])
    records = attempts(lab, job)
    if is_safe:
        assert (result.attempt, len(opened), records) == (1, 1, []), step
    else:
        # Later lives may die for another job while this one is fetched again: not counted.
        record, *later = records
        assert result.attempt == 1 + len(records), step
        assert record.outcome is AttemptOutcome.LOST, step
        assert record.counts == (STEPS.index(step) >= STEPS.index("start-told")), step
        assert not any(one.counts for one in later), step


@pytest.mark.long
def test_i1_i2_i3_a_kill_before_every_single_change(fast_lab: FastLab, tell: Tell) -> None:
    """Before each file that the agent changes and each request that it sends, in order."""
    jobs: list[JobName] = []
    seen: dict[str, bytes] = {}
    for operation in range(1, MOST_CHANGES):
        launch = Launch(job=new_ulid(), operation=operation)
        job = die(fast_lab, launch)
        jobs.append(job)
        # Heartbeats go on for ever, so that the life ends all the same.
        if is_settled(fast_lab, job):
            break
        seen |= fast_lab.results()
    else:
        raise AssertionError("the job never ran through")
    fast_lab.start()
    fast_lab.wait_until_settled()
    check_once(fast_lab, jobs, seen)
    tell(f"{len(jobs)} kills, one before each change")


def is_settled(lab: FastLab, job: JobName) -> bool:
    """Whether nothing was left to do for the job when the agent died."""
    is_live = any(job.job_id in name for name in lab.live())
    return not is_live and not any(path.name == job.job_id for path in lab.outbox("lab-1"))


def die(lab: FastLab, launch: Launch) -> JobName:
    """Start the next life, let it settle what the last one left, and see it die."""
    lab.start(launch=launch)
    lab.wait_until_settled()
    job = lab.submit(launch.job)
    agent = lab.agents["lab-1"]
    lab.wait_for(lambda: agent.poll() is not None, f"it dies at {launch}", DEADLINE)
    assert agent.returncode == -9
    lab.check_outbox("lab-1")
    return job
