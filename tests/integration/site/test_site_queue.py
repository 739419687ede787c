"""An agent's bucket over HTTP, at the real site: promises, tokens, rights, lost answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta

import pytest
from django.http import HttpResponse
from pytest_django import Settings

from gcp_side.labseg.api.queue import view
from gcp_side.labseg.api.queue.operations import OPERATIONS
from gcp_side.labseg.queue.store import DatabaseBucket
from gcp_side.labseg.queue.tokens import MARK, add_token, revoke_tokens
from lab_side.agent.doorbells import site as doorbell_at_site
from lab_side.agent.health import heartbeat
from lab_side.agent.reporting.status_board import StatusBoard
from segrelay import names
from segrelay.bucket import ObjectInfo, open_bucket
from segrelay.bucket import site_messages as messages
from segrelay.bucket.site import SiteBucket
from segrelay.bucket.site_messages import CarriedHeartbeat
from segrelay.errors import (
    FixConfigurationError,
    ObjectExistsError,
    ObjectNotFoundError,
    StoreUnavailableError,
)
from segrelay.manifest import RESULT_BYTES_LIMIT
from segrelay.queue import AgentState, Lease
from segrelay.queue.view import read_heartbeat
from segrelay.stages import Stage
from tests.support.buckets.below import BucketBelow
from tests.support.jobs import make_identity
from tests.unit.common.bucket import test_local_bucket as contract

pytestmark = pytest.mark.django_db(transaction=True)

test_create_writes_once = contract.test_create_writes_once
test_read_stops_just_past_its_limit = contract.test_read_stops_just_past_its_limit
test_move_keeps_the_bytes = contract.test_move_keeps_the_bytes_and_needs_the_right_generation
test_move_never_overwrites = contract.test_move_never_overwrites
test_delete_needs_the_right_generation = contract.test_delete_needs_the_right_generation
test_a_beacon_taken_over = contract.test_a_beacon_taken_over_refuses_the_beats_of_its_first_owner
test_a_beat_needs_a_beacon = contract.test_a_beat_needs_a_beacon
test_a_manifest_like_a_beacon = contract.test_a_manifest_that_looks_like_a_beacon_is_only_bytes
test_list_is_sorted = contract.test_list_is_sorted_by_name_and_hides_what_is_not_an_object

JOB = f"{names.PENDING}5-01.json"
CLAIM = f"{names.CLAIMED}lab/5-01.json"


@pytest.fixture
def site(address: str) -> DatabaseBucket:
    """The queue as the site itself writes to it."""
    return DatabaseBucket()


@pytest.fixture
def agents(address: str) -> Iterator[SiteBucket]:
    """The queue as the agent ``lab`` reaches it."""
    bucket = connected(address, add_token("lab"))
    yield bucket
    bucket.close()


@pytest.fixture
def bucket(agents: SiteBucket) -> BucketBelow:
    """Where an agent may do everything."""
    return BucketBelow(agents, names.PROBE)


def connected(address: str, token: str) -> SiteBucket:
    return SiteBucket(address, lambda: token, deadline=2.0, first_pause=0.05)


def test_one_job_from_submit_to_result(site: DatabaseBucket, agents: SiteBucket) -> None:
    site.create(JOB, b"{}")
    (seen,) = agents.list(names.PENDING)
    claimed = agents.move(JOB, CLAIM, generation=seen.generation)
    assert agents.read(CLAIM, limit=100) == b"{}"
    with pytest.raises(ObjectNotFoundError):
        agents.move(JOB, CLAIM, generation=seen.generation)
    agents.create(names.result_object("01"), b'{"ok": 1}')
    agents.move(CLAIM, f"{names.DONE}5-01.json", generation=claimed.generation)
    assert [info.name for info in site.list("")] == [
        f"{names.DONE}5-01.json",
        names.result_object("01"),
    ]
    with pytest.raises(ObjectExistsError):
        agents.create(names.result_object("01"), b"another")


@pytest.mark.parametrize("token", ["", "wrong", MARK, f"{MARK}wrong", "Bearer x", "é"])
def test_a_missing_or_foreign_token(address: str, token: str) -> None:
    with pytest.raises(FixConfigurationError) as caught:
        connected(address, token).list(names.PENDING)
    assert caught.value.code == "bucket-credentials"
    assert "agent-token add" in caught.value.remedy


def test_a_token_that_is_revoked_while_an_agent_runs(agents: SiteBucket) -> None:
    agents.list(names.PENDING)
    revoke_tokens("lab")
    # It may be the site's trouble of a moment: the agent goes on trying for its patience.
    with pytest.raises(StoreUnavailableError) as caught:
        agents.list(names.PENDING)
    assert caught.value.code == "bucket-credentials"


def test_a_token_that_was_replaced_is_read_again(address: str) -> None:
    tokens = [add_token("lab")]
    bucket = SiteBucket(address, lambda: tokens[-1])
    bucket.list(names.PENDING)
    revoke_tokens("lab")
    tokens.append(add_token("lab"))
    assert bucket.list(names.PENDING) == []


def test_an_agent_acts_for_no_other(site: DatabaseBucket, agents: SiteBucket) -> None:
    job = site.create(JOB, b"{}")
    with pytest.raises(FixConfigurationError) as caught:
        agents.move(JOB, f"{names.CLAIMED}other/5-01.json", generation=job.generation)
    assert caught.value.code == "bucket-forbidden"
    assert "lab" in caught.value.message
    assert site.read(JOB, limit=9) == b"{}"


def test_a_site_whose_queue_is_elsewhere(address: str, settings: Settings, tmp_path: str) -> None:
    token = add_token("lab")
    settings.SEGRELAY = settings.SEGRELAY | {"BUCKET": f"file://{tmp_path}/queue"}
    with pytest.raises(FixConfigurationError, match="does not keep the queue") as caught:
        connected(address, token).list(names.PENDING)
    assert caught.value.code == "bucket-missing"


def test_a_newer_site(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    token = add_token("lab")
    running = connected(address, token)
    running.list(names.PENDING)
    with monkeypatch.context() as patch:
        patch.setattr(messages, "PROTOCOL", messages.PROTOCOL + 1)
        with pytest.raises(FixConfigurationError, match="another version") as caught:
            connected(address, token).list(names.PENDING)
        assert (caught.value.code, "Update" in caught.value.remedy) == ("bucket-refused", True)
        # The site may be in the middle of its upgrade.
        with pytest.raises(StoreUnavailableError, match="another version"):
            running.list(names.PENDING)
    assert running.list(names.PENDING) == []


def test_an_older_site(agents: SiteBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        view, "OPERATIONS", {name: done for name, done in OPERATIONS.items() if name != "stat"}
    )
    assert agents.list(names.PENDING) == []
    with pytest.raises((FixConfigurationError, StoreUnavailableError)) as caught:
        agents.stat(JOB)
    assert (caught.value.code, "Update" in caught.value.remedy) == ("bucket-refused", True)


def test_a_login_page_comes_and_goes(agents: SiteBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    def log_in(*_: object, **__: object) -> HttpResponse:
        return HttpResponse("<html>Log in</html>")

    agents.list(names.PENDING)
    with monkeypatch.context() as patch:
        patch.setattr(view.QueueOperation, "dispatch", log_in)
        with pytest.raises(StoreUnavailableError, match="There is a page") as caught:
            agents.list(names.PENDING)
        assert "login page" in caught.value.remedy
    assert agents.list(names.PENDING) == []


@pytest.mark.parametrize("path", ["/nowhere/queue", "/admin/login", "/api/mri/segmentation/health"])
def test_an_address_that_is_not_the_queues(address: str, path: str) -> None:
    site = address.removesuffix("/api/mri/segmentation/queue")
    with pytest.raises((FixConfigurationError, StoreUnavailableError)) as caught:
        connected(f"{site}{path}", "x").list(names.PENDING)
    assert "address" in caught.value.remedy


def test_a_long_result_passes_where_users_may_send_little(
    agents: SiteBucket, settings: Settings
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024
    content = b"x" * RESULT_BYTES_LIMIT
    agents.create(names.result_object("01"), content)
    assert agents.read(names.result_object("01"), limit=RESULT_BYTES_LIMIT) == content


def test_too_many_requests_are_put_off(address: str, settings: Settings) -> None:
    settings.SEGRELAY = settings.SEGRELAY | {"QUEUE_RATE": "2/min"}
    bucket = connected(address, add_token("lab"))
    bucket.list(names.PENDING)
    bucket.list(names.PENDING)
    with pytest.raises(StoreUnavailableError, match="429"):
        bucket.list(names.PENDING)


def test_a_waiting_call_ends_with_the_submit(site: DatabaseBucket, agents: SiteBucket) -> None:
    change, _ = agents.wait("", 0)
    threading.Timer(0.5, site.create, (JOB, b"{}")).start()
    begin = time.monotonic()
    newer, waited = agents.wait(change, 20)
    assert (newer != change, waited) == (True, True)
    assert 0.4 < time.monotonic() - begin < 5


def test_a_waiting_call_ends_with_its_time(site: DatabaseBucket, agents: SiteBucket) -> None:
    change, _ = agents.wait("", 0)
    assert agents.wait(change, 0.3) == (change, True)


def test_a_site_without_threads_to_spare_answers_at_once(
    site: DatabaseBucket, agents: SiteBucket, settings: Settings
) -> None:
    settings.SEGRELAY = settings.SEGRELAY | {"QUEUE_WAITING_CALLS": 0}
    change, _ = agents.wait("", 0)
    assert agents.wait(change, 20) == (change, False)


HEARTBEAT = names.agent_object("lab")


def carried(info: ObjectInfo, text: str, *, generation: int | None = None) -> CarriedHeartbeat:
    return CarriedHeartbeat(
        name=HEARTBEAT,
        metadata={"beat": text},
        generation=info.generation if generation is None else generation,
        updated=info.updated,
    )


def test_a_waiting_call_carries_the_heartbeat(site: DatabaseBucket, agents: SiteBucket) -> None:
    taken = agents.take_over(HEARTBEAT, {"beat": "first"}, generation=0)
    change, _ = agents.wait("", 0)
    for text in ("second", "third"):
        begin = time.monotonic()
        _, was_held, renewal = agents.wait_alive(change, 0.3, carried(taken, text))
        assert renewal is not None
        now = site.read_heartbeat(HEARTBEAT)
        assert (now.metadata, now.generation) == ({"beat": text}, taken.generation)
        assert taken.updated < now.updated == renewal.updated
        assert was_held
        assert 0.3 <= renewal.held.total_seconds() <= time.monotonic() - begin
        taken = now


def test_a_carried_heartbeat_overwrites_none_that_is_newer(
    site: DatabaseBucket, agents: SiteBucket
) -> None:
    taken = agents.take_over(HEARTBEAT, {"beat": "first"}, generation=0)
    late = carried(taken, "idle")
    agents.refresh(HEARTBEAT, {"beat": "started"}, generation=taken.generation)
    change, _ = agents.wait("", 0)
    begin = time.monotonic()
    assert agents.wait_alive(change, 20, late) == (change, True, None)
    # It is answered at once: the agent's next heartbeat is its own.
    assert time.monotonic() - begin < 10
    assert site.read_heartbeat(HEARTBEAT).metadata == {"beat": "started"}


def test_a_carried_heartbeat_of_a_life_that_was_taken_over_is_none(
    site: DatabaseBucket, agents: SiteBucket
) -> None:
    first = agents.take_over(HEARTBEAT, {"beat": "first"}, generation=0)
    agents.take_over(HEARTBEAT, {"beat": "second life"}, generation=first.generation)
    change, _ = agents.wait("", 0)
    assert agents.wait_alive(change, 20, carried(first, "idle"))[2] is None
    assert site.read_heartbeat(HEARTBEAT).metadata == {"beat": "second life"}


def wait_until(what: Callable[[], bool], why: str) -> None:
    limit = time.monotonic() + 30
    while not what():
        assert time.monotonic() < limit, why
        time.sleep(0.01)


def test_a_waiting_call_renews_no_other_agents_heartbeat(agents: SiteBucket, address: str) -> None:
    taken = agents.take_over(HEARTBEAT, {"beat": "first"}, generation=0)
    change, _ = agents.wait("", 0)
    other = connected(address, add_token("other"))
    with pytest.raises(FixConfigurationError) as caught:
        other.wait_alive(change, 0, carried(taken, "forged"))
    assert caught.value.code == "bucket-forbidden"
    other.close()


def test_an_idle_agent_sends_no_heartbeats_of_its_own(
    site: DatabaseBucket, agents: SiteBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the product's proportions: calls of 25 s, heartbeats every 30 s."""
    monkeypatch.setattr(doorbell_at_site, "LONGEST_WAIT", 0.5)
    monkeypatch.setattr(heartbeat, "HEARTBEAT_EVERY", 0.6)
    monkeypatch.setattr(heartbeat, "CARRIED_EVERY", 3.0)
    monkeypatch.setattr(heartbeat, "PROGRESS_EVERY", 0.05)
    status = StatusBoard(identity=make_identity(), version="1", profiles=("demo",))
    lease = Lease(agents, "lab", status.identity, is_dead=lambda _: False)
    beating = heartbeat.Heartbeat(agents, lease, status, on_lost=threading.Event().set)
    doorbell = doorbell_at_site.SiteDoorbell(agents, threading.Event(), beating)
    sent: list[str] = []
    refresh = agents.refresh

    def counted(name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        sent.append(name)
        return refresh(name, metadata, generation=generation)

    monkeypatch.setattr(agents, "refresh", counted)
    beating.take_over()
    doorbell.supervise()
    begin = time.monotonic()
    try:
        wait_until(lambda: lease.age() < 0.6 and time.monotonic() - begin > 3, "calls carry it")
        assert lease.is_held()
        assert abs(lease.now() - site.read_heartbeat(HEARTBEAT).updated) < timedelta(seconds=2)
        before = len(sent)
        time.sleep(2)
        assert len(sent) == before
        # With a job in hand, heartbeats are its own, and carry what is started.
        status.set_stage("job", 1, Stage.INFER, started=True)
        wait_until(lambda: len(sent) > before, "a heartbeat with the job")
    finally:
        doorbell.close()
        beating.stop()
    seen = read_heartbeat(site, "lab")
    assert seen is not None
    assert seen.heartbeat.state == AgentState.STOPPED


def test_the_sites_own_database_is_for_the_site_alone() -> None:
    with pytest.raises(FixConfigurationError, match="only the site"):
        open_bucket("database:")
