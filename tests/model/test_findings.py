"""Defects that the model and the fuzzing found, each as its shortest history."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from lab_side.agent.delivery.outbox import Outbox
from segrelay import names
from segrelay.bucket import ObjectInfo
from segrelay.bucket.local import LocalBucket
from segrelay.errors import LocalDiskError, ObjectExistsError
from segrelay.names import JobName
from segrelay.queue import AgentQueue, Claim, Heartbeat, Lease, Reaper, SiteQueue, scan
from tests.support.jobs import NOW, make_identity, make_manifest
from tests.support.simulator.clock import Clock, MachineClock
from tests.support.simulator.stores import TimedDirectory
from tests.support.waiting import make_entry


class SlowHeartbeats(TimedDirectory):
    """The request of a beat is long under way."""

    SECONDS = 90

    def refresh(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        self.clock.advance(self.SECONDS)
        return super().refresh(name, metadata, generation=generation)


class TakenMeanwhile(LocalBucket):
    """An agent claims the job just when the site is told that it exists already."""

    def create(self, name: str, data: bytes) -> ObjectInfo:
        try:
            return super().create(name, data)
        except ObjectExistsError:
            AgentQueue(self, "lab-1", now=lambda: NOW).claim(scan(self).pending[0])
            raise


def test_submitting_again_while_an_agent_claims_is_no_error(fast_folder: Path) -> None:
    bucket = TakenMeanwhile(fast_folder)
    manifest = make_manifest()
    name = SiteQueue(bucket).submit(manifest)
    assert SiteQueue(bucket).submit(manifest) == name
    assert len(scan(bucket).claimed) == 1


@pytest.mark.parametrize("name", ["a\\b.json", "x" * 120, "folder/x.json", ".json"])
def test_where_a_strange_name_is_set_aside(name: str) -> None:
    target = names.set_aside_name(names.PENDING + name)
    assert target.startswith(f"{names.REJECTED}misnamed-")
    assert target != names.set_aside_name(f"{names.PENDING}other/x.json")
    assert len(target) < 100


def test_a_job_moved_by_hand_into_a_claim_comes_back(fast_folder: Path) -> None:
    bucket = LocalBucket(fast_folder)
    manifest = make_manifest()
    name = SiteQueue(bucket).submit(manifest)
    info = scan(bucket).pending[0].info
    bucket.move(info.name, name.claimed_by("lab-9"), generation=info.generation)
    Reaper(bucket, "lab-1", now=lambda: NOW, is_dead=lambda _: False).reap(scan(bucket))
    assert [job.name for job in scan(bucket).pending] == [name]


def test_an_outbox_entry_that_has_just_gone_is_no_crash(fast_folder: Path) -> None:
    outbox = Outbox(fast_folder / "home")
    entry = make_entry(outbox, fast_folder / "work")
    shutil.rmtree(entry.folder)
    job = JobName(priority=5, job_id="01" + "a" * 24, profile="demo", fence=2)
    with pytest.raises(LocalDiskError):
        outbox.reassign(entry, Claim(name=job, agent="lab-1"))


def test_a_slow_beat_does_not_put_the_clock_ahead(fast_folder: Path) -> None:
    clock = Clock()
    bucket = SlowHeartbeats(fast_folder, clock, lambda *_: None)
    lease = Lease(
        bucket, "lab-1", make_identity(), is_dead=lambda _: False, monotonic=MachineClock(clock, 0)
    )
    lease.take(Heartbeat(identity=lease.identity, state="listening", version="0"))
    lease.renew(Heartbeat(identity=lease.identity, state="listening", version="0"))
    clock.advance(10)
    assert lease.now() == clock.now()
    assert lease.age() == 10 + SlowHeartbeats.SECONDS
