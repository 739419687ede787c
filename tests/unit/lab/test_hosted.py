"""The agent inside a service of Windows, as far as it is the same everywhere."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from lab_side.service.hosted import HostedAgent, Watchdog
from lab_side.service.notify import ServiceManager
from lab_side.service.windows import WindowsService
from lab_side.settings.loading import load_config
from lab_side.settings.secrets import PASSWORD, keep_in_folder
from segrelay.errors import LeaseLostError

HANG_LIMIT = 60.0
NOBODY = ServiceManager({})


class FakeAgent:
    """Runs until it is stopped so often, or ends with an error."""

    def __init__(self, ends: Exception | None = None, *, after: int = 0) -> None:
        self.ends = ends
        self.after = after
        self.stops = 0
        self.is_stopped = threading.Event()

    def run(self) -> None:
        if self.ends is not None:
            raise self.ends
        assert not self.after or self.is_stopped.wait(HANG_LIMIT)

    def stop(self) -> None:
        self.stops += 1
        if self.stops == self.after:
            self.is_stopped.set()


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    keep_in_folder(tmp_path / "credentials", PASSWORD.credential, "hunter2")
    path = tmp_path / "agent.toml"
    path.write_text(
        f"bucket = '{(tmp_path / 'queue').as_uri()}'\nagent_id = 'lab-1'\n"
        f"work_dir = '{tmp_path / 'work'}'\ncredentials_dir = '{tmp_path / 'credentials'}'\n"
        "[orthanc]\nurl = 'https://orthanc.example.org'\nuser = 'lab'\n"
    )
    return path


def host(
    monkeypatch: pytest.MonkeyPatch, settings: Path, agent: FakeAgent
) -> tuple[HostedAgent, list[str]]:
    told: list[str] = []
    monkeypatch.setattr("lab_side.cli.open_agent", lambda _config, _supervisor: agent)
    return HostedAgent(settings, NOBODY, told.append), told


def test_an_orderly_end_has_nothing_to_tell(
    monkeypatch: pytest.MonkeyPatch, settings: Path
) -> None:
    made, told = host(monkeypatch, settings, FakeAgent())
    assert (made.run(), told) == (0, [])


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (LeaseLostError("Another process took over agent id lab-1."), 75, "[lease-lost]"),
        (ValueError("hunter2"), 70, "Unexpected ValueError at test_hosted.py:"),
    ],
)
def test_why_it_has_ended_is_told(
    monkeypatch: pytest.MonkeyPatch, settings: Path, error: Exception, code: int, words: str
) -> None:
    made, told = host(monkeypatch, settings, FakeAgent(error))
    assert made.run() == code
    assert len(told) == 1
    assert words in told[0]
    assert "hunter2" not in told[0]


def test_wrong_settings_are_told_with_their_remedy(tmp_path: Path) -> None:
    told: list[str] = []
    assert HostedAgent(tmp_path / "none.toml", NOBODY, told.append).run() == 78
    assert "cannot be read" in told[0]
    assert "--config" in told[0]


def test_a_stop_that_comes_before_the_agent_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, settings: Path
) -> None:
    agent = FakeAgent(after=2)
    made, _ = host(monkeypatch, settings, agent)
    made.stop()
    made.stop()
    assert made.run() == 0
    assert agent.stops == 2


def test_a_stop_while_it_runs(monkeypatch: pytest.MonkeyPatch, settings: Path) -> None:
    agent = FakeAgent(after=1)
    made, _ = host(monkeypatch, settings, agent)
    thread = threading.Thread(target=made.run)
    thread.start()
    made.stop()
    thread.join(HANG_LIMIT)
    assert not thread.is_alive()


def test_silence_is_a_hang_once_the_agent_was_ready() -> None:
    is_silent = threading.Event()
    watchdog = Watchdog(is_silent.set, limit_s=0.1)
    assert not is_silent.is_set(), "before, models are loaded"
    watchdog.ready()
    assert is_silent.wait(HANG_LIMIT)


def test_who_is_heard_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("lab_side.service.hosted.time.monotonic", lambda: now)
    called: list[bool] = []
    watchdog = Watchdog(lambda: called.append(True), limit_s=10.0)
    now += 9.0
    watchdog.alive("listening")
    now += 9.0
    watchdog.stopping()
    now += 9.0
    assert not watchdog.is_silent()
    now += 2.0
    assert watchdog.is_silent()
    watchdog.close()
    watchdog.ready()
    watchdog._thread.join(HANG_LIMIT)
    assert called == []


def test_what_windows_is_given(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "_base_executable", "/base/python.exe", raising=False)
    config = load_config(settings, {}).model_copy(update={"bucket": "gs://hospital/queue"})
    key = {"GOOGLE_APPLICATION_CREDENTIALS": "/keys/gcs.json", "OTHER": "x"}
    agent = WindowsService("second")
    service = agent.register(config, settings, agent.default_user, key)
    assert service.command == (
        f"/base/python.exe -m lab_side.service.windows_host --config {settings} --name second"
    )
    assert service.environment == {
        "__PYVENV_LAUNCHER__": sys.executable,
        "GOOGLE_APPLICATION_CREDENTIALS": "/keys/gcs.json",
    }
    assert service.secrets == settings.parent / "credentials"
    assert Path("/keys/gcs.json") in service.readable
    text = service.text()
    assert "hunter2" not in text
    for words in (service.command, r"NT SERVICE\second", "0, 60, 60 s", "180 s", "schtasks"):
        assert words in text


def test_an_interpreter_of_its_own_needs_no_launcher(
    settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "_base_executable", sys.executable, raising=False)
    service = WindowsService("second").register(load_config(settings, {}), settings, "lab", {})
    assert service.environment == {}
    assert service.program == sys.executable
    assert settings.parent / "queue" in service.writable
