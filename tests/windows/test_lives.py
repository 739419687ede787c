"""Agents on Windows that are killed at any moment, and one that Windows itself runs."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.servers.orthanc import OrthancServer
from segrelay import names
from segrelay.names import JobName
from tests.conftest import SEED, Tell
from tests.support.lab.fast_lab import check_once, store_small_study
from tests.support.lab.fast_queues import directory_queue
from tests.support.lab.windows import Windows, in_windows
from tests.support.lab.windows_lab import WindowsLab
from tests.support.servers.orthanc import orthanc as orthanc

pytestmark = pytest.mark.long

KILLS = 50
LONGEST_LIFE_S, LONGEST_JOB_S = 3.0, 4.0
"""From the start, or from the first job, to the kill: at random, at most."""

AT_WORK = 0.8
"""Share of the kills that wait until the agent owns a job."""

MOST_WAITING = 4
NOT_NOW = 75


@pytest.fixture
def lab(windows: Windows, orthanc: OrthancServer, tmp_path: Path) -> Iterator[WindowsLab]:
    study = store_small_study(orthanc, tmp_path / "study")
    with directory_queue(tmp_path / "queue") as queue:
        lab = WindowsLab(
            windows=windows, orthanc=orthanc, folder=tmp_path, study=study, queue=queue
        )
        try:
            yield lab
        finally:
            lab.stop_all()


def test_i1_i2_i3_kills_at_random_moments(lab: WindowsLab, tell: Tell) -> None:
    chance = random.Random(f"{SEED} windows")
    jobs: list[JobName] = []
    seen: dict[str, bytes] = {}
    owned = f"{names.CLAIMED}lab-1/"

    def keep_coming() -> None:
        nonlocal seen
        seen = seen | lab.results(besides=seen)
        while len(jobs) - len(seen) < MOST_WAITING:
            jobs.append(lab.submit())

    def is_at_work() -> bool:
        keep_coming()
        assert lab.agents["lab-1"].poll() is None, "it has ended by itself"
        return lab.is_serving("lab-1") and any(name.startswith(owned) for name in lab.live())

    for _ in range(KILLS):
        lab.start()
        if chance.random() < AT_WORK:
            lab.wait_for(is_at_work, "the agent is at work")
            _let_pass(lab, chance.uniform(0, LONGEST_JOB_S))
        else:
            _let_pass(lab, chance.uniform(0, LONGEST_LIFE_S))
        lab.kill()
        lab.check_outbox("lab-1")
    lab.start()
    lab.wait_until_settled()
    check_once(lab, jobs, seen)
    tell(f"{KILLS} kills on Windows, {len(jobs)} jobs, none lost")


def _let_pass(lab: WindowsLab, seconds: float) -> None:
    """So long, or until the agent ends by itself."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        lab.agents["lab-1"].wait(seconds)


def test_a_service_is_installed_works_drains_and_is_removed(lab: WindowsLab) -> None:
    config = _write_config(lab)

    def service(*arguments: str, code: int = 0) -> str:
        options = ("-m", "lab_side.cli", "--config", in_windows(config), "service")
        done = lab.windows.run(*options, *arguments, check=False)
        assert done.returncode == code, done.stdout
        return done.stdout

    assert "No service is installed." in service("status", code=NOT_NOW)
    assert "Written: segrelay-agent" in service("install")
    # Again, as after a change of the settings.
    assert "Written: segrelay-agent" in service("install")
    service("start")
    lab.wait_for(lambda: lab.is_serving("lab-1"), "the service looks for jobs")
    assert "The service is active" in service("status")
    jobs = [lab.submit() for _ in range(3)]
    lab.wait_until_settled()
    check_once(lab, jobs, {})
    jobs += [lab.submit() for _ in range(3)]
    lab.wait_for(lambda: any(names.CLAIMED in name for name in lab.live()), "it is at work")
    assert "It is stopped." in service("stop")
    assert not any(name.startswith(names.CLAIMED) for name in lab.live())
    assert "The service is inactive" in service("status", code=NOT_NOW)
    said = [line["event"] for line in _log(lab)]
    assert said.index("Listening for jobs") < said.index("drain started") < said.index("stopped")
    service("start")
    lab.wait_until_settled()
    check_once(lab, jobs, {})
    assert "It is removed" in service("uninstall")
    assert "None is installed." in service("uninstall")


def test_a_service_with_a_wrong_setting_has_failed_and_is_left_alone(lab: WindowsLab) -> None:
    config = _write_config(lab)
    config.write_text(config.read_text() + "\n[trust]\nsite_keys = ['nonsense']\n")
    options = ("-m", "lab_side.cli", "--config", in_windows(config), "service")
    lab.windows.run(*options, "install")
    lab.windows.run(*options, "start")

    def has_failed() -> bool:
        return "is failed" in lab.windows.run(*options, "status", check=False).stdout

    lab.wait_for(has_failed, "the service has failed")
    queried = lab.windows.wine("sc", "query", "segrelay-agent").stdout
    assert "STOPPED" in queried, queried
    assert "(0x4e)" in queried, "exit code 78 as the service's own"
    lab.windows.run(*options, "uninstall")


def _write_config(lab: WindowsLab) -> Path:
    path = lab.folder / "service.toml"
    credentials = lab.folder / "credentials"
    credentials.mkdir()
    (credentials / "orthanc-password").write_text(lab.orthanc.password)
    path.write_text(
        f"bucket = 'file:///Z:{lab.folder / 'queue'}'\nagent_id = 'lab-1'\n"
        f"work_dir = '{in_windows(lab.folder / 'work')}'\n"
        f"credentials_dir = '{in_windows(credentials)}'\n"
        f"poll_seconds = 0.2\nmin_free_gb = 0\n[orthanc]\n"
        f"url = '{lab.orthanc.url}'\nuser = '{lab.orthanc.user}'\n"
    )
    return path


def _log(lab: WindowsLab) -> list[dict[str, object]]:
    text = (lab.home("lab-1") / "logs" / "lab-1.log").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
