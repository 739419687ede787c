"""Parts of a series out of a real Orthanc: only the wanted images are fetched, or a reason said."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from infra.one_series.rewrite import read_phases, write_one_instance, write_one_series
from infra.servers.orthanc import OrthancServer
from lab_side.agent.by_hand.inputs import inputs_of
from lab_side.download import download_series
from lab_side.download.wanted_parts import WantedParts
from lab_side.imaging.read.series import read_series
from segrelay.errors import ManifestRejectedError, SeriesRefusedError
from segrelay.manifest import SeriesInput
from segrelay.orthanc import OrthancClient, OrthancSettings
from segrelay.parts import PartKey
from tests.support.dicom.dicom_series import make_affine, write_series

pytestmark = pytest.mark.orthanc

ROLES = ("dce-0", "dce-1", "dce-2", "dce-3")
PHASES, SLICES = 30, 4


@pytest.fixture(scope="module")
def client() -> Iterator[OrthancClient]:
    with OrthancServer() as server:
        fields = {"url": server.url, "user": server.user, "password": server.password}
        yield OrthancClient(OrthancSettings.model_validate(fields))


@pytest.fixture(scope="module")
def phases(tmp_path_factory: pytest.TempPathFactory) -> list[list[Path]]:
    folder = tmp_path_factory.mktemp("phases")
    return [
        write_series(
            folder / str(phase),
            np.full((SLICES, 64, 64), 100 + phase, np.uint16),
            make_affine(),
            series_uid=f"2.25.88{phase}",
            seed=phase,
        )
        for phase in range(PHASES)
    ]


@pytest.fixture(scope="module")
def classic(
    client: OrthancClient, phases: list[list[Path]], tmp_path_factory: pytest.TempPathFactory
) -> str:
    paths = write_one_series(
        read_phases(phases),
        tmp_path_factory.mktemp("classic"),
        key=PartKey.TEMPORAL_POSITION,
        order="shuffled",
    )
    return store(client, paths)


def store(client: OrthancClient, paths: Sequence[Path]) -> str:
    """Orthanc's id of the one series that these files are."""
    (series,) = {client.upload(path.read_bytes()).orthanc_series_id for path in paths}
    return series


def fetch(
    client: OrthancClient, inputs: Sequence[SeriesInput], folder: Path
) -> dict[str, list[float]]:
    """By role: the values of its slices; what is on the disk is what was fetched."""
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
    volumes = {}
    for item in inputs:
        files = parts.files(item, found[item.orthanc_id])
        volume = read_series(
            files.files,
            expected_sop_uids=files.sop_instance_uids,
            frames=files.frames,
            part=files.part,
        )
        volumes[item.role] = [float(one.mean()) for one in volume.voxels]
    return volumes


def test_of_thirty_phases_the_four_wanted_are_fetched(
    client: OrthancClient, classic: str, tmp_path: Path
) -> None:
    inputs = inputs_of(client, [classic], ROLES)
    assert [item.part.index for item in inputs if item.part] == [0, 1, 2, 3]
    assert fetch(client, inputs, tmp_path) == {
        role: [100.0 + phase] * SLICES for phase, role in enumerate(ROLES)
    }
    everything = client.inventory([classic])
    assert len(everything) == PHASES * SLICES
    fetched = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(fetched) == len(ROLES) * SLICES
    assert sum(fetched) < 1.01 * sum(one.size_bytes for one in everything) * len(ROLES) / PHASES


def test_other_phases_may_be_named(client: OrthancClient, classic: str, tmp_path: Path) -> None:
    first, *_ = inputs_of(client, [classic], ROLES)
    assert first.part is not None
    inputs = [
        first.model_copy(
            update={"role": role, "part": first.part.model_copy(update={"index": index})}
        )
        for role, index in zip(ROLES, (3, 29, 0, 12), strict=True)
    ]
    found = fetch(client, inputs, tmp_path)
    assert [values[0] for values in found.values()] == [103.0, 129.0, 100.0, 112.0]


def test_frames_of_an_enhanced_instance(
    client: OrthancClient, phases: list[list[Path]], tmp_path: Path
) -> None:
    path = write_one_instance(
        read_phases(phases[:5]),
        tmp_path / "sent",
        key=PartKey.ACQUISITION_TIME,
        order="to and fro",
        series_uid="2.25.881",
    )
    series = store(client, [path])
    inputs = inputs_of(client, [series], ROLES)
    assert {item.part.key for item in inputs if item.part} == {PartKey.ACQUISITION_TIME}
    assert fetch(client, inputs, tmp_path / "fetched") == {
        role: [100.0 + phase] * SLICES for phase, role in enumerate(ROLES)
    }
    # Once for the four roles.
    (file,) = (tmp_path / "fetched").iterdir()
    assert file.read_bytes() == path.read_bytes()


def test_a_series_before_contrast_and_one_with_the_rest(
    client: OrthancClient, phases: list[list[Path]], tmp_path: Path
) -> None:
    before = store(client, phases[0])
    paths = write_one_series(
        read_phases(phases[1:4]),
        tmp_path / "rest",
        key=PartKey.TRIGGER_TIME,
        order="shuffled",
        series_uid="2.25.882",
    )
    rest = store(client, paths)
    inputs = inputs_of(client, [before, rest], ROLES)
    assert [item.part and item.part.index for item in inputs] == [None, 0, 1, 2]


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"count": 31}, "parts-changed"), ({"expected_images": 5}, "parts-changed")],
)
def test_a_series_with_other_volumes_than_submitted_is_refused(
    client: OrthancClient, classic: str, tmp_path: Path, changes: dict[str, int], code: str
) -> None:
    first, *_ = inputs_of(client, [classic], ROLES)
    assert first.part is not None
    named = first.model_copy(update={"part": first.part.model_copy(update=changes)})
    with pytest.raises(SeriesRefusedError) as caught:
        fetch(client, [named], tmp_path)
    assert caught.value.code == code
    assert not list(tmp_path.iterdir())


def test_too_few_phases_are_refused(
    client: OrthancClient, phases: list[list[Path]], tmp_path: Path
) -> None:
    alone = store(client, phases[29])
    with pytest.raises(ManifestRejectedError) as caught:
        inputs_of(client, [alone], ROLES)
    assert caught.value.code == "series-count"
    assert "volumes in them: 1." in caught.value.message
