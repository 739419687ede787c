"""The viewer of phases that are frames of one instance: each voxel right, and no more fetched."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydantic import SecretStr
from pydicom.pixels.utils import get_expected_length
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)
from rest_framework.test import APIClient

from infra.one_series.rewrite import read_phases, write_one_instance
from infra.servers.orthanc import OrthancServer
from segrelay.errors import OrthancRefusedError
from segrelay.orthanc import OrthancClient, OrthancSettings
from segrelay.parts import PartKey
from tests.conftest import SEED
from tests.support.dicom.dicom_series import make_affine, rotation, write_series
from tests.support.servers.orthanc import orthanc  # noqa: F401
from tests.support.site.at_orthanc import site_at_orthanc  # noqa: F401
from tests.unit.gcp_side.fakes import radiologist

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = "/api/mri/segmentation"
PHASES, SHAPE = 4, (6, 9, 14)
FRAME_BYTES = SHAPE[1] * SHAPE[2] * 2


@dataclass
class Fetched:
    """What the site asked Orthanc for."""

    files: int = 0
    frame_bytes: int = 0


@pytest.fixture
def client() -> APIClient:
    client = APIClient()
    client.force_authenticate(radiologist())
    return client


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> Fetched:
    counted = Fetched()
    whole, alone = OrthancClient.instance_pieces, OrthancClient.frame

    def pieces(self: OrthancClient, orthanc_id: str, **more: Any) -> Any:
        counted.files += 1
        return whole(self, orthanc_id, **more)

    def frame(self: OrthancClient, orthanc_id: str, number: int) -> bytes:
        data = alone(self, orthanc_id, number)
        counted.frame_bytes += len(data)
        return data

    monkeypatch.setattr(OrthancClient, "instance_pieces", pieces)
    monkeypatch.setattr(OrthancClient, "frame", frame)
    return counted


def store(
    server: OrthancServer, folder: Path, syntax: UID = ExplicitVRLittleEndian
) -> tuple[str, NDArray[np.uint16]]:
    """Orthanc's id of a series of one instance, and its voxels [phases, slices, rows, columns]."""
    rng = np.random.default_rng(SEED)
    voxels = rng.integers(0, 4000, (PHASES, *SHAPE), dtype=np.uint16)
    paths = [
        write_series(folder / str(phase), one, make_affine(tilt=rotation(8, -5, 3)), seed=phase)
        for phase, one in enumerate(voxels)
    ]
    key, uid = PartKey.TRIGGER_TIME, generate_uid()
    path = write_one_instance(
        read_phases(paths), folder / "one", key=key, order="shuffled", series_uid=uid
    )
    instance = pydicom.dcmread(path)
    instance.StudyInstanceUID, instance.SOPInstanceUID = uid, generate_uid()
    instance.file_meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID
    assert len(instance.PixelData) == get_expected_length(instance)
    if syntax == RLELossless:
        instance.compress(RLELossless)
    instance.file_meta.TransferSyntaxUID = syntax
    instance.save_as(
        path,
        enforce_file_format=True,
        little_endian=True,
        implicit_vr=syntax == ImplicitVRLittleEndian,
    )
    lab = OrthancClient(
        OrthancSettings(url=server.url, user=server.user, password=SecretStr(server.password))
    )
    series = lab.upload(path.read_bytes()).orthanc_series_id
    lab.close()
    return series, voxels


def voxels_of(client: APIClient, path: str) -> NDArray[Any]:
    answer: Any = client.get(f"{ROOT}/{path}")
    assert answer.status_code == 200, answer.content
    is_packed = answer.get("Content-Encoding") == "gzip"
    data = gzip.decompress(answer.content) if is_packed else answer.content
    shape = [int(size) for size in answer["X-Shape"].split(",")]
    return np.frombuffer(data, np.dtype(answer["X-Dtype"]).newbyteorder("<")).reshape(shape)


def check_voxels(client: APIClient, series: str, voxels: NDArray[np.uint16]) -> None:
    for phase, known in enumerate(voxels):
        for index in (0, SHAPE[0] - 1):
            found = voxels_of(client, f"series/{series}:{phase}/slices/{index}/")
            np.testing.assert_array_equal(found, known[index])
        found = voxels_of(client, f"series/{series}:{phase}/volume/")
        np.testing.assert_array_equal(found, known)


@pytest.mark.parametrize(
    ("syntax", "is_alone"),
    [
        (ExplicitVRLittleEndian, True),
        (ImplicitVRLittleEndian, True),
        (RLELossless, True),
        (DeflatedExplicitVRLittleEndian, False),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_frames_are_fetched_alone_where_orthanc_gives_them_as_they_are(
    client: APIClient,
    orthanc: OrthancServer,  # noqa: F811
    tmp_path: Path,
    fetched: Fetched,
    syntax: UID,
    is_alone: bool,
) -> None:
    series, voxels = store(orthanc, tmp_path, syntax)
    check_voxels(client, series, voxels)
    assert (fetched.files == 0) is is_alone
    assert (fetched.frame_bytes > 0) is is_alone


def test_a_slice_costs_its_frame_and_a_volume_its_frames(
    client: APIClient,
    orthanc: OrthancServer,  # noqa: F811
    tmp_path: Path,
    fetched: Fetched,
) -> None:
    series, _ = store(orthanc, tmp_path)
    client.get(f"{ROOT}/series/{series}:2/geometry/")
    assert fetched.frame_bytes == FRAME_BYTES
    client.get(f"{ROOT}/series/{series}:2/slices/1/")
    assert fetched.frame_bytes == 2 * FRAME_BYTES
    client.get(f"{ROOT}/series/{series}:2/volume/")
    assert fetched.frame_bytes == (2 + SHAPE[0]) * FRAME_BYTES
    assert fetched.files == 0


def test_an_account_that_may_fetch_files_alone_sees_the_same(
    client: APIClient,
    orthanc: OrthancServer,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    series, voxels = store(orthanc, tmp_path)

    def refused(self: OrthancClient, orthanc_id: str, number: int) -> bytes:
        raise OrthancRefusedError(f"Not frame {number} of {orthanc_id}, {self}.")

    monkeypatch.setattr(OrthancClient, "frame", refused)
    check_voxels(client, series, voxels)
