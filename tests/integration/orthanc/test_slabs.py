"""Both breasts and all phases in one series: each slab's phases are volumes, to the overlay."""

from __future__ import annotations

import gzip
import threading
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydantic import SecretStr
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from gcp_side.labseg.orthanc.client import Orthanc
from gcp_side.labseg.recognition.series_attributes import read_series
from gcp_side.labseg.viewer.overlay import load_overlay
from gcp_side.labseg.viewer.volumes import load_volume
from infra.one_series.rewrite import Kind, read_phases, write_as
from infra.servers.orthanc import OrthancServer
from lab_side.agent.by_hand.inputs import inputs_of
from lab_side.download import download_series
from lab_side.download.wanted_parts import WantedParts
from lab_side.imaging.pipeline import CaseInput, segment_case
from lab_side.worker.protocol import SeriesFiles
from segrelay.errors import ManifestRejectedError
from segrelay.manifest import SeriesInput, SeriesPart
from segrelay.orthanc import OrthancClient, OrthancSettings
from segrelay.parts import PartKey
from tests.support.dicom.dicom_series import make_affine, write_series
from tests.support.dicom.imaging_cases import blob, make_profile
from tests.support.networks.stand_in import stand_in
from tests.support.servers.orthanc import orthanc  # noqa: F401
from tests.support.site.at_orthanc import site_at_orthanc  # noqa: F401

pytestmark = [pytest.mark.orthanc, pytest.mark.django_db]

ROLES = ("t0", "t1", "t2", "t3")
SHAPE = (6, 20, 24)
STEP = 2.5
FAR, NEXT = 120.0, SHAPE[0] * STEP
"""From the first slice of one slab to that of the other: beyond the chest, or without a gap."""


@pytest.fixture(scope="module")
def at_orthanc(orthanc: OrthancServer) -> OrthancSettings:  # noqa: F811
    return OrthancSettings(url=orthanc.url, user=orthanc.user, password=SecretStr(orthanc.password))


def voxels_of(slab: int, phase: int) -> NDArray[np.uint16]:
    """A lesion that grows brighter, another one in each slab."""
    lesion = blob(SHAPE).astype(np.uint16)
    lesion = lesion[:, ::-1, ::-1] if slab else lesion
    return (100 + 50 * slab + 40 * phase + 300 * (phase + 1) * lesion).astype(np.uint16)


def write_slabs(folder: Path, kind: Kind, apart_mm: float) -> list[Path]:
    """One series of two sagittal slabs with four phases each, in an order that means nothing."""
    phases = []
    for phase in range(4):
        paths = []
        for slab in range(2):
            affine = make_affine("sagittal-left-to-right", origin=(60 - apart_mm * slab, 17.5, 40))
            paths += write_series(
                folder / f"{phase}-{slab}", voxels_of(slab, phase), affine, seed=10 * phase + slab
            )
        phases.append(paths)
    key, uid = PartKey.ACQUISITION_TIME, generate_uid(entropy_srcs=[str(folder)])
    written = write_as(
        kind, read_phases(phases), folder / "one", key=key, order="shuffled", series_uid=uid
    )
    for path in written:
        image = pydicom.dcmread(path)
        image.StudyInstanceUID = uid
        for group in image.get("PerFrameFunctionalGroupsSequence", []):
            x = float(group.PlanePositionSequence[0].ImagePositionPatient[0])
            group.FrameContentSequence[0].StackID = "1" if x > 61 - apart_mm else "2"
        image.save_as(path)
    return written


def fetch(client: OrthancClient, inputs: list[SeriesInput], folder: Path) -> dict[str, SeriesFiles]:
    """Fetch as the agent does; by role."""
    parts = WantedParts(client, inputs)
    found = download_series(
        client,
        [item.orthanc_id for item in inputs],
        folder,
        expected={},
        progress=lambda _done, _total: None,
        stop=threading.Event(),
        choose=parts.choose,
    )
    return {item.role: parts.files(item, found[item.orthanc_id]) for item in inputs}


def segment(files: dict[str, SeriesFiles], output: Path) -> Dataset:
    case = CaseInput(
        job_key="01HZXJOB",
        series={role: list(one.files) for role, one in files.items()},
        expected_sop_uids={role: one.sop_instance_uids for role, one in files.items()},
        created_at=datetime(2024, 5, 6, tzinfo=UTC),
        output=output,
        parts={role: one.part for role, one in files.items()},
        frames={role: one.frames for role, one in files.items()},
    )
    profile = make_profile(roles=ROLES).model_copy(update={"reference_role": "t1"})
    segment_case(case, stand_in(profile), lambda _stage, _share: None)
    return pydicom.dcmread(output)


def alone(folder: Path, slab: int) -> dict[str, SeriesFiles]:
    """The phases of a slab as series of their own."""
    found = {}
    for phase, role in enumerate(ROLES):
        paths = sorted((folder / f"{phase}-{slab}").iterdir())
        for path in paths:
            image = pydicom.dcmread(path)
            image.SeriesInstanceUID = f"2.25.7{phase}{slab}"
            image.save_as(path)
        uids = frozenset(str(pydicom.dcmread(path).SOPInstanceUID) for path in paths)
        found[role] = SeriesFiles(files=tuple(paths), sop_instance_uids=uids)
    return found


@pytest.mark.parametrize(
    ("kind", "apart_mm"),
    [(Kind.CLASSIC, FAR), (Kind.ENHANCED, FAR), (Kind.ENHANCED, NEXT)],
    ids=["classic", "enhanced", "enhanced, by Stack ID alone"],
)
def test_each_slab_has_its_phases(
    at_orthanc: OrthancSettings, tmp_path: Path, kind: Kind, apart_mm: float
) -> None:
    client = OrthancClient(at_orthanc)
    paths = write_slabs(tmp_path, kind, apart_mm)
    (series,) = {client.upload(path.read_bytes()).orthanc_series_id for path in paths}
    connected = Orthanc(client, at_orthanc)
    read = read_series(connected.series_of([series]), connected)[series]
    split = read.parts.split
    assert split is not None
    assert (split.stacks, len(split.parts), split.key) == (2, 8, PartKey.ACQUISITION_TIME)
    assert [volume.stack for volume in read.volumes] == [0] * 4 + [1] * 4
    for index in range(8):
        shown = load_volume(f"{series}:{index}", connected)
        values = np.frombuffer(gzip.decompress(shown.gzipped), shown.dtype)
        np.testing.assert_array_equal(
            values.reshape(shown.shape), voxels_of(*divmod(index, 4)), err_msg=str(index)
        )
    with pytest.raises(ManifestRejectedError) as refused:
        inputs_of(client, [series], ROLES)
    assert refused.value.code == "part-needed"
    for slab in range(2):
        inputs = [
            SeriesInput(
                role=role,
                orthanc_id=series,
                part=SeriesPart(
                    key=split.key, index=4 * slab + phase, count=8, expected_images=SHAPE[0]
                ),
            )
            for phase, role in enumerate(ROLES)
        ]
        files = fetch(client, inputs, tmp_path / f"fetched-{slab}")
        seg = segment(files, tmp_path / f"seg-{slab}.dcm")
        assert seg.PixelData == segment(alone(tmp_path, slab), tmp_path / "alone.dcm").PixelData
        stored = client.upload((tmp_path / f"seg-{slab}.dcm").read_bytes()).orthanc_id
        overlay = load_overlay(stored, series_id=None, orthanc=connected)
        assert overlay.series_id == f"{series}:{4 * slab + 1}"
        assert overlay.segments[0]["voxels"] == int(seg.pixel_array.sum()) > 0
    client.close()
