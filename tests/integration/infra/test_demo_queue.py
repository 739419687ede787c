"""The demo's bucket is a process of its own; a job in it is watched, and listed by gsutil."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import requests

from infra.demos.queue import CloudQueue, start_cloud_queue
from infra.demos.report import listing_problem
from infra.demos.watch import QueueWatch
from infra.servers.processes import ProcessSet
from segrelay import names
from segrelay.bucket import open_bucket
from segrelay.bucket.gcs import GcsBucket
from segrelay.queue import AgentQueue, SiteQueue, scan
from tests.support.jobs import NOW, make_manifest, make_result


def test_a_job_is_watched_listed_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ProcessSet() as processes:
        queue = start_cloud_queue(processes, tmp_path)
        for name, value in queue.environment.items():
            monkeypatch.setenv(name, value)
        bucket = open_bucket(queue.environment["SEGRELAY_BUCKET"])
        assert isinstance(bucket, GcsBucket)
        with closing(bucket):
            assert bucket.describe() == f"{queue.address} at {queue.url}"
            check_one_job(queue, bucket)
    with pytest.raises(requests.ConnectionError):
        requests.get(queue.url, timeout=5)
    assert not queue.certificate.exists()


def check_one_job(queue: CloudQueue, bucket: GcsBucket) -> None:
    """Run one job; the watch saw each of its names, gsutil shows where it ended."""
    watch = QueueWatch(bucket)
    name = SiteQueue(bucket).submit(make_manifest())
    watch.look()
    (job,) = scan(bucket).pending
    site_queue = AgentQueue(bucket, "lab-1", now=lambda: NOW)
    claim = site_queue.claim(job)
    assert claim is not None
    watch.look()
    with closing(queue.open()) as other:
        assert [info.name for info in other.list("")] == [claim.object_name]
    site_queue.finish(claim, make_result(name.job_id))
    steps = watch.trail(name.job_id)
    ends = [names.result_object(name.job_id), name.done]
    assert [step.name for step in steps] == [name.pending, claim.object_name, *ends]
    assert [step.state for step in steps] == ["pending", "claimed", "result", "done"]
    assert steps[0].seconds == 0
    if queue.gsutil is None:
        pytest.skip("gsutil is not here: run infra/setup")
    listing = queue.list_with_gsutil()
    assert listing.names == set(ends)
    assert listing_problem(listing, steps) == ""
