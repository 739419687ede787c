"""One job from start to end, as an operator sees it with the programs that Google ships.

gsutil and gcloud are the real ones; a test without its program is skipped. What gcloud asks
of a store is tried with raw requests as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from infra.fake_gcs import FakeGcs
from segrelay.bucket.gcs import GcsBucket
from segrelay.queue import AgentQueue, Claim, Heartbeat, Lease, SiteQueue, scan
from tests.support.buckets.gcloud import Gcloud
from tests.support.buckets.gcs import BUCKET, fresh_bucket
from tests.support.buckets.gsutil import Gsutil
from tests.support.jobs import NOW, make_identity, make_manifest, make_result

Operator = Callable[..., str]
"""Runs one command of a program, and returns what it printed."""


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeGcs]:
    with FakeGcs([BUCKET], tls=True) as fake:
        yield fake


@pytest.fixture
def bucket(fake: FakeGcs) -> Iterator[GcsBucket]:
    with fresh_bucket(fake) as bucket:
        yield bucket


@pytest.fixture(scope="module", params=["gsutil", "gcloud"])
def operator(
    request: pytest.FixtureRequest, fake: FakeGcs, tmp_path_factory: pytest.TempPathFactory
) -> Operator:
    folder = tmp_path_factory.mktemp("operator")
    return Gsutil(fake, folder).output if request.param == "gsutil" else Gcloud(fake, folder).output


@pytest.fixture(scope="module")
def gsutil(fake: FakeGcs, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    return Gsutil(fake, tmp_path_factory.mktemp("gsutil")).output


def root(bucket: GcsBucket) -> str:
    return f"gs://{BUCKET}/{bucket.prefix}"


def claim(bucket: GcsBucket, agent: str) -> tuple[AgentQueue, Claim]:
    """The agent's queue and the one job that waits, claimed and opened."""
    queue = AgentQueue(bucket, agent, now=lambda: NOW)
    (job,) = scan(bucket).pending
    claimed = queue.claim(job)
    assert claimed is not None
    assert queue.open(claimed) is not None
    return queue, claimed


def test_every_state_of_a_run_is_seen(bucket: GcsBucket, operator: Operator) -> None:
    """Pending, claimed with a heartbeat, done with its result: each alone."""

    def seen() -> list[str]:
        found = operator("ls", f"{root(bucket)}/**").split()
        return sorted(name.removeprefix(f"{root(bucket)}/v1/") for name in found)

    manifest = make_manifest(priority=3)
    SiteQueue(bucket).submit(manifest)
    assert seen() == [f"jobs/pending/3-{manifest.job_id}~demo~0.json"]

    identity = make_identity()
    heartbeat = Heartbeat(identity=identity, state="listening", version="1")
    Lease(bucket, "lab-1", identity, is_dead=lambda _: False).take(heartbeat)
    queue, claimed = claim(bucket, "lab-1")
    assert seen() == [
        "jobs/agents/lab-1.json",
        f"jobs/claimed/lab-1/3-{manifest.job_id}~demo~1.json",
    ]

    queue.finish(claimed, make_result(manifest.job_id))
    assert seen() == [
        f"done/3-{manifest.job_id}~demo.json",
        "jobs/agents/lab-1.json",
        f"results/{manifest.job_id}.json",
    ]


def test_folders_manifest_and_result_are_shown_as_they_are(
    bucket: GcsBucket, gsutil: Operator
) -> None:
    manifest = make_manifest(priority=3)
    SiteQueue(bucket).submit(manifest)
    queue, claimed = claim(bucket, "lab-1")
    base = f"{root(bucket)}/v1"
    held = f"{base}/jobs/claimed/lab-1/3-{manifest.job_id}~demo~1.json"
    assert gsutil("ls", "-r", f"{base}/") == (
        f"{base}/:\n\n{base}/jobs/:\n\n{base}/jobs/claimed/:\n\n"
        f"{base}/jobs/claimed/lab-1/:\n{held}\n"
    )
    result = make_result(manifest.job_id)
    queue.finish(claimed, result)
    shown = gsutil(
        "cat",
        f"{base}/done/3-{manifest.job_id}~demo.json",
        f"{base}/results/{manifest.job_id}.json",
    )
    assert shown.encode() == manifest.to_json() + result.to_json()


