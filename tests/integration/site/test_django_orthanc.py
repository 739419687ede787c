"""The hospital's side against a real Orthanc: submit, take the result in, show the frames."""

from __future__ import annotations

import base64
import json
import random
import zipfile
from collections.abc import Iterator
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.cache import caches
from django.core.management import CommandError, call_command
from PIL import Image
from pydantic import SecretStr
from pytest_django import Settings
from rest_framework.test import APIClient

from gcp_side.labseg.models import Job, State
from gcp_side.labseg.orthanc.client import orthanc_id
from gcp_side.labseg.queue.access import get_bucket
from infra.servers.orthanc import OrthancServer
from segrelay.orthanc import OrthancClient, OrthancSettings
from tests.conftest import SEED
from tests.support.dicom.imaging_cases import real_study
from tests.support.dicom.seg_study import SHAPE, BoolArray, example_mask
from tests.support.dicom.stored_study import Stored, store
from tests.support.servers.orthanc import orthanc  # noqa: F401
from tests.unit.gcp_side.fakes import FakeAgent, radiologist

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def site(settings: Settings, tmp_path: Path, orthanc: OrthancServer) -> Iterator[None]:  # noqa: F811
    """The site's settings lead to this Orthanc and to a new queue."""
    settings.SEGRELAY = settings.SEGRELAY | {
        "BUCKET": (tmp_path / "queue").as_uri(),
        "ORTHANC_URL": orthanc.url,
        "ORTHANC_USER": orthanc.user,
        "ORTHANC_PASSWORD": orthanc.password,
        "REFRESH_SECONDS": 0,
    }
    yield
    for cache in caches.all():
        cache.clear()


@pytest.fixture
def client() -> APIClient:
    client = APIClient()
    client.force_authenticate(radiologist())
    return client


def frames(client: APIClient, stored: Stored, **query: str) -> BoolArray:
    """The frames endpoint's answer as a volume in displayed order."""
    answer: Any = client.get(f"/api/mri/segmentation/instances/{stored.seg}/frames/", query)
    assert answer.status_code == 200, answer.content
    volume = np.zeros(SHAPE, bool)
    for frame in answer.json()["frames"]:
        png = Image.open(BytesIO(base64.b64decode(frame["mask_base64"])))
        volume[frame["index"]] = np.asarray(png) == 255
    return volume


