"""An agent with a token of its own that sends what no agent sends: raw requests, one by one."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from gcp_side.labseg.queue.store import DatabaseBucket
from gcp_side.labseg.queue.tokens import add_token
from segrelay import names
from segrelay.bucket.site_messages import KIND, MOST_METADATA

# Transactions of its own: the store's are durable.
pytestmark = pytest.mark.django_db(transaction=True)

QUEUE = "/api/mri/segmentation/queue"
RESULT = names.result_object("01")
OTHERS = names.agent_object("victim")
JOB = f"{names.PENDING}5-01.json"
OWN_CLAIM = f"{names.CLAIMED}evil/5-01.json"


@pytest.fixture(autouse=True)
def own_queue(settings: Settings) -> None:
    settings.SEGRELAY = settings.SEGRELAY | {"BUCKET": "database:"}


@pytest.fixture
def site() -> DatabaseBucket:
    return DatabaseBucket()


class Evil:
    """Sends requests with its own token."""

    def __init__(self, agent: str = "evil") -> None:
        self._token = add_token(agent)
        self._client = Client(raise_request_exception=False)

    def __call__(
        self, operation: str, body: Mapping[str, Any] | bytes, *, code: int, **headers: str
    ) -> dict[str, Any]:
        """Send one request; every answer must have the queue's mark."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = self._client.post(
            f"{QUEUE}/{operation}/",
            raw,
            "application/json",
            headers={"Authorization": f"Bearer {self._token}", **headers},
        )
        assert answer.status_code == code, answer.content
        found: dict[str, Any] = answer.json()
        assert found["kind"] == KIND
        return found


@pytest.fixture
def evil() -> Evil:
    return Evil()


def nonce() -> str:
    return secrets.token_hex(16)


def test_a_result_is_not_written_over_in_any_way(site: DatabaseBucket, evil: Evil) -> None:
    generation = site.create(RESULT, b"true").generation
    content = base64.b64encode(b"false").decode()
    at = {"name": RESULT, "generation": generation}
    evil("create", {"name": RESULT, "content": content, "nonce": nonce()}, code=409)
    evil("replace", {"name": RESULT, "content": content}, code=403)
    evil("take-over", {**at, "metadata": {}, "nonce": nonce()}, code=403)
    evil("take-over", {**at, "generation": 0, "metadata": {}, "nonce": nonce()}, code=412)
    evil("refresh", {**at, "metadata": {}}, code=403)
    evil("delete", at, code=403)
    away = {"source": RESULT, "destination": f"{names.PROBE}x", "nonce": nonce()}
    evil("move", {**away, "generation": generation}, code=403)
    assert (site.read(RESULT, limit=9), site.stat(RESULT).generation) == (b"true", generation)


@pytest.mark.parametrize("folder", [names.DONE, names.FAILED, names.ATTEMPTS])
def test_what_has_ended_is_not_written_over(site: DatabaseBucket, evil: Evil, folder: str) -> None:
    made = site.create(f"{folder}x", b"true")
    body = {"name": made.name, "metadata": {}, "generation": made.generation, "nonce": nonce()}
    evil("take-over", body, code=403)
    assert site.read(made.name, limit=9) == b"true"


@pytest.mark.parametrize("operation", ["take-over", "refresh", "create", "replace", "delete"])
def test_another_agents_heartbeat_is_not_touched(
    site: DatabaseBucket, evil: Evil, operation: str
) -> None:
    beat = site.take_over(OTHERS, {"state": "alive"}, generation=0)
    body = {"name": OTHERS, "generation": beat.generation, "metadata": {}, "content": ""}
    found = evil(operation, {**body, "nonce": nonce()}, code=403)
    assert "the token is of evil" in found["error"]
    assert site.read_heartbeat(OTHERS).metadata == {"state": "alive"}
    own = names.agent_object("evil")
    evil("take-over", {**body, "name": own, "generation": 0, "nonce": nonce()}, code=200)


@pytest.mark.parametrize("updated", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])
def test_another_agents_heartbeat_is_not_renewed_by_a_waiting_call(
    site: DatabaseBucket, evil: Evil, updated: str
) -> None:
    beat = site.take_over(OTHERS, {"state": "alive"}, generation=0)
    carried = {
        "name": OTHERS,
        "metadata": {"state": "dead"},
        "generation": beat.generation,
        "updated": updated,
    }
    evil("wait", {"change": "0", "seconds": 0, "heartbeat": carried}, code=403)
    assert site.read_heartbeat(OTHERS).metadata == {"state": "alive"}


@pytest.mark.parametrize("generation", [0, 1, "x", None, -1, 2**63, 10**400, True, 1.5])
def test_a_claim_with_another_generation(
    site: DatabaseBucket, evil: Evil, generation: object
) -> None:
    site.create(JOB, b"{}")
    move = {"source": JOB, "destination": OWN_CLAIM, "nonce": nonce()}
    code = 412 if generation in (0, 1) else 400
    evil("move", {**move, "generation": generation}, code=code)
    assert [info.name for info in site.list("")] == [JOB]


