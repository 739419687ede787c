"""``job_finished``: once for each job, after the commit, whoever wrote the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from django.db import connection, transaction

from gcp_side.labseg import jobs
from gcp_side.labseg.jobs import sync
from gcp_side.labseg.jobs.queue_from_row import name_of
from gcp_side.labseg.models import Job, State
from gcp_side.labseg.signals import job_finished
from segrelay.bucket import Bucket
from segrelay.manifest import ResultStatus
from segrelay.queue import SiteQueue, scan
from segrelay.queue.records import publish_result
from tests.unit.gcp_side.fakes import FOUR, FakeAgent, FakeOrthanc, ended

pytestmark = pytest.mark.django_db(transaction=True)

RACERS = 2


class Listener:
    """Notes what it is told, and whether the end was committed by then."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []
        self.too_early = 0

    def __call__(self, sender: type[Job], job: Job, **_: object) -> None:
        self.heard.append((job.pk, job.state))
        self.too_early += connection.in_atomic_block


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    job_finished.connect(listener)
    yield listener
    job_finished.disconnect(listener)


@pytest.fixture
def job(orthanc: FakeOrthanc) -> Job:
    job = jobs.submit(jobs.Submission(series_ids=FOUR), orthanc=orthanc)
    job.refresh_from_db()
    return job


def test_once_however_often_the_result_is_seen(
    job: Job, agent: FakeAgent, listener: Listener
) -> None:
    claim, _ = agent.claim()
    jobs.sync_all()
    assert listener.heard == []
    agent.finish(claim)
    for _ in range(3):
        jobs.sync_all()
        jobs.refresh(jobs.find(job.pk))
    assert listener.heard == [(job.pk, "succeeded")]
    assert listener.too_early == 0


def test_a_cancellation_and_a_failure_are_ends_too(
    orthanc: FakeOrthanc, job: Job, bucket: Bucket, listener: Listener
) -> None:
    jobs.cancel(job.pk)
    other = jobs.submit(jobs.Submission(series_ids=FOUR), orthanc=orthanc)
    publish_result(bucket, ended(other.pk, ResultStatus.FAILED))
    jobs.sync_all()
    assert listener.heard == [(job.pk, "cancelled"), (other.pk, "failed")]


def test_two_who_see_the_result_at_once_tell_it_once(
    job: Job, agent: FakeAgent, listener: Listener
) -> None:
    """Both have read the row before either writes."""
    agent.finish(agent.claim()[0])
    start = threading.Barrier(RACERS)
    changed = []

    def race() -> None:
        row = jobs.find(job.pk)
        view = scan(agent.bucket)
        found = SiteQueue(agent.bucket).find(name_of(row), view)
        start.wait(60)
        changed.append(sync.ingest(row, found, view))
        connection.close()

    threads = [threading.Thread(target=race) for _ in range(RACERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(changed) == [False, True]
    assert listener.heard == [(job.pk, "succeeded")]


def test_nothing_is_told_of_what_was_rolled_back(
    job: Job, agent: FakeAgent, listener: Listener
) -> None:
    agent.finish(agent.claim()[0])

    @transaction.atomic
    def sync_in_vain() -> None:
        jobs.sync_all()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sync_in_vain()
    assert listener.heard == []
    jobs.sync_all()
    assert listener.heard == [(job.pk, "succeeded")]


def test_a_receiver_that_fails_stops_nobody(
    job: Job, agent: FakeAgent, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**_: object) -> None:
        raise ValueError("a receiver's own fault")

    job_finished.connect(fail)
    try:
        agent.finish(agent.claim()[0])
        jobs.sync_all()
    finally:
        job_finished.disconnect(fail)
    assert Job.objects.get().state == State.SUCCEEDED
    assert listener.heard == [(job.pk, "succeeded")]
    assert "a receiver's own fault" in caplog.text
