"""Every endpoint, against everybody and everything that should not come through."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from pytest_django import Settings
from rest_framework.test import APIClient

from gcp_side.labseg.models import Job
from gcp_side.labseg.orthanc.client import orthanc_id
from segrelay.bucket import Bucket
from tests.unit.gcp_side.fakes import (
    FOUR,
    PATIENT_ID,
    PATIENT_NAME,
    ROLES,
    SEG_ID,
    STUDY_ID,
    FakeOrthanc,
    radiologist,
)

# Nothing reaches the bucket before its row is committed: tests that look for what was published, or
# for what that writes to the log, commit; the others are rolled back.
pytestmark = pytest.mark.django_db

UNKNOWN = "01arz3ndektsv4rrffq69g5fav"
PASSWORD = "hunter2-orthanc"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One endpoint: how it is called, and which permission that needs."""

    name: str
    method: str = "get"
    arguments: dict[str, str] = field(default_factory=dict)
    body: Any = None
    needs: str = "view_job"

    @property
    def address(self) -> str:
        return reverse(f"labseg:{self.name}", kwargs=self.arguments)

    def junk(self, text: str) -> str:
        """The address with every id replaced; not by ``reverse``, which would quote."""
        address = self.address
        for name, value in self.arguments.items():
            if name != "index":
                address = address.replace(value, text)
        return address

    def call(self, client: Client, address: str | None = None) -> Any:
        address = self.address if address is None else address
        if self.method == "get":
            return client.get(address)
        return client.post(address, self.body, content_type="application/json")


_SERIES = {"series_id": FOUR[0]}
_STUDY = {"study_id": STUDY_ID}
_JOB = {"request_id": UNKNOWN}
_SEG = {"seg_instance_id": SEG_ID}
_FOUR_IDS = {"sequence_series_ids": list(FOUR)}

ROWS = (
    Row(name="segment", method="post", arguments=_SERIES, body=_FOUR_IDS, needs="add_job"),
    Row(name="request-local", method="post", arguments=_SERIES, body=_FOUR_IDS, needs="add_job"),
    Row(name="status", arguments=_JOB),
    Row(name="frames", arguments=_SEG),
    Row(name="overlay", arguments=_SEG),
    Row(name="overlay-slice", arguments=_SEG | {"index": "2"}),
    Row(name="labels", arguments=_SEG),
    Row(name="geometry", arguments=_SERIES),
    Row(name="volume", arguments=_SERIES),
    Row(name="slice", arguments=_SERIES | {"index": "1"}),
    Row(name="health"),
    Row(name="agents"),
    Row(name="profiles"),
    Row(name="requests"),
    Row(name="events", arguments=_JOB),
    Row(name="cancel", method="post", arguments=_JOB, needs="change_job"),
    Row(name="retry", method="post", arguments=_JOB, body={}, needs="change_job"),
    Row(name="schema"),
    Row(name="studies"),
    Row(name="study", arguments=_STUDY),
    Row(
        name="segment-study",
        method="post",
        arguments=_STUDY,
        body={"series": dict(zip(ROLES, FOUR, strict=True))},
        needs="add_job",
    ),
)
WITHOUT_USER = {"push", "queue"}
"""Called by programs that show another proof; tested beside what checks it."""

IMAGES = {"overlay-slice", "labels", "volume", "slice"}
"""Voxels and masks, which name nobody: the browser keeps them, and asks for them again."""

POSTS = tuple(row for row in ROWS if row.method == "post")
WITH_ID = tuple(row for row in ROWS if row.arguments)

JUNK = (
    "x",
    "..",
    "%2e%2e%2f%2e%2e%2fsystem",
    "..%5c..",
    "%00",
    "%0a",
    "%ff%fe",
    "'%20OR%201=1--",
    "%3Cscript%3E",
    "9" * 3000,
    FOUR[0].upper(),
    FOUR[0] + "%0a",
)


def names(patterns: list[URLPattern | URLResolver]) -> Iterator[str | None]:
    for item in patterns:
        if isinstance(item, URLResolver):
            yield from names(item.url_patterns)
        else:
            yield item.name


def test_every_endpoint_has_a_row() -> None:
    found = sorted(map(str, names(get_resolver("gcp_side.labseg.urls").url_patterns)))
    assert found == sorted({row.name for row in ROWS} | WITHOUT_USER)


