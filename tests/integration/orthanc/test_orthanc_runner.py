"""The private Orthanc that the other tests and the demo stand on."""

from __future__ import annotations

import hashlib
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import psutil
import pydicom
import pytest
import requests

from infra.servers.orthanc import OrthancServer
from infra.servers.ports import free_port
from tests.support.dicom.seg_study import write_seg_study
from tests.support.servers.orthanc import fresh_orthanc, start_orthanc

__all__ = ["fresh_orthanc", "start_orthanc"]

FREE_PORT = "infra.servers.orthanc.free_port"


def instance_id(path: Path) -> str:
    """Orthanc's instance id: sha1 of four identifiers, in five groups of eight."""
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    keys = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    digest = hashlib.sha1("|".join(str(dataset[key].value) for key in keys).encode()).hexdigest()
    return "-".join(digest[start : start + 8] for start in range(0, 40, 8))


def test_an_upload_gets_the_predicted_id_and_survives_a_restart(
    fresh_orthanc: OrthancServer, tmp_path: Path
) -> None:
    study = write_seg_study(tmp_path)
    with fresh_orthanc.session() as session:
        answer = session.post(f"{fresh_orthanc.url}/instances", study.seg.read_bytes(), timeout=30)
        assert answer.json()["Status"] == "Success"
        assert answer.json()["ID"] == instance_id(study.seg)
    address = fresh_orthanc.url
    fresh_orthanc.stop()
    assert not fresh_orthanc.running
    with fresh_orthanc.session() as session, pytest.raises(requests.ConnectionError):
        session.get(f"{address}/system", timeout=30)
    fresh_orthanc.start()
    assert fresh_orthanc.url == address
    with fresh_orthanc.session() as session:
        stored = session.get(f"{address}/instances/{instance_id(study.seg)}/file", timeout=30)
    assert stored.content == study.seg.read_bytes()


def test_an_instance_is_never_overwritten(fresh_orthanc: OrthancServer, tmp_path: Path) -> None:
    study = write_seg_study(tmp_path)
    with fresh_orthanc.session() as session:
        first = study.seg.read_bytes()
        session.post(f"{fresh_orthanc.url}/instances", first, timeout=30).raise_for_status()
        changed = pydicom.dcmread(study.seg)
        changed.ContentDescription = "changed"
        changed.save_as(study.seg)
        again = session.post(f"{fresh_orthanc.url}/instances", study.seg.read_bytes(), timeout=30)
        assert again.json()["Status"] == "AlreadyStored"
        kept = session.get(f"{fresh_orthanc.url}/instances/{again.json()['ID']}/file", timeout=30)
    assert kept.content == first


def test_what_was_stored_survives_a_kill(fresh_orthanc: OrthancServer, tmp_path: Path) -> None:
    study = write_seg_study(tmp_path)
    with fresh_orthanc.session() as session:
        session.post(f"{fresh_orthanc.url}/instances", study.seg.read_bytes(), timeout=30)
    fresh_orthanc.kill()
    fresh_orthanc.start()
    with fresh_orthanc.session() as session:
        assert session.get(f"{fresh_orthanc.url}/instances", timeout=30).json() == [
            instance_id(study.seg)
        ]


@pytest.mark.parametrize("credentials", [("lab", "wrong"), ("stranger", "wrong"), None])
def test_a_wrong_password_is_refused(
    fresh_orthanc: OrthancServer, credentials: tuple[str, str] | None
) -> None:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(f"{fresh_orthanc.url}/system", auth=credentials, timeout=30)
    assert answer.status_code == 401


def test_two_servers_have_different_names_passwords_and_ports(
    start_orthanc: Callable[..., OrthancServer],
) -> None:
    first, second = start_orthanc(), start_orthanc(http_compression=True)
    assert first.name != second.name
    assert first.password != second.password
    assert first.url != second.url
    with first.session() as session:
        assert session.get(f"{second.url}/system", timeout=30).status_code == 401


def test_the_password_is_only_in_a_file_that_nobody_else_can_read(
    fresh_orthanc: OrthancServer,
) -> None:
    processes = [p for p in psutil.Process().children() if "Orthanc" in " ".join(p.cmdline())]
    assert processes
    configurations = {Path(process.cmdline()[-1]) for process in processes}
    for process in processes:
        assert fresh_orthanc.password not in " ".join(process.cmdline())
        assert fresh_orthanc.password not in process.environ().values()
    texts = {path.read_text(): stat.S_IMODE(path.stat().st_mode) for path in configurations}
    assert [mode for text, mode in texts.items() if fresh_orthanc.password in text] == [0o600]


def test_a_taken_port_is_noticed_and_another_one_used(
    start_orthanc: Callable[..., OrthancServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as squatter:
        squatter.bind(("", free_port()))
        squatter.listen()
        taken = int(squatter.getsockname()[1])
        offers = [taken]
        monkeypatch.setattr(FREE_PORT, lambda: offers.pop() if offers else free_port())
        server = start_orthanc()
    assert server.running
    assert not server.url.endswith(f":{taken}")


def test_another_orthanc_on_the_port_is_not_taken_for_ours(
    fresh_orthanc: OrthancServer,
    start_orthanc: Callable[..., OrthancServer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = int(fresh_orthanc.url.rsplit(":", 1)[1])
    offers = [taken]
    monkeypatch.setattr(FREE_PORT, lambda: offers.pop() if offers else free_port())
    assert start_orthanc().url != fresh_orthanc.url