def test_from_submit_to_the_frames(
    client: APIClient,
    orthanc: OrthancServer,  # noqa: F811
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stored = store(orthanc, tmp_path / "study")
    out = StringIO()
    call_command("labseg", "submit", "--series", *stored.series, "--confirm", "--json", stdout=out)
    submitted = json.loads(out.getvalue())
    assert submitted["state"] == "pending"

    agent = FakeAgent(get_bucket())
    claim, manifest = agent.claim()
    assert [item.orthanc_id for item in manifest.series] == list(stored.series)
    assert {item.expected_instances for item in manifest.series} == {SHAPE[0]}
    agent.finish(claim, seg_id=stored.seg)

    call_command("labseg", "sync", stdout=StringIO())
    job = Job.objects.get(pk=submitted["job_id"])
    assert (job.state, job.seg_orthanc_id) == (State.SUCCEEDED, stored.seg)
    np.testing.assert_array_equal(frames(client, stored), stored.mask)
    assert job.job_id in caplog.text
    for secret in ("Test^Patient", orthanc.password):
        assert secret not in caplog.text


def test_the_frames_fit_every_series_of_the_grid(
    client: APIClient,
    orthanc: OrthancServer,  # noqa: F811
    tmp_path: Path,
) -> None:
    stored = store(orthanc, tmp_path / "study")
    for series in stored.series:
        np.testing.assert_array_equal(frames(client, stored, series=series), stored.mask)


def test_no_tumour_is_an_empty_mask(
    client: APIClient,
    orthanc: OrthancServer,  # noqa: F811
    tmp_path: Path,
) -> None:
    stored = store(orthanc, tmp_path / "study", mask=np.zeros_like(example_mask()))
    assert not frames(client, stored).any()


def test_an_image_is_no_segmentation(
    client: APIClient,
    orthanc: OrthancServer,  # noqa: F811
    tmp_path: Path,
) -> None:
    stored = store(orthanc, tmp_path / "study")
    with orthanc.session() as session:
        instance = session.get(f"{orthanc.url}/series/{stored.series[0]}").json()["Instances"][0]
    answer: Any = client.get(f"/api/mri/segmentation/instances/{instance}/frames/")
    assert (answer.status_code, answer.json()["code"]) == (400, "not-a-segmentation")
    answer = client.get(f"/api/mri/segmentation/instances/{orthanc_id('none')}/frames/")
    assert (answer.status_code, answer.json()["code"]) == (404, "orthanc-not-found")


def test_studies_and_series_as_the_page_asks(
    client: APIClient,
    orthanc: OrthancServer,  # noqa: F811
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One module shares an Orthanc: there are more studies than this one."""
    stored = store(orthanc, tmp_path / "study")
    with orthanc.session() as session:
        study_id = session.get(f"{orthanc.url}/series/{stored.series[0]}").json()["ParentStudy"]
    listed: Any = client.get("/api/mri/segmentation/studies/", {"page_size": 200}).json()
    (entry,) = [item for item in listed["studies"] if item["study_id"] == study_id]
    assert (entry["modalities"], entry["series"]) == (["MR", "SEG"], 5)
    assert entry["patient_name"] == "Test^Patient"

    shown: Any = client.get(f"/api/mri/segmentation/studies/{study_id}/").json()
    assert shown["study"] == entry
    read = {item["series_id"]: item for item in shown["series"]}
    assert set(stored.series) < read.keys()
    first = read[stored.series[0]]
    assert (first["instances"], first["rows"], first["columns"]) == SHAPE
    assert sorted(item["series_id"] for item in shown["roles"]) == sorted(stored.series)
    # Four copies of one series: nothing can tell them apart.
    assert {item["confidence"] for item in shown["roles"]} == {"guess"}
    missing: Any = client.get(f"/api/mri/segmentation/studies/{stored.series[0]}/")
    assert missing.status_code == 404
    assert "Test^Patient" not in caplog.text


def test_health(client: APIClient) -> None:
    answer: Any = client.get("/api/mri/segmentation/health/").json()
    assert (answer["status"], answer["orthanc"], answer["queue"]) == ("ok", "ok", "ok")


@pytest.mark.parametrize(
    ("name", "roles", "sure"),
    [
        (
            "breast-dce",
            {f"dce-{number}": f"DCE-MRI Sequence {number + 1}" for number in range(4)},
            {"likely"},
        ),
        (
            "brain-glioma",
            {
                "t1": "T1 AX",
                "t1c": "MRHR T1 AX POST GAD",
                "t2": "MRHR T2 AX",
                "flair": "MRHR FLAIR AX",
            },
            {"certain", "likely"},
        ),
    ],
)
def test_the_roles_of_real_studies(
    client: APIClient,
    orthanc: OrthancServer,  # noqa: F811
    settings: Settings,
    name: str,
    roles: dict[str, str],
    sure: set[str],
) -> None:
    study_id = upload_real(orthanc, name)
    settings.SEGRELAY = settings.SEGRELAY | {
        "PROFILES": {"real": list(roles)},
        "DEFAULT_PROFILE": "real",
    }
    shown: Any = client.get(f"/api/mri/segmentation/studies/{study_id}/").json()
    described = {item["series_id"]: item["description"] for item in shown["series"]}
    found = {item["role"]: described[item["series_id"]] for item in shown["roles"]}
    assert found == roles
    assert {item["confidence"] for item in shown["roles"]} == sure


def upload_real(server: OrthancServer, name: str) -> str:
    """Upload a real study in random order; returns Orthanc's id of it."""
    archive = real_study(name)
    lab = OrthancClient(
        OrthancSettings(url=server.url, user=server.user, password=SecretStr(server.password))
    )
    with zipfile.ZipFile(archive) as files:
        names = [item for item in files.namelist() if not item.endswith("/")]
        random.Random(SEED).shuffle(names)
        replies = [lab.upload(files.read(item)) for item in names]
    study: str = lab.transport.call_json("GET", f"/instances/{replies[0].orthanc_id}/study")["ID"]
    lab.close()
    return study


def test_a_segmentation_is_no_input(orthanc: OrthancServer, tmp_path: Path) -> None:  # noqa: F811
    stored = store(orthanc, tmp_path / "study")
    with orthanc.session() as session:
        seg_series = session.get(f"{orthanc.url}/instances/{stored.seg}").json()["ParentSeries"]
    with pytest.raises(CommandError, match="not MR") as caught:
        call_command("labseg", "submit", "--series", *stored.series[:3], seg_series)
    assert caught.value.returncode == 2


def test_a_wrong_password_is_one_line(orthanc: OrthancServer, settings: Settings) -> None:  # noqa: F811
    settings.SEGRELAY = settings.SEGRELAY | {"ORTHANC_PASSWORD": "wrong"}
    four = [orthanc_id(str(number)) for number in range(4)]
    with pytest.raises(CommandError, match="password") as caught:
        call_command("labseg", "submit", "--series", *four)
    assert caught.value.returncode == 78
    assert orthanc.password not in str(caught.value)
