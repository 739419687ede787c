"""``lab-agent outbox``: what waits, as a list, as a file for a person, and once more at once."""

from __future__ import annotations

import hashlib
import shutil
import threading
from pathlib import Path

import pytest

from lab_side.agent.delivery import export
from lab_side.agent.delivery.outbox import Outbox, OutboxEntry, read_seg
from lab_side.commands import outbox as commands
from segrelay.errors import OrthancRefusedError, OrthancUnavailableError
from segrelay.manifest import utc_now
from tests.support.command_line import Cli
from tests.support.waiting import SEG, make_entry

FAILED, USAGE, NOT_NOW = 1, 2, 75


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an agent for which nothing but the folder is configured."""
    for variable in ("SEGRELAY_BUCKET", "SEGRELAY_ORTHANC_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("SEGRELAY_AGENT_ID", "lab-1")
    monkeypatch.setenv("SEGRELAY_WORK_DIR", str(tmp_path / "work"))
    return tmp_path / "work" / "lab-1"


@pytest.fixture
def waiting(home: Path) -> OutboxEntry:
    """A SEG that Orthanc did not take yet."""
    outbox = Outbox(home)
    entry = make_entry(outbox, home / "made", job_id="waits")
    outbox.note_failure(entry, OrthancUnavailableError("No answer.", code="c"), utc_now())
    return entry


@pytest.fixture
def refused(home: Path) -> Path:
    """The folder of a SEG that Orthanc will never take."""
    outbox = Outbox(home)
    entry = make_entry(outbox, home / "made-too", job_id="big")
    outbox.refuse(entry, OrthancRefusedError("Too large.", remedy="Raise the limit."))
    outbox.set_aside(entry)
    return home / "refused/big"


@pytest.fixture
def lab(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def test_the_list_is_that_of_the_status(lab: Cli, waiting: OutboxEntry, refused: Path) -> None:
    text = lab("outbox", "list")
    assert "c: No answer. Nothing: it is retried automatically." in text
    assert "orthanc-refused: Too large. Raise the limit." in text
    found = lab.json("outbox", "list")
    assert [item["job_id"] for item in found["waiting"]] == ["waits"]
    assert [item["job_id"] for item in found["refused"]] == ["big"]


def test_nothing_is_there(lab: Cli, home: Path, tmp_path: Path) -> None:
    assert lab("outbox", "list") == "No SEG waits.\n"
    assert lab("outbox", "export", "--all", str(tmp_path / "usb")) == "No SEG is here.\n"
    assert lab("outbox", "retry") == "No SEG waits.\n"
    assert not home.exists()
    assert not (tmp_path / "usb").exists()


def test_a_waiting_seg_becomes_a_file_and_stays(
    lab: Cli, waiting: OutboxEntry, tmp_path: Path
) -> None:
    before = files(waiting.folder)
    text = lab("outbox", "export", "waits", str(tmp_path / "usb/new"))
    path = tmp_path / "usb/new/waits.dcm"
    assert path.read_bytes() == SEG
    assert list(path.parent.iterdir()) == [path], "nothing is left beside it"
    assert text.startswith(f"{path}\n")
    assert commands.STILL_SENT in text
    assert commands.NOT_SENT not in text
    assert commands.BY_HAND in text
    assert files(waiting.folder) == before


def test_a_seg_that_was_set_aside_becomes_a_file_and_stays(
    lab: Cli, refused: Path, tmp_path: Path
) -> None:
    before = files(refused)
    text = lab("outbox", "export", "big", str(tmp_path / "usb"))
    assert (tmp_path / "usb/big.dcm").read_bytes() == SEG
    assert commands.NOT_SENT in text
    assert commands.STILL_SENT not in text
    assert files(refused) == before


def test_all_of_them(lab: Cli, waiting: OutboxEntry, refused: Path, tmp_path: Path) -> None:
    found = lab.json("outbox", "export", "--all", str(tmp_path / "usb"))
    assert found == {
        "written": {job: str(tmp_path / f"usb/{job}.dcm") for job in ("waits", "big")},
        "failed": {},
    }
    assert lab.json("outbox", "export", "--all", str(tmp_path / "usb")) == found, "and again"


def test_nothing_is_written_over(lab: Cli, waiting: OutboxEntry, tmp_path: Path) -> None:
    other = tmp_path / "waits.dcm"
    other.write_bytes(b"another file")
    lab("outbox", "export", "waits", str(tmp_path), code=FAILED)
    assert "[export-exists]" in lab.said.err
    assert other.read_bytes() == b"another file"


def test_a_file_that_appears_meanwhile_is_not_written_over(
    lab: Cli, waiting: OutboxEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "waits.dcm"
    check = export._sha256

    def appear(path: Path) -> str:
        if path != target:
            target.write_bytes(b"another file")
        return check(path)

    monkeypatch.setattr(export, "_sha256", appear)
    lab("outbox", "export", "waits", str(tmp_path), code=FAILED)
    assert target.read_bytes() == b"another file"
    assert not list(tmp_path.glob(".waits*"))


def test_a_damaged_seg_is_not_handed_out_and_keeps_no_other(
    lab: Cli, waiting: OutboxEntry, refused: Path, tmp_path: Path
) -> None:
    waiting.seg_path.write_bytes(b"damaged")
    lab("outbox", "export", "waits", str(tmp_path), code=FAILED)
    assert "[seg-damaged]" in lab.said.err
    text = lab("outbox", "export", "--all", str(tmp_path), code=FAILED)
    assert "waits not copied: " in text
    assert "remedy: " in text
    found = lab.json("outbox", "export", "--all", str(tmp_path), code=FAILED)
    assert (list(found["written"]), found["failed"]["waits"]["code"]) == (["big"], "seg-damaged")


def test_a_copy_that_reads_back_as_other_bytes_is_removed(
    lab: Cli, waiting: OutboxEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_sha256", lambda path: hashlib.sha256(b"worn out").hexdigest())
    lab("outbox", "export", "waits", str(tmp_path / "usb"), code=NOT_NOW)
    assert "reads back" in lab.said.err
    assert list((tmp_path / "usb").iterdir()) == []


def test_a_place_that_takes_no_file(lab: Cli, waiting: OutboxEntry, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    lab("outbox", "export", "waits", str(tmp_path / "file"), code=NOT_NOW)
    assert "[local-disk]" in lab.said.err
    assert f"Free space on the disk of {tmp_path / 'file'}" in lab.said.err


def test_a_seg_that_is_delivered_meanwhile(
    lab: Cli, waiting: OutboxEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deliver_first(entry: OutboxEntry) -> bytes:
        shutil.rmtree(entry.folder)
        return read_seg(entry)

    monkeypatch.setattr("lab_side.agent.delivery.export.read_seg", deliver_first)
    found = lab.json("outbox", "export", "--all", str(tmp_path / "usb"))
    assert found == {"written": {}, "failed": {}}
    make_entry(Outbox(waiting.folder.parent.parent), tmp_path / "again", job_id="waits")
    lab("outbox", "export", "waits", str(tmp_path / "usb"), code=FAILED)
    assert "[seg-gone]" in lab.said.err


def test_a_job_that_has_no_seg_here(lab: Cli, waiting: OutboxEntry, tmp_path: Path) -> None:
    lab("outbox", "export", "../waits", str(tmp_path), code=USAGE)
    assert "[job-unknown]" in lab.said.err
    assert "lab-agent outbox list" in lab.said.err


@pytest.mark.parametrize("words", [["waits"], ["--all", "waits", "usb"], ["a", "b", "c"]])
def test_wrong_usage(home: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        Cli(capsys)("outbox", "export", *words)
    assert ended.value.code == USAGE
    assert "outbox export" in capsys.readouterr().err


def test_a_wish_that_an_agent_takes_up(lab: Cli, waiting: OutboxEntry, home: Path) -> None:
    outbox, done = Outbox(home), threading.Event()

    def listen() -> None:
        while not outbox.take_retry_request():
            done.wait(0.01)

    agent = threading.Thread(target=listen)
    agent.start()
    assert "The agent tries now; 1 waiting." in lab("outbox", "retry")
    agent.join(30)
    assert not agent.is_alive()


def test_a_wish_without_an_agent(
    lab: Cli,
    waiting: OutboxEntry,
    refused: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commands, "PATIENCE", 0.1)
    text = lab("outbox", "retry", code=NOT_NOW)
    assert "No agent has taken it up; 1 waiting." in text
    assert "1 set aside" in text
    assert lab.json("outbox", "retry", code=NOT_NOW) == {
        "waiting": 1,
        "refused": 1,
        "heard": False,
    }
    assert Outbox(home).take_retry_request(), "the next agent finds it"
    assert [entry.draft.job_id for entry in Outbox(home).entries()] == ["waits"]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