@pytest.mark.parametrize(
    "prefix", ["", "v", "v1", "v2/", "../", "/v1/", "V1/", "%76%31/", "v1\u2215", "v\u0661/"]
)
def test_only_the_queues_own_root_is_listed(evil: Evil, prefix: str) -> None:
    evil("list", {"prefix": prefix}, code=403)


@pytest.mark.parametrize(
    "end", ["\0", "\n", "\udbff", "\uffff", "\U0010ffff", "\ud7ff", "..", "//"]
)
def test_an_odd_prefix_is_of_no_object(site: DatabaseBucket, evil: Evil, end: str) -> None:
    site.create(JOB, b"{}")
    is_text = end != "\udbff"
    found = evil("list", {"prefix": f"v1/{end}"}, code=200 if is_text else 400)
    assert found.get("objects", []) == []


def test_the_last_code_points_are_listed(site: DatabaseBucket) -> None:
    for last in ("\ud7ff", "\U0010ffff", "\U0010ffff\U0010ffff"):
        site.create(f"{names.PROBE}{last}", b"")
        assert [info.name for info in site.list(f"{names.PROBE}{last}")] == [
            info.name for info in site.list("") if info.name.startswith(f"{names.PROBE}{last}")
        ]
    assert len(site.list("")) == 3


@pytest.mark.parametrize(
    "name",
    [
        f"{names.RESULTS}../jobs/pending/x",
        f"{names.RESULTS}.",
        f"{names.RESULTS}/x",
        names.RESULTS,
        f"{names.RESULTS}a\\..\\b",
        f"{names.RESULTS}a\0",
        f"{names.RESULTS}a\nb",
        f"{names.CLAIMED}evil/../victim/5-01.json",
    ],
)
def test_a_name_that_is_a_path_elsewhere(site: DatabaseBucket, evil: Evil, name: str) -> None:
    evil("create", {"name": name, "content": "", "nonce": nonce()}, code=404)
    assert site.list("") == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[1]",
        b"\xff\xfe{",
        b'{"prefix": ' + b"[" * 100_000,
        b'{"prefix": "v1/\\ud800"}',
        b'{"prefix": "v1/", "protocol": NaN}',
        json.dumps({"prefix": "v1/" + "x" * 600}).encode(),
    ],
)
def test_a_body_that_is_no_message(evil: Evil, body: bytes) -> None:
    assert evil("list", body, code=400)["code"] == "request-invalid"


def test_long_metadata_and_bodies_are_refused(site: DatabaseBucket, evil: Evil) -> None:
    body = {"name": names.agent_object("evil"), "generation": 0, "nonce": nonce()}
    found = evil("take-over", {**body, "metadata": {"a": "가" * MOST_METADATA}}, code=400)
    assert str(MOST_METADATA) in found["error"]
    evil("create", b"x" * 7_000_000, code=413)
    assert site.list("") == []


@pytest.mark.parametrize("seconds", ["NaN", "Infinity", "-1", "26", "1e300"])
def test_a_call_is_held_no_longer_than_the_site_wants(evil: Evil, seconds: str) -> None:
    evil("wait", f'{{"change": "0", "seconds": {seconds}}}'.encode(), code=400)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_another_method(method: str) -> None:
    token = add_token("evil")
    answer = Client().generic(
        method, f"{QUEUE}/list/", headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 405


def test_a_write_that_is_sent_again_changes_nothing(site: DatabaseBucket, evil: Evil) -> None:
    body = {"name": RESULT, "nonce": nonce()}
    evil("create", {**body, "content": "MQ=="}, code=200)
    evil("create", {**body, "content": "Mg=="}, code=200)
    assert site.read(RESULT, limit=9) == b"1"
    evil("create", {**body, "content": "Mg==", "nonce": nonce()}, code=409)


def test_each_token_has_its_own_limit_wherever_it_says_that_it_is(
    evil: Evil, settings: Settings
) -> None:
    settings.SEGRELAY = settings.SEGRELAY | {"QUEUE_RATE": "2/min"}
    for number, code in enumerate((200, 200, 429)):
        evil("list", {"prefix": "v1/"}, code=code, **{"X-Forwarded-For": f"10.0.0.{number}"})
    Evil("victim")("list", {"prefix": "v1/"}, code=200)


def test_a_token_opens_nothing_else() -> None:
    headers = {"Authorization": f"Bearer {add_token('evil')}"}
    for page in ("studies/", "requests/", "agents/", "profiles/", "health/"):
        answer = Client().get(f"/api/mri/segmentation/{page}", headers=headers)
        assert answer.status_code in (401, 403), page
