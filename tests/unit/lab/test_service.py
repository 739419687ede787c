"""The agent as a service: its unit, as systemd itself judges it, and how it is installed."""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab_side.service import systemd
from lab_side.service.notify import VARIABLE, ServiceManager
from lab_side.service.systemd import GOOGLE_KEY, Systemd
from lab_side.settings.config import SERVICE_NAME
from lab_side.settings.loading import load_config
from lab_side.settings.secrets import EVERY_SECRET, PASSWORD, keep_in_folder
from lab_side.settings.sources import VARIABLES
from segrelay.errors import FixConfigurationError
from tests.support.command_line import Cli

NAME = f"{SERVICE_NAME}.service"
WORST_EXPOSURE = 2.5
NOT_NOW, CONFIGURATION = 75, 78

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze here (package systemd)"
)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in [*VARIABLES, "SEGRELAY_PROFILES"]:
        monkeypatch.delenv(variable, raising=False)
    for name in (*(p.variable for p in EVERY_SECRET), "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(systemd, "UNIT_FOLDER", tmp_path / "units")
    (tmp_path / "units").mkdir()


def write_config(folder: Path, **changes: str) -> Path:
    """Settings with a password in a private file."""
    settings = {
        "bucket": "gs://hospital/queue",
        "agent_id": "lab-1",
        "work_dir": str(folder / "work"),
        "credentials_dir": str(folder / "credentials"),
        **changes,
    }
    keep_in_folder(folder / "credentials", PASSWORD.credential, "hunter2")
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    lines += ["[orthanc]", 'url = "https://orthanc.example.org"', 'user = "lab"']
    path = folder / "agent.toml"
    path.write_text("\n".join(lines))
    return path


def unit_text(path: Path, **environment: str) -> str:
    config = load_config(path, {})
    return Systemd(config.service_name).register(config, path, "segrelay", environment).text()


@pytest.fixture(params=["plain", "odd words", "in a home"])
def unit_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The unit of several installations."""
    folder = tmp_path / 'od%d "name"' if request.param == "odd words" else tmp_path
    folder.mkdir(exist_ok=True)
    work = "/home/lab/work" if request.param == "in a home" else str(folder / "work")
    key = {} if request.param == "plain" else {"GOOGLE_APPLICATION_CREDENTIALS": "/etc/key.json"}
    text = unit_text(write_config(folder, work_dir=work), **key)
    path = tmp_path / NAME
    path.write_text(text)
    return path


@needs_systemd
@pytest.mark.process
def test_systemd_has_nothing_to_say_against_the_unit(unit_file: Path) -> None:
    """Its exit code is 0 for a misspelt key: what counts is that it is silent."""
    done = analyze("verify", str(unit_file))
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
    unit_file.write_text(unit_file.read_text().replace("LockPersonality", "LockPersonalty"))
    assert "LockPersonalty" in analyze("verify", str(unit_file)).stderr


@needs_systemd
@pytest.mark.process
def test_the_unit_is_confined_and_the_gpu_is_not(unit_file: Path) -> None:
    done = analyze("security", "--offline=true", str(unit_file))
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert found is not None, done
    assert float(found[1]) <= WORST_EXPOSURE
    rows = {row["json_field"]: row for row in security_table(unit_file)}
    assert "char-nvidia:rw" in rows["DeviceAllow"]["description"]
    assert rows["PrivateDevices"]["set"] is False
    assert rows["NoNewPrivileges"]["set"] is True


def security_table(unit_file: Path) -> list[dict[str, Any]]:
    done = analyze("security", "--offline=true", "--json=short", str(unit_file))
    table: list[dict[str, Any]] = json.loads(done.stdout)
    return table


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SYSTEMD_COLORS": "0", "COLUMNS": "200"}
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def test_the_unit_holds_no_secret_and_gives_the_agent_its_files(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    text = unit_text(path, GOOGLE_APPLICATION_CREDENTIALS="/etc/key.json")
    assert "hunter2" not in text
    assert f"LoadCredential=agent.toml:{path}" in text
    assert f"LoadCredential=orthanc-password:{tmp_path}/credentials/orthanc-password" in text
    assert f"LoadCredential={GOOGLE_KEY}:/etc/key.json" in text
    assert "orthanc-token" not in text, "there is no such file"
    assert f"ReadWritePaths={tmp_path}/work\n" in text
    assert "TimeoutStopSec=720\n" in text
    assert "RestartPreventExitStatus=2 78" in text


def test_a_queue_in_a_directory_may_be_written(tmp_path: Path) -> None:
    text = unit_text(write_config(tmp_path, bucket=(tmp_path / "queue").as_uri()))
    assert f"ReadWritePaths={tmp_path}/work {tmp_path}/queue\n" in text
    text = unit_text(write_config(tmp_path, log_dir=str(tmp_path / "log")))
    assert f"ReadWritePaths={tmp_path}/work {tmp_path}/log\n" in text
    assert "GOOGLE" not in text


def test_under_systemd_the_folder_of_secrets_is_not_looked_into(tmp_path: Path) -> None:
    """The service's account may not even open it."""
    path = write_config(tmp_path, credentials_dir=str(tmp_path / "closed"))
    given = tmp_path / "given"
    keep_in_folder(given, PASSWORD.credential, "from-systemd")
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "orthanc-token").mkdir()
    config = load_config(path, {"CREDENTIALS_DIRECTORY": str(given)})
    assert config.orthanc.password.get_secret_value() == "from-systemd"
    assert config.credentials_dir == tmp_path / "closed"


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ``systemctl`` that notes what it is told, and root's rights as far as they are asked."""
    log = tmp_path / "calls"
    programs = tmp_path / "programs"
    programs.mkdir()
    script = programs / "systemctl"
    script.write_text(
        f'#!/bin/sh\necho "$@" >>{log}\n[ "$1" = is-active ] && echo active\n'
        '[ "$1" = fail ] && { echo "Unit is masked." >&2; exit 1; }\nexit 0\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return log


@pytest.mark.process
def test_install_start_status_stop_uninstall(
    tmp_path: Path, calls: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = Cli(capsys)
    path = write_config(tmp_path)
    assert "No service is installed." in lab("service", "status", code=NOT_NOW)
    lab("service", "start", code=CONFIGURATION)
    assert "service-missing" in lab.said.err
    said = lab("--config", str(path), "service", "install", "--user", getpass.getuser())
    unit = tmp_path / "units" / NAME
    assert str(unit) in said
    assert f"User={getpass.getuser()}" in unit.read_text()
    assert (tmp_path / "work").is_dir()
    lab("service", "start")
    assert "The service is active" in lab("service", "status")
    lab("service", "stop")
    assert "It is removed" in lab("service", "uninstall")
    assert not unit.exists()
    assert "None is installed." in lab("service", "uninstall")
    assert calls.read_text().splitlines() == [
        "daemon-reload",
        f"enable {NAME}",
        f"start --no-block {NAME}",
        f"is-active {NAME}",
        f"stop {NAME}",
        f"disable --now {NAME}",
        "daemon-reload",
    ]
    assert "hunter2" not in lab.said.out + lab.said.err


@pytest.mark.process
def test_each_agent_of_a_computer_is_a_service_of_its_own(
    tmp_path: Path, calls: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = Cli(capsys)
    paths = {}
    for name in (SERVICE_NAME, "second-gpu"):
        (tmp_path / name).mkdir()
        paths[name] = str(write_config(tmp_path / name, agent_id=name, service_name=name))
        lab("--config", paths[name], "service", "install", "--user", getpass.getuser())
    lab("--config", paths["second-gpu"], "service", "start")
    lab("--config", paths["second-gpu"], "service", "uninstall")
    units = [path.name for path in (tmp_path / "units").iterdir()]
    assert units == [NAME]
    lab("service", "stop")
    told = calls.read_text().splitlines()
    assert [line for line in told if line != "daemon-reload"] == [
        f"enable {NAME}",
        "enable second-gpu.service",
        "start --no-block second-gpu.service",
        "disable --now second-gpu.service",
        f"stop {NAME}",
    ]
    wrong = write_config(tmp_path, service_name="../evil")
    lab("--config", str(wrong), "service", "status", code=CONFIGURATION)
    assert "service_name" in lab.said.err


def test_printing_installs_nothing(
    tmp_path: Path, calls: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = Cli(capsys)
    said = lab("--config", str(write_config(tmp_path)), "service", "install", "--print")
    assert "Type=notify" in said
    assert not calls.exists()
    assert list((tmp_path / "units").iterdir()) == []
    assert not (tmp_path / "work").exists()


def test_what_stands_in_the_way_is_said(
    tmp_path: Path,
    calls: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lab = Cli(capsys)
    path = write_config(tmp_path)
    lab("service", "install", code=CONFIGURATION)
    assert "service-no-file" in lab.said.err
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    lab("--config", str(path), "service", "install", code=CONFIGURATION)
    assert "sudo" in lab.said.err
    monkeypatch.setenv("PATH", str(tmp_path))
    lab("--config", str(path), "service", "install", code=CONFIGURATION)
    assert "service-no-systemd" in lab.said.err


@pytest.mark.process
def test_the_managers_words_are_passed_on(calls: Path) -> None:
    with pytest.raises(FixConfigurationError) as caught:
        Systemd(SERVICE_NAME).call("fail")
    assert "Unit is masked." in caught.value.message


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_hears(tmp_path: Path, abstract: bool) -> None:
    name = f"segrelay-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(f"\0{name}" if abstract else name)
        line.settimeout(20)
        manager = ServiceManager({VARIABLE: f"@{name}" if abstract else name})
        manager.ready()
        manager.alive("waiting: two\nlines")
        manager.stopping()
        said = [line.recv(4096).decode().splitlines() for _ in range(3)]
    assert [lines[0] for lines in said] == ["READY=1", "WATCHDOG=1", "STOPPING=1"]
    assert said[1][1] == "STATUS=waiting: two lines"


def test_without_a_service_manager_nothing_is_said(tmp_path: Path) -> None:
    ServiceManager({}).ready()
    ServiceManager({VARIABLE: str(tmp_path / "nobody")}).alive("listening")
