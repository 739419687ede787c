"""Broken phases in a real Orthanc: site and lab refuse them by the same words, or take the rest."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydantic import SecretStr
from pydicom.dataset import Dataset

from gcp_side.labseg.errors import SeriesNotShownError
from gcp_side.labseg.orthanc.client import Orthanc
from gcp_side.labseg.recognition.series_attributes import read_series
from gcp_side.labseg.viewer.volumes import load_volume
from infra.one_series.rewrite import read_phases
from infra.servers.orthanc import OrthancServer
from lab_side.agent.by_hand.inputs import inputs_of
from lab_side.download.wanted_parts import WantedParts
from lab_side.imaging.read.series import read_series as read_volume
from segrelay.errors import SeriesRefusedError
from segrelay.manifest import SeriesInput, SeriesPart
from segrelay.orthanc import OrthancClient, OrthancSettings
from segrelay.parts import PartKey
from tests.support.dicom.broken_phases import (
    BROKEN,
    BROKEN_FRAMES,
    TAKEN,
    Phases,
    write_classic,
    write_enhanced_variant,
)
from tests.support.dicom.dicom_series import make_affine, write_series
from tests.support.dicom.imaging_cases import real_study
from tests.support.servers.orthanc import orthanc  # noqa: F401
from tests.support.site.at_orthanc import site_at_orthanc  # noqa: F401

pytestmark = pytest.mark.orthanc

ROLES = ("dce-0", "dce-1", "dce-2", "dce-3")
SLICES = 6
REAL = pytest.param("real", marks=pytest.mark.long)


@pytest.fixture(scope="module")
def at_orthanc(orthanc: OrthancServer) -> OrthancSettings:  # noqa: F811
    return OrthancSettings(url=orthanc.url, user=orthanc.user, password=SecretStr(orthanc.password))


@pytest.fixture(scope="module")
def client(at_orthanc: OrthancSettings) -> Iterator[OrthancClient]:
    client = OrthancClient(at_orthanc)
    yield client
    client.close()


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Phases:
    folder = tmp_path_factory.mktemp("phases")
    return read_phases(
        [
            write_series(
                folder / str(phase),
                np.full((SLICES, 8, 8), 100 + phase, np.uint16),
                make_affine("sagittal"),
                seed=phase,
            )
            for phase in range(4)
        ]
    )


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Phases:
    """Four phases of a patient's breast, with a corner of each image: no pixel is looked at."""
    folder = tmp_path_factory.mktemp("real")
    with zipfile.ZipFile(real_study("breast-dce")) as archive:
        archive.extractall(folder)
    series = sorted({path.parent for path in folder.rglob("*") if path.is_file()})
    phases = read_phases([[path for path in one.iterdir() if path.is_file()] for one in series])
    for image in (image for images in phases for image in images):
        image.PixelData = image.pixel_array[:8, :8].tobytes()
        image.Rows = image.Columns = 8
    return phases


@pytest.fixture
def phases(request: pytest.FixtureRequest) -> Phases:
    found: Phases = request.getfixturevalue(request.param)
    return found


def store(client: OrthancClient, paths: Sequence[Path]) -> str:
    """Orthanc's id of the one series that these files are."""
    (series,) = {client.upload(path.read_bytes()).orthanc_series_id for path in paths}
    return series


def at_the_site(settings: OrthancSettings, series: str) -> Any:
    """What the site reads of a series for the page and for recognition."""
    connected = Orthanc(OrthancClient(settings), settings)
    study = connected.series(series).study_id
    entries = [item for item in connected.series_of([series]) if item.study_id == study]
    return read_series(entries, connected)[series]


def check_refused(client: OrthancClient, settings: OrthancSettings, series: str, code: str) -> None:
    """By the site, by hand, and by the agent where a job names a part all the same."""
    with pytest.raises(SeriesRefusedError) as by_hand:
        inputs_of(client, [series], ROLES)
    part = SeriesPart(key=PartKey.TEMPORAL_POSITION, index=0, count=4, expected_images=SLICES)
    job = [SeriesInput(role="dce-0", orthanc_id=series, part=part)]
    with pytest.raises(SeriesRefusedError) as queued:
        WantedParts(client, job).choose(series, client.inventory([series]))
    site = at_the_site(settings, series).parts
    assert (by_hand.value.code, queued.value.code, site.code) == (code, code, code)
    assert by_hand.value.message == queued.value.message == site.message
    assert by_hand.value.remedy == queued.value.remedy == site.remedy
    assert site.split is None


@pytest.mark.parametrize("phases", ["synthetic", REAL], indirect=True)
@pytest.mark.parametrize("name", BROKEN)
def test_classic_phases(
    client: OrthancClient, at_orthanc: OrthancSettings, phases: Phases, tmp_path: Path, name: str
) -> None:
    variant, code = BROKEN[name]
    series = store(client, write_classic(phases, tmp_path / "sent", variant))
    check_refused(client, at_orthanc, series, code)


@pytest.mark.parametrize("phases", ["synthetic", REAL], indirect=True)
@pytest.mark.parametrize("name", BROKEN_FRAMES)
def test_frames(
    client: OrthancClient, at_orthanc: OrthancSettings, phases: Phases, tmp_path: Path, name: str
) -> None:
    variant, code = BROKEN_FRAMES[name]
    series = store(client, write_enhanced_variant(phases, tmp_path / "sent", variant))
    check_refused(client, at_orthanc, series, code)


def test_pixel_data_that_ends_early(
    client: OrthancClient, at_orthanc: OrthancSettings, synthetic: Phases, tmp_path: Path
) -> None:
    """Every frame is described, the last phase has no pixels: known where they are read."""

    def cut(instance: Dataset) -> None:
        instance.PixelData = instance.PixelData[: -len(instance.PixelData) // 4]

    (path,) = write_enhanced_variant(synthetic, tmp_path / "sent", cut)
    series = store(client, [path])
    first, *_, last = inputs_of(client, [series], ROLES)
    assert first.part is not None
    assert last.part is not None
    uid = str(pydicom.dcmread(path).SOPInstanceUID)
    with pytest.raises(SeriesRefusedError) as at_the_lab:
        read_volume([path], frames={uid: range(1, SLICES + 1)}, part=first.part.name)
    connected = Orthanc(client, at_orthanc)
    with pytest.raises(SeriesNotShownError) as at_the_page:
        load_volume(f"{series}:{last.part.index}", connected)
    assert at_the_lab.value.code == at_the_page.value.code == "unreadable-instance"


@pytest.mark.parametrize("phases", ["synthetic", REAL], indirect=True)
@pytest.mark.parametrize("name", TAKEN)
def test_what_is_taken_all_the_same(
    client: OrthancClient, at_orthanc: OrthancSettings, phases: Phases, tmp_path: Path, name: str
) -> None:
    variant, left_out = TAKEN[name]
    size = len(phases[0])
    series = store(client, write_classic(phases, tmp_path / "sent", variant))
    inputs = inputs_of(client, [series], ROLES)
    chosen = WantedParts(client, inputs)
    kept = {one.orthanc_id: one for one in chosen.choose(series, client.inventory([series]))}
    split = at_the_site(at_orthanc, series).parts.split
    assert {item.kind: item.count for item in split.left_out} == {
        kind: size if count < 0 else count for kind, count in left_out.items()
    }
    for phase, part in zip(phases, split.parts, strict=True):
        uids = [kept[image.instance].sop_instance_uid for image in part.images]
        assert set(uids) == {str(image.SOPInstanceUID) for image in phase}
    assert len(kept) == 4 * size