def session_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def of(rows: tuple[Row, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows, ids=lambda row: row.name)


@of(ROWS)
class TestWhoMayCall:
    """Nobody without login, and nobody without the permission."""

    def test_nobody_without_login(self, orthanc: FakeOrthanc, bucket: Bucket, row: Row) -> None:
        answer = row.call(Client())
        assert answer.status_code == 403
        assert answer.json()["success"] is False
        assert (orthanc.calls, bucket.list(""), Job.objects.count()) == ([], [], 0)

    def test_nobody_with_a_wrong_password(self, orthanc: FakeOrthanc, row: Row) -> None:
        radiologist()
        client = Client(headers={"authorization": "Basic cmFkaW9sb2dpc3Q6d3Jvbmc="})
        assert row.call(client).status_code == 403
        assert orthanc.calls == []

    def test_nobody_who_is_no_longer_active(self, orthanc: FakeOrthanc, row: Row) -> None:
        user = radiologist()
        client = session_of(user)
        user.is_active = False
        user.save()
        assert row.call(client).status_code == 403
        assert orthanc.calls == []

    def test_nobody_without_the_permission(
        self, orthanc: FakeOrthanc, bucket: Bucket, row: Row
    ) -> None:
        others = {"view_job", "add_job", "change_job", "delete_job"} - {row.needs}
        answer = row.call(session_of(radiologist(*others)))
        assert answer.status_code == 403
        assert answer.json()["success"] is False
        assert (orthanc.calls, bucket.list(""), Job.objects.count()) == ([], [], 0)

    def test_the_permission_is_enough(self, orthanc: FakeOrthanc, row: Row) -> None:
        assert row.call(session_of(radiologist(row.needs))).status_code in (200, 202, 404)

    def test_a_superuser_may_do_all(self, orthanc: FakeOrthanc, row: Row) -> None:
        user = User.objects.create_superuser("admin")
        assert row.call(session_of(user)).status_code in (200, 202, 404)

    def test_not_more_often_than_allowed(
        self, orthanc: FakeOrthanc, settings: Settings, row: Row
    ) -> None:
        settings.SEGRELAY = settings.SEGRELAY | {"SUBMIT_RATE": "2/min", "READ_RATE": "2/min"}
        client = session_of(radiologist())
        answers = [row.call(client) for _ in range(3)]
        assert 429 not in [answer.status_code for answer in answers[:2]]
        assert answers[2].status_code == 429
        assert int(answers[2]["Retry-After"]) > 0

    def test_no_copy_is_kept_of_what_may_name_a_patient(
        self, orthanc: FakeOrthanc, row: Row
    ) -> None:
        answers = [row.call(Client()), row.call(session_of(radiologist(row.needs)))]
        kept_by_the_browser = row.name in IMAGES and answers[1].status_code == 200
        not_kept = "private, no-store"
        expected = "private, no-cache" if kept_by_the_browser else not_kept
        assert [answer["Cache-Control"] for answer in answers] == [not_kept, expected]

    def test_no_other_method(self, orthanc: FakeOrthanc, row: Row) -> None:
        client = session_of(radiologist())
        for method in {"get", "post", "put", "patch", "delete"} - {row.method}:
            assert getattr(client, method)(row.address).status_code == 405, method
        assert (orthanc.calls, Job.objects.count()) == ([], 0)


@of(POSTS)
class TestBodies:
    """What is sent."""

    def test_a_session_needs_the_csrf_token(self, orthanc: FakeOrthanc, row: Row) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(radiologist())
        assert row.call(client).status_code == 403
        assert (orthanc.calls, Job.objects.count()) == ([], 0)

    def test_a_session_with_the_token_comes_through(self, orthanc: FakeOrthanc, row: Row) -> None:
        token = "t" * 32
        client = Client(enforce_csrf_checks=True, headers={"x-csrftoken": token})
        client.force_login(radiologist())
        client.cookies["csrftoken"] = token
        assert row.call(client).status_code in (202, 404)

    @pytest.mark.parametrize(
        ("body", "kind", "status"),
        [
            ("{" + " " * 300_000 + "}", "application/json", 413),
            ("[" * 100_000, "application/json", 400),
            ('{"sequence_series_ids": ' + "9" * 5000 + "}", "application/json", 400),
            ("{", "application/json", 400),
            (b"\xff\xfe\x00", "application/json", 400),
            ("NaN", "application/json", 400),
            ("a=b", "application/x-www-form-urlencoded", 415),
            ("<x/>", "application/xml", 415),
        ],
    )
    def test_bodies_that_are_refused(
        self, orthanc: FakeOrthanc, row: Row, body: str | bytes, kind: str, status: int
    ) -> None:
        client = session_of(radiologist())
        answer = client.post(row.address, body, content_type=kind)
        # To cancel takes no body, and none is read.
        assert answer.status_code == (404 if row.name == "cancel" and status != 413 else status)
        assert answer.json()["success"] is False
        assert (orthanc.calls, Job.objects.count()) == ([], 0)


@of(WITH_ID)
def test_junk_in_the_address_never_reaches_orthanc(
    orthanc: FakeOrthanc, bucket: Bucket, row: Row
) -> None:
    client = session_of(radiologist())
    for junk in JUNK:
        assert row.call(client, row.junk(junk)).status_code in (400, 404), junk
    assert (orthanc.calls, bucket.list(""), Job.objects.count()) == ([], [], 0)


@of(ROWS)
@pytest.mark.django_db(transaction=True)
def test_the_log_names_no_patient_and_no_secret(
    orthanc: FakeOrthanc, settings: Settings, caplog: pytest.LogCaptureFixture, row: Row
) -> None:
    settings.SEGRELAY = settings.SEGRELAY | {
        "ORTHANC_USER": "site",
        "ORTHANC_PASSWORD": PASSWORD,
    }
    caplog.set_level(logging.DEBUG)
    client = session_of(radiologist())
    row.call(client)
    if row.method == "get":
        client.get(row.address, {"q": PATIENT_NAME, "study": PATIENT_NAME, "page": PATIENT_NAME})
    row.call(client, row.junk("x"))
    shown = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    for secret in (PATIENT_NAME, PATIENT_ID, PASSWORD, client.cookies["sessionid"].value):
        assert secret not in shown


def test_errors_of_orthanc_name_no_patient(
    orthanc: FakeOrthanc, caplog: pytest.LogCaptureFixture
) -> None:
    """An id that exists, of something that is no SEG: the file's names stay in the file."""
    orthanc.files[SEG_ID] = PATIENT_NAME.encode() * 50
    answer: Any = session_of(radiologist()).get(
        reverse("labseg:frames", kwargs={"seg_instance_id": SEG_ID})
    )
    assert answer.status_code == 400
    assert PATIENT_NAME not in answer.content.decode() + caplog.text


def test_basic_authentication_needs_no_csrf_token(orthanc: FakeOrthanc) -> None:
    radiologist()
    client = APIClient(enforce_csrf_checks=True)
    client.credentials(HTTP_AUTHORIZATION="Basic cmFkaW9sb2dpc3Q6YS1wYXNzd29yZA==")
    assert ROWS[0].call(client).status_code == 202


@pytest.mark.parametrize(
    ("language", "sentence"),
    [("en", "did not take this for a request of its own pages"), ("ko", "인정하지 않았습니다")],
)
def test_a_request_that_may_be_forged_is_no_matter_of_permissions(
    language: str, sentence: str
) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(radiologist())
    client.get("/segmentation/")
    # As behind a server that speaks https, of which the settings know nothing.
    headers = {
        "Origin": "https://testserver",
        "X-CSRFToken": client.cookies["csrftoken"].value,
        "Accept-Language": language,
    }
    address = f"/api/mri/segmentation/series/{FOUR[0]}/segment/"
    answer = client.post(address, {}, content_type="application/json", headers=headers)
    said = answer.json()
    assert (answer.status_code, said["code"]) == (403, "csrf-refused")
    assert sentence in said["error"]
    assert "CSRF_TRUSTED_ORIGINS" in said["remedy"]
    assert "https://testserver" in said["detail"]


def test_a_job_of_another_study_is_not_shown_under_this_one(orthanc: FakeOrthanc) -> None:
    client = session_of(radiologist())
    ROWS[0].call(client)
    other: Any = client.get(reverse("labseg:requests"), {"study": orthanc_id("other")})
    assert other.json()["requests"] == []


@pytest.mark.parametrize(
    "address",
    [
        "/segmentation/",
        f"/segmentation/studies/{STUDY_ID}/",
        "/segmentation/login/",
        "/segmentation/login/again/",
        "/segmentation/password/",
        "/segmentation/password/changed/",
        "/admin/labseg/job/",
        f"/admin/labseg/job/{UNKNOWN}/change/",
    ],
)
def test_no_copy_is_kept_of_a_page(orthanc: FakeOrthanc, address: str) -> None:
    client = session_of(User.objects.create_superuser("admin", password="a-password"))
    for visitor in (client, Client()):
        kept = visitor.get(address)["Cache-Control"]
        assert "no-store" in kept
        assert "private" in kept


def test_the_texts_of_one_language_are_kept_for_no_other() -> None:
    assert Client().get("/segmentation/texts.js")["Cache-Control"] == "private, no-cache"


def test_a_colleagues_job_is_open_to_permissions_alone(orthanc: FakeOrthanc) -> None:
    """A study belongs to the department: whoever may cancel, may cancel what others asked for."""
    asked: Any = ROWS[0].call(session_of(radiologist()))
    job = asked.json()["request_id"]
    reader = session_of(radiologist("view_job", name="reader"))
    assert reader.get(reverse("labseg:status", args=[job])).status_code == 200
    for verb in ("cancel", "retry"):
        assert reader.post(reverse(f"labseg:{verb}", args=[job])).status_code == 403
    assert Job.objects.get().is_open
    colleague = session_of(radiologist("view_job", "change_job", name="colleague"))
    done: Any = colleague.post(reverse("labseg:cancel", args=[job]))
    assert (done.status_code, done.json()["cancelled"]) == (200, True)
