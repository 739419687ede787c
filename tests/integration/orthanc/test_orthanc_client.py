"""The Orthanc client against a real Orthanc: complete, or refused with a reason."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.fake_gcs.messages import Answer, Request
from infra.line import FaultKind, Line, LineFault
from infra.servers.orthanc import OrthancServer
from infra.servers.ports import free_port
from lab_side.download import download_series
from lab_side.download.whole_series import fetch_series
from segrelay.errors import (
    FixConfigurationError,
    OrthancRefusedError,
    OrthancUnavailableError,
    SeriesRefusedError,
    TransientError,
)
from segrelay.orthanc import InstanceInfo, OrthancClient, OrthancSettings, SeriesInfo
from tests.support.jobs import orthanc_id
from tests.support.lab.lab import StoredStudy, store_phantom
from tests.support.servers.fault_proxy import fault_proxy


@pytest.fixture(scope="module", params=[False, True], ids=["identity", "server-compresses"])
def server(request: pytest.FixtureRequest) -> Iterator[OrthancServer]:
    with OrthancServer(http_compression=request.param) as server:
        yield server


@pytest.fixture(scope="module")
def study(server: OrthancServer, tmp_path_factory: pytest.TempPathFactory) -> StoredStudy:
    return store_phantom(server, tmp_path_factory.mktemp("study"))


def connect(server: OrthancServer, **changes: object) -> OrthancClient:
    fields = {"url": server.url, "user": server.user, "password": server.password, **changes}
    return OrthancClient(OrthancSettings.model_validate(fields))


def fetch(client: OrthancClient, study: StoredStudy, folder: Path, **counts: int) -> None:
    """Download the study."""
    reports: list[tuple[int, int]] = []
    expected = dict.fromkeys(study.series_ids, counts.get("expected", study.instances))
    found = download_series(
        client,
        study.series_ids,
        folder,
        expected=expected,
        progress=lambda done, total: reports.append((done, total)),
        stop=threading.Event(),
    )
    for series in found.values():
        assert len(series.files) == len(series.sop_instance_uids) == study.instances
        assert all(path.stat().st_size > 0 for path in series.files)
    total = len(study.series_ids) * study.instances
    assert reports[-1] == (total, total)
    assert {of for _, of in reports} == {total}


def test_every_byte_arrives(server: OrthancServer, study: StoredStudy, tmp_path: Path) -> None:
    client = connect(server)
    fetch(client, study, tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == client.instance_file(path.stem)


def test_what_is_there_is_not_fetched_again(
    server: OrthancServer, study: StoredStudy, tmp_path: Path
) -> None:
    client = connect(server)
    fetch(client, study, tmp_path)
    gone, *kept = tmp_path.iterdir()
    gone.unlink()
    before = {path: path.stat().st_ino for path in kept}
    fetch(client, study, tmp_path)
    assert gone.is_file()
    assert {path: path.stat().st_ino for path in kept} == before


@pytest.mark.parametrize("after", [0, 300, 5_000])
def test_broken_transfers_are_asked_for_again(
    server: OrthancServer, study: StoredStudy, tmp_path: Path, after: int
) -> None:
    fault = LineFault(kind=FaultKind.CUT, after=after, times=3)
    with Line(server.url, faults=[fault]) as line:
        client = connect(server, url=line.url, connections=2)
        try:
            fetch(client, study, tmp_path)
        except OrthancUnavailableError:
            fetch(client, study, tmp_path)
        assert line.stats().hits == 3
        whole = connect(server)
        for path in tmp_path.iterdir():
            assert path.read_bytes() == whole.instance_file(path.stem)


def test_a_line_that_never_holds_is_unavailable(
    server: OrthancServer, study: StoredStudy, tmp_path: Path
) -> None:
    fault = LineFault(kind=FaultKind.CUT, after=2_000, times=None)
    with Line(server.url, faults=[fault]) as line:
        client = connect(server, url=line.url, retries=0)
        with pytest.raises(OrthancUnavailableError):
            fetch(client, study, tmp_path)


def test_a_short_series_is_refused(
    server: OrthancServer, study: StoredStudy, tmp_path: Path
) -> None:
    with pytest.raises(SeriesRefusedError) as caught:
        fetch(connect(server), study, tmp_path, expected=study.instances + 1)
    assert caught.value.code == "series-incomplete"
    assert not list(tmp_path.iterdir())


def test_a_stopped_download_ends(server: OrthancServer, study: StoredStudy, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(TransientError) as caught:
        download_series(
            connect(server),
            study.series_ids,
            tmp_path,
            expected={},
            progress=lambda _done, _total: None,
            stop=stop,
        )
    assert caught.value.code == "stopping"


def test_an_instance_deleted_meanwhile_is_noticed(tmp_path: Path) -> None:
    with OrthancServer() as server:
        study = store_phantom(server, tmp_path / "study")
        client = connect(server, connections=1)
        victim = client.inventory(study.series_ids)[-1].orthanc_id

        def delete_once(done: int, _total: int) -> None:
            if done == 1:
                connect(server).delete_instance(victim)

        with pytest.raises(TransientError) as caught:
            download_series(
                client,
                study.series_ids,
                tmp_path / "out",
                expected={},
                progress=delete_once,
                stop=threading.Event(),
            )
        assert caught.value.code == "series-changing"


def test_series_and_study(server: OrthancServer, study: StoredStudy) -> None:
    client = connect(server)
    found = client.study_series(study.study_id)
    assert {item.orthanc_id for item in found} == set(study.series_ids)
    one = client.series(study.series_ids[0])
    assert (one.modality, one.instances, one.study_id) == ("MR", study.instances, study.study_id)
    assert one in found


def test_what_is_not_there(server: OrthancServer) -> None:
    client = connect(server)
    for call in (client.series, lambda item: client.inventory([item])):
        with pytest.raises(SeriesRefusedError) as caught:
            call(orthanc_id(5))
        assert caught.value.code == "series-missing"
    with pytest.raises(OrthancRefusedError) as refused:
        client.instance_file(orthanc_id(5))
    assert refused.value.code == "orthanc-not-found"


@pytest.mark.parametrize("way_is_open", [True, False], ids=["open", "forbidden"])
def test_a_series_that_an_empty_list_leaves_out_is_asked_for_in_another_way(
    server: OrthancServer, study: StoredStudy, way_is_open: bool
) -> None:
    """A list as an Orthanc gives it, which something before it has emptied."""

    def instead(request: Request) -> Answer | None:
        if request.path == "/tools/bulk-content":
            return Answer(headers={"Content-Type": "application/json"}, body=b"[]")
        is_forbidden = request.path.startswith("/series/") and not way_is_open
        return Answer(status=403) if is_forbidden else None

    with fault_proxy(server.url) as proxy:
        client = connect(server, url=proxy.url)
        client.system()
        proxy.instead = instead
        kind = TransientError if way_is_open else SeriesRefusedError
        for call in (client.series, lambda item: client.inventory([item])):
            with pytest.raises(kind):
                call(study.series_ids[0])
        client.close()


@pytest.mark.parametrize("bad", ["../system", "", "a" * 44, orthanc_id(1).upper() + "A"])
def test_nothing_but_an_id_gets_into_a_path(server: OrthancServer, bad: str) -> None:
    with pytest.raises(SeriesRefusedError) as caught:
        connect(server).series(bad)
    assert caught.value.code == "orthanc-id"


def test_wrong_password_and_wrong_server(server: OrthancServer) -> None:
    with pytest.raises(FixConfigurationError) as caught:
        connect(server, password="not-this").system()
    assert caught.value.code == "orthanc-credentials"
    assert "not-this" not in str(caught.value)
    with pytest.raises(OrthancUnavailableError):
        connect(server, url=f"http://127.0.0.1:{free_port()}", retries=0).system()
    with pytest.raises(FixConfigurationError) as other:
        connect(server, url=f"{server.url}/app").system()
    assert other.value.code == "orthanc-answer"


@pytest.mark.parametrize("data", [b"", b"not DICOM", b"\0" * 128 + b"DICM"])
def test_what_is_not_dicom_is_refused(server: OrthancServer, data: bytes) -> None:
    with pytest.raises(OrthancRefusedError):
        connect(server).upload(data)


def test_a_second_upload_keeps_the_first_bytes(
    server: OrthancServer, study: StoredStudy, tmp_path: Path
) -> None:
    client = connect(server)
    item = client.inventory(study.series_ids)[0]
    data = client.instance_file(item.orthanc_id)
    reply = client.upload(data[:-2] + b"\1\1")
    assert (reply.already_stored, reply.orthanc_id) == (True, item.orthanc_id)
    assert client.instance_file(item.orthanc_id) == data
    assert client.find_instance(item.sop_instance_uid) == [item.orthanc_id]
    assert client.find_instance("1.2.3.4") == []


def test_a_series_comes_as_stored_in_one_answer(
    server: OrthancServer, study: StoredStudy, tmp_path: Path
) -> None:
    """By the plugin for DICOMweb."""
    client = connect(server)
    for series in client.series_list(study.series_ids):
        assert _stored(client, series, tmp_path) == study.instances
    assert list(tmp_path.iterdir()) == []


def test_an_orthanc_without_that_plugin_is_not_asked_again(tmp_path: Path) -> None:
    with OrthancServer(settings={"Plugins": []}) as plain:
        ids = store_phantom(plain, tmp_path / "study").series_ids
        client = connect(plain)
        (series, *_) = client.series_list(ids)
        with pytest.raises(OrthancRefusedError):
            _stored(client, series, tmp_path)
        assert not client.offers_series_files


def _stored(client: OrthancClient, series: SeriesInfo, folder: Path) -> int:
    """How many instances of a series come as a whole; every byte is the stored one."""
    kept: list[InstanceInfo] = []

    def keep(item: InstanceInfo, path: Path) -> None:
        assert path.read_bytes() == client.instance_file(item.orthanc_id)
        kept.append(item)

    items = client.inventory([series.orthanc_id])
    size = sum(item.size_bytes for item in items)
    fetch_series(client, series, items, size, folder, keep, lambda: None)
    return len(kept)