@pytest.mark.parametrize(
    ("verb", "first"),
    [
        ("cp", "lab-1"),
        ("mv", "lab-2"),
        *(pytest.param(*way, marks=pytest.mark.long) for way in (("cp", "lab-2"), ("mv", "lab-1"))),
    ],
)
def test_a_job_doubled_by_hand_has_one_result_in_one_place(
    bucket: GcsBucket, operator: Operator, verb: str, first: str
) -> None:
    """Both commands leave the job with two owners; the result created first stands."""
    manifest = make_manifest()
    name = SiteQueue(bucket).submit(manifest)
    owners = {"lab-1": claim(bucket, "lab-1")}
    held = owners["lab-1"][1]
    operator(verb, f"{root(bucket)}/{held.object_name}", f"{root(bucket)}/v1/jobs/pending/")
    owners["lab-2"] = claim(bucket, "lab-2")

    for agent in sorted(owners, key=lambda agent: agent != first):
        queue, claimed = owners[agent]
        standing = queue.finish(claimed, make_result(name.job_id, agent, claimed.attempt))
        assert standing.author == first
    left = [info.name for info in bucket.list("")]
    assert left == [name.done, f"v1/results/{name.job_id}.json"]
    assert bucket.read(name.done, limit=10_000) == manifest.to_json()


def test_a_job_put_back_after_its_end_is_not_run_again(bucket: GcsBucket, gsutil: Operator) -> None:
    manifest = make_manifest()
    name = SiteQueue(bucket).submit(manifest)
    queue, claimed = claim(bucket, "lab-1")
    queue.finish(claimed, make_result(name.job_id))
    gsutil("cp", f"{root(bucket)}/{name.done}", f"{root(bucket)}/{name.pending}")
    (again,) = scan(bucket).pending
    second = queue.claim(again)
    assert second is not None
    assert queue.open(second) is None
    left = [info.name for info in bucket.list("")]
    assert left == [name.done, f"v1/results/{name.job_id}.json"]


def ask(fake: FakeGcs, path: str, **query: str) -> requests.Response:
    """As gcloud 528 was seen to ask; for where the program itself is missing."""
    url = f"{fake.url}/storage/v1/b/{BUCKET}{path}"
    return requests.get(url, params={"alt": "json", **query}, timeout=30)


def test_the_layout_says_that_there_are_no_real_folders(fake: FakeGcs) -> None:
    answer = ask(fake, "/storageLayout")
    assert answer.status_code == 200
    layout = answer.json()
    assert layout["kind"] == "storage#storageLayout"
    assert layout["hierarchicalNamespace"]["enabled"] is False


def test_a_folder_is_no_object(fake: FakeGcs, bucket: GcsBucket) -> None:
    name = SiteQueue(bucket).submit(make_manifest()).pending
    query = {"fields": "bucket,name,size,generation", "projection": "noAcl"}
    path = f"/o/{bucket.prefix}/{name}".replace("/", "%2F").replace("%2Fo%2F", "/o/", 1)
    assert ask(fake, path, **query).status_code == 200
    assert ask(fake, path.rpartition("%2F")[0] + "%2F", **query).status_code == 404


def test_folders_are_listed_as_prefixes(fake: FakeGcs, bucket: GcsBucket) -> None:
    name = SiteQueue(bucket).submit(make_manifest()).pending

    def listed(prefix: str) -> tuple[list[str], list[dict[str, Any]]]:
        answer = ask(
            fake,
            "/o",
            prefix=prefix,
            delimiter="/",
            includeFoldersAsPrefixes="True",
            maxResults="1000",
            fields="prefixes,items/name,items/size,items/generation,nextPageToken",
            projection="noAcl",
        ).json()
        return answer.get("prefixes", []), answer.get("items", [])

    jobs, pending = (f"{bucket.prefix}/{folder}" for folder in ("v1/jobs/", "v1/jobs/pending/"))
    # gcloud asks for a folder without its slash first.
    assert listed(jobs.rstrip("/")) == ([jobs], [])
    assert listed(jobs) == ([pending], [])
    prefixes, (item,) = listed(pending)
    info = bucket.stat(name)
    assert prefixes == []
    assert item["name"] == f"{bucket.prefix}/{name}"
    assert (item["size"], item["generation"]) == (str(info.size), str(info.generation))
