"""Objects that Google's own tools leave in the queue's folder cost one look, not every look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from infra.fake_gcs import FakeGcs
from lab_side.queue_overview import overview_of
from segrelay import names
from segrelay.bucket.gcs import GcsBucket
from segrelay.manifest import utc_now
from segrelay.queue import AgentQueue, Reaper, SiteQueue, scan
from tests.support.buckets.gcs import BUCKET, make_bucket
from tests.support.jobs import make_manifest

ROOT = "queue"
LONGEST = 1024
"""Bytes of an object's name. https://cloud.google.com/storage/docs/objects#naming"""

UNMOVABLE = [
    "jobs/pending/",
    "jobs/pending//x.json",
    "jobs/pending/sub\\x.json",
    "jobs/pending/./x.json",
    "jobs/pending/../x.json",
    "jobs/pending/a\tb.json",
    "jobs/pending/a\x7fb.json",
    "jobs/claimed/",
    "jobs/claimed/lab-9/",
    "jobs/claimed//5-01m8nce1xa7ndr4ab17nyhne4z~demo~1.json",
    "jobs/agents/",
    "jobs/agents/notes.json",
    "jobs/agents/a b.json",
    "jobs/",
    "jobs/x.json",
]
MOVABLE = ["jobs/pending/x" + "y" * (LONGEST - len(f"{ROOT}/v1/jobs/pending/x")), "jobs/pending/ü"]


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeGcs]:
    with FakeGcs([BUCKET]) as server:
        yield server


def look(bucket: GcsBucket, queue: AgentQueue, reaper: Reaper) -> list[str]:
    view = scan(bucket)
    reaper.reap(view)
    for info in view.misnamed:
        queue.reject_misnamed(info)
    claims = [queue.try_claim(job) for job in view.pending]
    queue.forget_moved(view)
    return [claim.job_id for claim in claims if claim is not None]


@pytest.mark.parametrize("name", UNMOVABLE + MOVABLE, ids=ascii)
def test_an_odd_name_is_said_once_and_costs_one_listing_a_look(fake: FakeGcs, name: str) -> None:
    bucket = make_bucket(fake.url, ROOT)
    for blob in bucket.client.list_blobs(BUCKET):
        blob.delete()
    job = SiteQueue(bucket).submit(make_manifest())
    bucket.client.bucket(BUCKET).blob(f"{ROOT}/v1/{name}").upload_from_string(b"{}")
    queue = AgentQueue(bucket, "lab-1", now=utc_now)
    reaper = Reaper(bucket, "lab-1", now=utc_now, is_dead=lambda _: False)
    assert look(bucket, queue, reaper) == [job.job_id]
    fake.forget_requests()
    for _ in range(5):
        look(bucket, queue, reaper)
    asked = Counter(item["operation"] for item in fake.requests)
    assert asked == {"list": 5}
    seen = overview_of(bucket, "lab-1")
    if name in MOVABLE:
        assert (len(seen.rejected), seen.odd) == (1, ())
    elif name != "jobs/agents/notes.json":
        assert [names.as_shown(f"v1/{name}") in line for line in seen.odd] == [True]
    bucket.close()
