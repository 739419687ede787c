"""An operator looks at the queue with the real gsutil.

Without the program these tests are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.fake_gcs import FakeGcs
from segrelay.bucket.gcs import GcsBucket
from segrelay.queue import AgentQueue, SiteQueue, scan
from tests.support.buckets.gcs import BUCKET, make_bucket
from tests.support.buckets.gsutil import Gsutil
from tests.support.jobs import NOW, make_manifest, make_result


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeGcs]:
    with FakeGcs([BUCKET], tls=True) as fake:
        yield fake


@pytest.fixture(scope="module")
def gsutil(fake: FakeGcs, tmp_path_factory: pytest.TempPathFactory) -> Gsutil:
    return Gsutil(fake, tmp_path_factory.mktemp("gsutil"))


@pytest.fixture
def bucket(fake: FakeGcs) -> Iterator[GcsBucket]:
    bucket = make_bucket(fake.url, "q")
    yield bucket
    bucket.close()


def test_an_operator_sees_every_state(gsutil: Gsutil, bucket: GcsBucket) -> None:
    waits, runs, ended = (make_manifest(priority=number) for number in (3, 2, 1))
    for manifest in (waits, runs, ended):
        SiteQueue(bucket).submit(manifest)
    queue = AgentQueue(bucket, "lab-1", now=lambda: NOW)
    first, second = (queue.claim(job) for job in scan(bucket).pending[:2])
    assert first is not None
    assert second is not None
    queue.finish(first, make_result(ended.job_id))
    listed = gsutil.run("ls", f"gs://{BUCKET}/q/**")
    assert listed.returncode == 0, listed.stderr
    root = f"gs://{BUCKET}/q/v1"
    assert sorted(listed.stdout.split()) == [
        f"{root}/done/1-{ended.job_id}~demo.json",
        f"{root}/jobs/claimed/lab-1/2-{runs.job_id}~demo~1.json",
        f"{root}/jobs/pending/3-{waits.job_id}~demo~0.json",
        f"{root}/results/{ended.job_id}.json",
    ]
    shown = gsutil.run("cat", f"{root}/jobs/pending/3-{waits.job_id}~demo~0.json")
    assert shown.stdout.encode() == waits.to_json()
    told = gsutil.run("stat", f"{root}/results/{ended.job_id}.json")
    assert "application/json" in told.stdout


def test_gsutil_meets_the_preconditions_too(
    gsutil: Gsutil, bucket: GcsBucket, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("content")
    condition = ("-h", "x-goog-if-generation-match:0")
    target = f"gs://{BUCKET}/q/copied"
    made = gsutil.run(*condition, "cp", str(file), target)
    assert made.returncode == 0, made.stderr
    refused = gsutil.run(*condition, "cp", str(file), target)
    assert refused.returncode != 0
    assert "412" in refused.stderr or "Precondition" in refused.stderr
    assert bucket.read("copied", limit=99) == b"content"
