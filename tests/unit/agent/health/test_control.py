"""Pause and drain: what the files say, and what the commands answer."""

from __future__ import annotations

import json
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from lab_side import cli
from lab_side.agent.health import control
from lab_side.agent.health.control import (
    DRAIN_FILE,
    ORDER_LIFE,
    PAUSE_FILE,
    ControlWatch,
    Drain,
    Pause,
    order_drain,
    pause,
    resume,
    standing_pause,
)
from lab_side.commands import control as commands
from segrelay.manifest import utc_now
from tests.support.command_line import Cli

NOT_NOW, USAGE = 75, 2
DEADLINE = 20.0


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEGRELAY_AGENT_ID", "lab-1")
    monkeypatch.setenv("SEGRELAY_WORK_DIR", str(tmp_path / "work"))
    monkeypatch.setattr(control, "POLL_EVERY", 0.01)
    return tmp_path / "work" / "lab-1"


@pytest.fixture
def lab(home: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


class Heard:
    """A watch, and what it has told."""

    def __init__(self, home: Path) -> None:
        self.pauses: list[Pause | None] = []
        self.drains: list[Drain] = []
        self.is_told = threading.Event()
        self.watch = ControlWatch(home, on_pause=self._pause, on_drain=self._drain)

    def _pause(self, pause: Pause | None) -> None:
        self.pauses.append(pause)
        self.is_told.set()

    def _drain(self, drain: Drain) -> None:
        self.drains.append(drain)
        self.is_told.set()


def test_a_pause_stands_until_it_is_taken_back(home: Path) -> None:
    order = Pause(at=utc_now(), reason="Kim trains")
    pause(home, order)
    assert standing_pause(home) == order
    heard = Heard(home)
    heard.watch.start()
    assert heard.pauses == [order], "known when start returns"
    heard.is_told.clear()
    assert resume(home)
    assert heard.is_told.wait(DEADLINE)
    assert heard.pauses == [order, None]
    heard.watch.close()
    assert not heard.watch.is_alive()
    assert not resume(home)


def test_a_pause_ends_by_itself(home: Path) -> None:
    heard = Heard(home)
    heard.watch.start()
    pause(home, Pause(at=utc_now(), until=utc_now() + timedelta(seconds=0.3)))
    while None not in heard.pauses:
        assert heard.is_told.wait(DEADLINE)
        heard.is_told.clear()
    assert [item is None for item in heard.pauses] == [False, True]
    assert standing_pause(home) is None
    heard.watch.close()


def test_a_drain_order_is_taken_away_and_an_old_one_not_obeyed(home: Path) -> None:
    heard = Heard(home)
    for at in (utc_now() - 2 * ORDER_LIFE, utc_now() + 2 * ORDER_LIFE):
        order_drain(home, Drain(at=at))
        heard.watch._poll()
        assert not (home / DRAIN_FILE).exists()
    assert heard.drains == []
    order_drain(home, Drain(at=utc_now(), cancel=True))
    heard.watch._poll()
    assert [order.cancel for order in heard.drains] == [True]
    assert not (home / DRAIN_FILE).exists()


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b'{"at": 1e99}', b'{"at": "2026-01-01T00:00:00"}', b"\xff" * 9000],
    ids=["empty", "torn", "list", "no-time", "no-zone", "long"],
)
def test_what_cannot_be_read_is_no_order(
    home: Path, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (home / PAUSE_FILE).parent.mkdir(parents=True)
    for name in (PAUSE_FILE, DRAIN_FILE):
        (home / name).write_bytes(data)
    heard = Heard(home)
    with caplog.at_level("WARNING", "segrelay"):
        for _ in range(3):
            heard.watch._poll()
    assert (heard.pauses, heard.drains) == ([], [])
    assert [record.getMessage() for record in caplog.records] == ["control file not read"] * 2
    assert standing_pause(home) is None


def test_a_folder_that_is_closed_to_the_agent_does_not_end_the_watch(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path) -> bool:
        raise PermissionError

    heard = Heard(home)
    monkeypatch.setattr(Path, "exists", refuse)
    monkeypatch.setattr(Path, "is_file", refuse)
    heard.watch._poll()
    assert (heard.pauses, heard.drains) == ([], [])


def test_pause_and_resume_by_command(lab: Cli, home: Path) -> None:
    assert "Paused: Kim trains, until 2100-01-01 12:00" in lab(
        "pause", "--reason", " Kim\n trains ", "--until", "2100-01-01T12:00"
    )
    found = json.loads((home / PAUSE_FILE).read_bytes())
    assert found["reason"] == "Kim trains"
    said = lab("status")
    assert "(Kim trains, until 2100-01-01 12:00" in said
    assert lab.json("status")["pause"]["reason"] == "Kim trains"
    assert lab("resume") == "Resumed.\n"
    assert lab("resume") == "It was not paused.\n"
    assert "Paused here" not in lab("status")


def test_a_time_of_day_is_the_next_one(lab: Cli, home: Path) -> None:
    minute_ago = datetime.now().astimezone() - timedelta(minutes=1)
    lab("pause", "--until", f"{minute_ago:%H:%M}")
    until = Pause.model_validate_json((home / PAUSE_FILE).read_bytes()).until
    assert until is not None
    assert until > utc_now()
    assert (until.hour, until.minute) == (minute_ago.hour, minute_ago.minute)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--until", "soon"),
        ("--until", "9999-12-31T23:59"),
        ("--until", "9999-12-31T23:59-10:00"),
        ("--until", "2020-01-01T12:00"),
        ("--reason", "x" * 201),
        ("--reason", "\x1b[2J"),
    ],
)
def test_wrong_words_are_refused(lab: Cli, option: str, value: str) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.run(["pause", option, value])
    assert caught.value.code == USAGE


def test_drain_where_nobody_hears_leaves_no_order(
    lab: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "PATIENCE", 0.1)
    assert "none runs" in lab("drain", code=NOT_NOW)
    assert not (home / DRAIN_FILE).exists()
