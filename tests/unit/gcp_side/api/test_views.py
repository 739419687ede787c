"""The REST endpoints, request and answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from gcp_side.labseg.models import Job
from segrelay.bucket import Bucket
from segrelay.errors import FixConfigurationError, OrthancRefusedError, OrthancUnavailableError
from segrelay.queue import scan
from segrelay.stages import Stage
from tests.unit.gcp_side.fakes import (
    FOUR,
    SEG_ID,
    FakeAgent,
    FakeOrthanc,
    Grid,
    MadeFrame,
    as_file,
    radiologist,
    seg_dataset,
    series_id,
)

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = "/api/mri/segmentation"
SEGMENT = f"{ROOT}/series/{FOUR[0]}/segment/"
REQUEST_LOCAL = f"{ROOT}/series/{FOUR[0]}/request-local/"
FRAMES = f"{ROOT}/instances/{SEG_ID}/frames/"
UNKNOWN = "01arz3ndektsv4rrffq69g5fav"


@pytest.fixture
def user() -> User:
    return radiologist()


@pytest.fixture
def client(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


def post(client: APIClient, body: Any, address: str = SEGMENT) -> Any:
    return client.post(address, body, format="json")


@pytest.mark.parametrize("address", [SEGMENT, REQUEST_LOCAL])
def test_a_request_is_answered_at_once(
    client: APIClient, user: User, orthanc: FakeOrthanc, bucket: Bucket, address: str
) -> None:
    answer = post(client, {"sequence_series_ids": list(FOUR)}, address)
    job = Job.objects.get()
    assert answer.status_code == 202
    assert answer.json() == {
        "success": True,
        "series_id": FOUR[0],
        "request_id": job.job_id,
        "status": "pending",
        "profile": "demo",
    }
    assert job.requested_by == user
    assert [item.name.job_id for item in scan(bucket).pending] == [job.job_id]


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "text",
        None,
        {"sequence_series_ids": "text"},
        {"sequence_series_ids": [*FOUR, series_id(4)]},
        {"sequence_series_ids": [*FOUR[:3], FOUR[0]]},
        {"sequence_series_ids": [*FOUR[:3], "x"]},
        {"sequence_series_ids": [*FOUR[:3], 7]},
        {"sequence_series_ids": [*FOUR[:3], None]},
        {"sequence_series_ids": dict.fromkeys(FOUR, 1)},
        {"sequence_series_ids": list(FOUR), "profile": "unheard-of"},
        {"sequence_series_ids": list(FOUR), "profile": ["demo"]},
    ],
)
def test_anything_but_four_valid_ids_is_refused(
    client: APIClient, orthanc: FakeOrthanc, bucket: Bucket, body: Any
) -> None:
    answer = post(client, body)
    assert answer.status_code == 400
    assert answer.json()["success"] is False
    assert answer.json()["error"]
    assert answer.json()["remedy"]
    assert orthanc.calls == []
    assert bucket.list("") == []


def test_fewer_series_that_hold_one_volume_each_are_refused(
    client: APIClient, orthanc: FakeOrthanc, bucket: Bucket
) -> None:
    answer = post(client, {"sequence_series_ids": list(FOUR[:3])})
    assert (answer.status_code, answer.json()["code"]) == (400, "series-count")
    assert "series_images" not in orthanc.calls
    assert bucket.list("") == []


def test_a_body_that_is_no_json_is_refused(client: APIClient, orthanc: FakeOrthanc) -> None:
    answer: Any = client.post(SEGMENT, "{", content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["success"] is False
    assert orthanc.calls == []


def test_a_junk_id_in_the_address_is_refused(client: APIClient, orthanc: FakeOrthanc) -> None:
    answer = post(client, {"sequence_series_ids": list(FOUR)}, f"{ROOT}/series/x/segment/")
    assert answer.status_code == 400
    assert answer.json()["code"] == "series-id"
    assert orthanc.calls == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OrthancUnavailableError("away"), 503),
        (OrthancRefusedError("odd"), 502),
        (FixConfigurationError("The password is wrong.", remedy="Look at SETTING."), 500),
    ],
)
def test_what_is_wrong_with_orthanc_has_its_own_status(
    client: APIClient,
    orthanc: FakeOrthanc,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
) -> None:
    def fail(_: str) -> None:
        raise error

    monkeypatch.setattr(orthanc, "series", fail)
    answer = post(client, {"sequence_series_ids": list(FOUR)})
    assert answer.status_code == status
    assert answer.json()["success"] is False
    assert "password" not in answer.content.decode()
    assert "SETTING" not in answer.content.decode()
    assert not Job.objects.exists()


def test_the_status_follows_the_job(
    client: APIClient, orthanc: FakeOrthanc, agent: FakeAgent
) -> None:
    request_id = post(client, {"sequence_series_ids": list(FOUR)}).json()["request_id"]
    address = f"{ROOT}/status/{request_id}/"

    def status() -> Any:
        answer: Any = client.get(address)
        assert answer.status_code == 200
        return answer.json()

    assert status()["status"] == "pending"
    claim, _ = agent.claim()
    agent.tell(claim, Stage.FETCH, 40, done=248, total=620)
    assert {
        "stage": Stage.FETCH,
        "percent": 40,
        "done": 248,
        "total": 620,
    }.items() <= status().items()
    agent.tell(claim, Stage.INFER, 30)
    assert {
        "success": True,
        "request_id": request_id,
        "status": "claimed",
        "finished": False,
        "stage": Stage.INFER,
        "percent": 30,
        "done": 0,
        "total": 0,
        "agent": "lab-1",
        "seg_instance_id": None,
        "error": None,
    }.items() <= status().items()
    agent.finish(claim)
    done = status()
    assert (done["status"], done["finished"]) == ("succeeded", True)
    assert (done["seg_instance_id"], done["tumour_found"]) == (SEG_ID, True)
    assert done["segments"] == [
        {
            "number": 1,
            "label": "Tumor",
            "voxels": 300,
            "volume_ml": 1.5,
            "longest_diameter_mm": 14.25,
        }
    ]


def test_the_status_of_an_unknown_request(client: APIClient) -> None:
    answer: Any = client.get(f"{ROOT}/status/{UNKNOWN}/")
    assert answer.status_code == 404
    assert answer.json()["code"] == "job-not-found"


@pytest.fixture
def seg(orthanc: FakeOrthanc) -> FakeOrthanc:
    """A SEG of two segments on a small series."""
    grid = Grid(slices=3, rows=2, columns=3)
    frames = [
        MadeFrame(segment=2, index=2, mask=np.array([[1, 0, 0], [0, 0, 0]], bool)),
        MadeFrame(segment=1, index=0, mask=np.array([[0, 0, 0], [0, 0, 1]], bool)),
    ]
    orthanc.slices = grid.places([2, 0, 1])
    orthanc.files = grid.files() | {SEG_ID: as_file(seg_dataset(grid, frames))}
    return orthanc


def test_frames_have_exactly_the_fields_of_the_contract(
    client: APIClient, seg: FakeOrthanc
) -> None:
    body = client.get(FRAMES).json()
    assert body.keys() == {"success", "num_frames", "frames"}
    assert (body["success"], body["num_frames"]) == (True, 2)
    assert [frame.keys() for frame in body["frames"]] == [{"index", "mask_base64"}] * 2
    assert [frame["index"] for frame in body["frames"]] == [0, 2]


def test_one_segment_alone(client: APIClient, seg: FakeOrthanc) -> None:
    body = client.get(FRAMES, {"segment": "2"}).json()
    assert [frame["index"] for frame in body["frames"]] == [2]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"segment": "3"}, 400, "no-such-segment"),
        ({"segment": "-1"}, 400, "no-such-segment"),
        ({"segment": "x"}, 400, "no-such-segment"),
        ({"segment": "9" * 9}, 400, "no-such-segment"),
        ({"series": "x"}, 400, "orthanc-id"),
        ({"series": series_id(3)}, 404, "series-missing"),
    ],
)
def test_wrong_questions_about_frames(
    client: APIClient, seg: FakeOrthanc, query: dict[str, str], status: int, code: str
) -> None:
    answer: Any = client.get(FRAMES, query)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_frames_of_what_is_no_segmentation(client: APIClient, seg: FakeOrthanc) -> None:
    slice_id = seg.slices[series_id(0)][0].orthanc_id
    answer: Any = client.get(f"{ROOT}/instances/{slice_id}/frames/")
    assert (answer.status_code, answer.json()["code"]) == (400, "not-a-segmentation")


def test_frames_of_an_instance_that_is_not_there(client: APIClient, orthanc: FakeOrthanc) -> None:
    answer: Any = client.get(FRAMES)
    assert (answer.status_code, answer.json()["code"]) == (404, "orthanc-not-found")


def test_basic_authentication(orthanc: FakeOrthanc, user: User) -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION="Basic cmFkaW9sb2dpc3Q6YS1wYXNzd29yZA==")
    assert post(client, {"sequence_series_ids": list(FOUR)}).status_code == 202


def test_a_session_needs_the_csrf_token(orthanc: FakeOrthanc, user: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    answer = client.post(
        SEGMENT, {"sequence_series_ids": list(FOUR)}, content_type="application/json"
    )
    assert answer.status_code == 403
    assert not Job.objects.exists()
