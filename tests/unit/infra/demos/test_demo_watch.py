"""The watch sees a job move, and says so where it never arrives."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from infra.demos import watch as demo_watch
from infra.demos.watch import QueueWatch
from infra.servers.site_and_agent import DemoError
from segrelay import names
from segrelay.bucket import ObjectInfo
from segrelay.bucket.local import LocalBucket
from segrelay.errors import StoreUnavailableError
from segrelay.queue import AgentQueue, SiteQueue, scan
from tests.support.jobs import NOW, make_manifest, make_result

WAIT_LIMIT_S = 30.0


@pytest.fixture
def bucket(tmp_path: Path) -> LocalBucket:
    return LocalBucket(tmp_path)


def run_job(bucket: LocalBucket, watch: QueueWatch) -> str:
    """Submit and claim, each seen; finish; returns the job id."""
    name = SiteQueue(bucket).submit(make_manifest())
    watch.look()
    queue = AgentQueue(bucket, "lab-1", now=lambda: NOW)
    claim = queue.claim(scan(bucket).pending[0])
    assert claim is not None
    watch.look()
    queue.finish(claim, make_result(name.job_id))
    return name.job_id


def test_the_trail_has_every_name_of_this_job_alone(bucket: LocalBucket) -> None:
    watch = QueueWatch(bucket)
    run_job(bucket, watch)
    job_id = run_job(bucket, watch)
    bucket.replace(names.progress_object(job_id), b"{}")
    steps = watch.trail(job_id)
    assert {step.state for step in steps} == {"pending", "claimed", "result", "done"}
    assert len(steps) == 4
    assert all(job_id in step.name for step in steps)


class Listed(LocalBucket):
    """Tells when it is listed, and then fails."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.listed = threading.Event()

    def list(self, prefix: str) -> list[ObjectInfo]:
        self.listed.set()
        raise StoreUnavailableError("The bucket did not answer.")


def test_the_watch_looks_by_itself_and_tells_what_went_wrong(tmp_path: Path) -> None:
    bucket = Listed(tmp_path)
    with pytest.raises(StoreUnavailableError), QueueWatch(bucket).running():
        assert bucket.listed.wait(WAIT_LIMIT_S), "the watch does not look"


def test_a_result_without_archive_is_reported(
    bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_watch, "ARCHIVE_LIMIT_S", 0.0)
    name = SiteQueue(bucket).submit(make_manifest())
    with pytest.raises(DemoError, match="not archived"):
        QueueWatch(bucket).trail(name.job_id)
