"""The push endpoint: real tokens of a key made here, in place of Google's."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from django.contrib.auth.models import User
from django.test import Client
from google.auth import crypt, jwt
from google.auth.exceptions import TransportError
from google.oauth2 import id_token
from pytest_django import Settings

from gcp_side.labseg import jobs
from gcp_side.labseg.models import Job, State
from tests.unit.gcp_side.fakes import FOUR, FakeAgent, FakeOrthanc

pytestmark = pytest.mark.django_db(transaction=True)

ADDRESS = "/api/mri/segmentation/push/"
AUDIENCE = "https://seg.example.org/push"
ACCOUNT = "push@project.iam.gserviceaccount.com"
KEY_ID = "key-1"

Token = Callable[..., str]


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(key: rsa.RSAPrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tokens")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return new_key()


@pytest.fixture
def token(settings: Settings, monkeypatch: pytest.MonkeyPatch, key: rsa.RSAPrivateKey) -> Token:
    """Makes tokens that are right but for what is changed; the endpoint is on."""
    settings.SEGRELAY = settings.SEGRELAY | {
        "PUSH_AUDIENCE": AUDIENCE,
        "PUSH_SERVICE_ACCOUNT": ACCOUNT,
    }
    monkeypatch.setattr(id_token, "_fetch_certs", lambda *_: {KEY_ID: certificate(key)})

    def make(signer: rsa.RSAPrivateKey = key, **changes: object) -> str:
        now = int(time.time())
        claims = {
            "iss": "https://accounts.google.com",
            "aud": AUDIENCE,
            "email": ACCOUNT,
            "email_verified": True,
            "iat": now,
            "exp": now + 600,
        }
        pem = signer.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        rsa_signer = crypt.RSASigner.from_string(pem, KEY_ID)  # type: ignore[no-untyped-call]
        encoded: bytes = jwt.encode(rsa_signer, claims | changes)  # type: ignore[no-untyped-call]
        return encoded.decode()

    return make


@pytest.fixture
def job(orthanc: FakeOrthanc, agent: FakeAgent) -> Job:
    """A job whose result is in the bucket, which the site has not seen."""
    job = jobs.submit(jobs.Submission(series_ids=FOUR), orthanc=orthanc)
    agent.finish(agent.claim()[0])
    return job


def envelope(job_id: str, **changes: object) -> dict[str, Any]:
    attributes = {
        "eventType": "OBJECT_FINALIZE",
        "bucketId": "segrelay",
        "objectId": f"queue/v1/results/{job_id}.json",
    }
    return {
        "message": {"attributes": attributes | changes, "messageId": "1", "data": "e30="},
        "subscription": "projects/p/subscriptions/s",
    }


def push(token: str | None, body: object) -> int:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    answer = Client(headers=headers).post(ADDRESS, body, content_type="application/json")
    return answer.status_code


def state(job: Job) -> str:
    job.refresh_from_db()
    return job.state


def test_a_push_takes_the_result_in_and_may_come_twice(job: Job, token: Token) -> None:
    assert push(token(), envelope(job.pk)) == 204
    assert state(job) == State.SUCCEEDED
    assert push(token(), envelope(job.pk)) == 204
    assert job.events.filter(kind="succeeded").count() == 1


@pytest.mark.usefixtures("bucket")
def test_off_unless_configured(settings: Settings) -> None:
    assert push("x.y.z", envelope("x")) == 404


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://elsewhere.example.org"},
        {"iss": "https://evil.example.org"},
        {"email": "other@project.iam.gserviceaccount.com"},
        {"email_verified": False},
        {"email_verified": "true"},
        {"exp": 1},
        {"iat": 4_000_000_000, "exp": 4_000_000_600},
    ],
)
def test_a_token_that_is_not_for_us(job: Job, token: Token, changes: dict[str, object]) -> None:
    assert push(token(**changes), envelope(job.pk)) == 403
    assert state(job) == State.PENDING


def test_tokens_that_are_none(job: Job, token: Token) -> None:
    header, claims, _ = token().split(".")
    for text in (None, "", "x", "x.y.z", f"{header}.{claims}.", token(new_key())):
        assert push(text, envelope(job.pk)) == 403
    unsigned = "eyJhbGciOiJub25lIn0." + claims + "."
    assert push(unsigned, envelope(job.pk)) == 403
    assert state(job) == State.PENDING


def test_a_refused_token_is_not_logged(
    job: Job, token: Token, caplog: pytest.LogCaptureFixture
) -> None:
    text = token(aud="https://elsewhere.example.org")
    push(text, envelope(job.pk))
    assert "push refused" in caplog.text
    for secret in (text, text.split(".")[1], "elsewhere", ACCOUNT):
        assert secret not in caplog.text


def test_keys_that_cannot_be_fetched_are_no_refusal(
    job: Job, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise TransportError("no network")  # type: ignore[no-untyped-call]

    text = token()
    monkeypatch.setattr(id_token, "_fetch_certs", fail)
    assert push(text, envelope(job.pk)) == 503


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"message": None},
        {"message": {"attributes": "x"}},
        envelope("01arz3ndektsv4rrffq69g5fav"),
        envelope("../../x"),
        envelope("01arz3ndektsv4rrffq69g5fav", objectId=7),
        envelope("x", objectId="v1/jobs/pending/5-x.json"),
    ],
)
def test_what_is_not_ours_is_taken_and_forgotten(job: Job, token: Token, body: object) -> None:
    assert push(token(), body) == 204
    assert state(job) == State.PENDING


def test_a_deleted_object_is_no_news(job: Job, token: Token) -> None:
    assert push(token(), envelope(job.pk, eventType="OBJECT_DELETE")) == 204
    assert state(job) == State.PENDING


@pytest.mark.usefixtures("bucket")
def test_junk_is_throttled_before_a_key_is_fetched(token: Token, settings: Settings) -> None:
    settings.SEGRELAY = settings.SEGRELAY | {"READ_RATE": "2/min"}
    assert [push("x", {}) for _ in range(3)] == [403, 403, 429]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("{" + " " * 300_000 + "}", "application/json", 413),
        ("[" * 100_000, "application/json", 400),
        ("{", "application/json", 400),
        (b"\xff\xfe\x00", "application/json", 400),
        ("a=b", "application/x-www-form-urlencoded", 415),
    ],
)
def test_bodies_that_are_refused(
    job: Job, token: Token, body: str | bytes, kind: str, status: int
) -> None:
    client = Client(headers={"authorization": f"Bearer {token()}"})
    answer: Any = client.post(ADDRESS, body, content_type=kind)
    assert (answer.status_code, answer.json()["success"]) == (status, False)
    assert state(job) == State.PENDING


def test_no_other_method_and_no_session(job: Job, token: Token) -> None:
    client = Client(headers={"authorization": f"Bearer {token()}"})
    for method in ("get", "put", "patch", "delete"):
        assert getattr(client, method)(ADDRESS).status_code == 405
    admin = Client()
    admin.force_login(User.objects.create_superuser("admin"))
    answer = admin.post(ADDRESS, envelope(job.pk), content_type="application/json")
    assert answer.status_code == 403
    assert state(job) == State.PENDING
