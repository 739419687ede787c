"""Every operation of a job's whole way fails once, in every manner; the job still ends once.

The way is run with a fault at operation 1, 2, 3, … until it runs through without meeting it.
After each fault another life of the agent takes over, and the invariants must hold.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from segrelay import names
from segrelay.bucket import Bucket
from segrelay.bucket.local import LocalBucket
from segrelay.errors import LeaseLostError, StoreUnavailableError
from segrelay.manifest import JobManifest, ResultStatus
from segrelay.queue import (
    AgentQueue,
    Heartbeat,
    HeartbeatJob,
    Identity,
    Lease,
    Reaper,
    SiteQueue,
    scan,
)
from tests.support.buckets.directories import Fresh, fresh_directory
from tests.support.buckets.faulty_bucket import Fault, FaultyBucket, SimulatedCrash
from tests.support.jobs import NOW, make_identity, make_manifest, make_result

MOST_OPERATIONS = 60
"""More than any way below needs; reaching it means that the loop never ended."""

FOLDERS = ("jobs/pending", "jobs/claimed", "done", "failed", "rejected")


class Life:
    """One life of an agent; earlier lives are dead when the next one starts."""

    def __init__(self, bucket: Bucket) -> None:
        self.identity = make_identity()
        self.bucket = bucket
        self.lease = Lease(bucket, "lab-1", self.identity, is_dead=self._is_dead)
        self.queue = AgentQueue(bucket, "lab-1", now=self.lease.now)
        self.reaper = Reaper(bucket, "lab-1", now=self.lease.now, is_dead=self._is_dead)

    def work(self) -> None:
        """Start, recover, and serve everything that waits."""
        previous = self.lease.take(self._heartbeat())
        self.reaper.recover_own_claims(scan(self.bucket), previous, keep=())
        for job in scan(self.bucket).pending:
            claim = self.queue.claim(job)
            manifest = None if claim is None else self.queue.open(claim)
            if claim is None or manifest is None:
                continue
            working = HeartbeatJob(
                job_id=claim.job_id, attempt=claim.attempt, stage="infer", started=True
            )
            self.lease.renew(self._heartbeat(working))
            self.queue.finish(claim, make_result(claim.job_id, attempt=claim.attempt))

    def _heartbeat(self, *jobs: HeartbeatJob) -> Heartbeat:
        return Heartbeat(identity=self.identity, state="listening", version="0", jobs=jobs)

    def _is_dead(self, identity: Identity) -> bool:
        return identity.instance != self.identity.instance


def serve(bucket: Bucket, _manifest: JobManifest) -> None:
    """The agent's way."""
    Life(bucket).work()


def submit(bucket: Bucket, manifest: JobManifest) -> None:
    """The site's way, first half."""
    SiteQueue(bucket).submit(manifest)


def cancel(bucket: Bucket, manifest: JobManifest) -> None:
    """The site's way to call a job off."""
    SiteQueue(bucket).cancel(manifest.job_id, now=NOW)


def where(bucket: Bucket, job_id: str) -> list[str]:
    return [
        folder for folder in FOLDERS for info in bucket.list(f"v1/{folder}/") if job_id in info.name
    ]


def run_with_faults(
    fresh: Fresh,
    fault: Fault,
    way: Callable[[Bucket, JobManifest], None],
    *,
    submitted: bool,
    repeat: bool,
) -> int:
    """Run ``way`` with the fault at every operation; returns how many there were."""
    for at in range(1, MOST_OPERATIONS):
        with fresh() as bucket:
            manifest = make_manifest()
            if submitted:
                SiteQueue(bucket).submit(manifest)
            faulty = FaultyBucket(bucket, at=at, fault=fault)
            with contextlib.suppress(SimulatedCrash, StoreUnavailableError, LeaseLostError):
                way(faulty, manifest)
            if repeat:
                way(bucket, manifest)
            Life(bucket).work()
            Life(bucket).work()
            assert_settled(bucket, manifest)
        if faulty.operations < at:
            return at
    raise AssertionError("the way never ran through")


def assert_settled(bucket: Bucket, manifest: JobManifest) -> None:
    """I1: in exactly one place; I3: at most one result, and here exactly one."""
    assert where(bucket, manifest.job_id) == ["done"], where(bucket, manifest.job_id)
    archived = bucket.list(names.DONE)[0].name
    assert bucket.read(archived, limit=100_000) == manifest.to_json()
    assert len(bucket.list(names.RESULTS)) == 1


@pytest.mark.parametrize("fault", Fault)
def test_i1_i3_whatever_breaks_while_serving_the_job_ends_once(
    tmp_path: Path, fault: Fault
) -> None:
    assert (
        run_with_faults(fresh_directory(tmp_path), fault, serve, submitted=True, repeat=False) > 10
    )


@pytest.mark.parametrize("fault", Fault)
def test_i1_i3_whatever_breaks_while_submitting_the_job_is_published_once(
    tmp_path: Path, fault: Fault
) -> None:
    assert (
        run_with_faults(fresh_directory(tmp_path), fault, submit, submitted=False, repeat=True) > 1
    )


@pytest.mark.parametrize("fault", Fault)
def test_i1_i3_whatever_breaks_while_cancelling_the_job_ends_once(
    tmp_path: Path, fault: Fault
) -> None:
    assert (
        run_with_faults(fresh_directory(tmp_path), fault, cancel, submitted=True, repeat=True) > 3
    )


@pytest.mark.parametrize("status", [ResultStatus.CANCELLED])
def test_a_cancellation_repeated_after_a_crash_stands(tmp_path: Path, status: ResultStatus) -> None:
    bucket = LocalBucket(tmp_path)
    manifest = make_manifest()
    SiteQueue(bucket).submit(manifest)
    faulty = FaultyBucket(bucket, at=1, fault=Fault.CRASH_AFTER)
    with contextlib.suppress(SimulatedCrash):
        SiteQueue(faulty).cancel(manifest.job_id, now=NOW)
    assert SiteQueue(bucket).cancel(manifest.job_id, now=NOW).status is status
