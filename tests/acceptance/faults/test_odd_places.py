"""A real agent in places that its makers do not have: it works, or says what is missing."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra.servers.orthanc import OrthancServer
from segrelay.bucket.local import LocalBucket
from segrelay.queue import JobState, SiteQueue
from tests.support.lab.fast_lab import FastLab, attempts, events, open_fast_lab
from tests.support.lab.fast_queues import Queue
from tests.support.launcher import Launch
from tests.support.paths import ROOT

AGENT = "lab-1"
WORK_S = 1.5
SHORT_S = 3.0
"""How long a limit is in force: the agent looks at its queue a dozen times."""

NO_ACCOUNT = 54321
"""A user id that no passwd file knows."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may change the system's view")


@pytest.fixture
def lab(orthanc: OrthancServer, tmp_path: Path) -> Iterator[FastLab]:
    with open_fast_lab(orthanc, tmp_path, "directory") as lab:
        yield lab


def run_one(lab: FastLab) -> None:
    """Start an agent, and have one job done."""
    lab.start(AGENT)
    job = lab.submit()
    lab.wait_for(lambda: job.job_id in lab.results(), "the job ends")
    assert SiteQueue(lab.bucket).find(job).state is JobState.SUCCEEDED


@pytest.fixture(autouse=True)
def _signals_as_on_a_terminal() -> Iterator[None]:
    """A run of the tests in the background may ignore them, and so would what it starts."""
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGINT)}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_closed_terminal_drains_as_a_stop_does(lab: FastLab) -> None:
    lab.start(AGENT, Launch(work_s=WORK_S))
    job = lab.submit()
    lab.wait_for(lambda: "series fetched" in lab.log(AGENT).read_text(), "the job is in work")
    lab.agents[AGENT].send_signal(signal.SIGHUP)
    assert lab.agents[AGENT].wait(60) == 0
    assert SiteQueue(lab.bucket).find(job).state is JobState.SUCCEEDED


@pytest.mark.long
def test_under_nohup_a_closed_terminal_is_no_stop(lab: FastLab) -> None:
    lab.shell = ("sh", "-c", 'trap "" HUP; exec "$@"', "sh")
    lab.start(AGENT)
    lab.wait_for(lambda: lab.is_serving(AGENT), "the agent serves")
    lab.agents[AGENT].send_signal(signal.SIGHUP)
    run = lab.agents[AGENT]
    time.sleep(1)
    assert run.poll() is None


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        (resource.RLIMIT_NOFILE, 3),
        pytest.param(resource.RLIMIT_FSIZE, 10, marks=pytest.mark.long),
    ],
)
def test_a_limit_of_the_system_is_named_and_costs_no_job_an_attempt(
    lab: FastLab, limit: int, value: int
) -> None:
    lab.start(AGENT)
    lab.wait_for(lambda: lab.is_serving(AGENT), "the agent serves")
    process = psutil.Process(lab.agents[AGENT].pid)
    before = process.rlimit(limit)
    process.rlimit(limit, (value, before[1]))
    job = lab.submit()
    time.sleep(SHORT_S)
    process.rlimit(limit, before)
    lab.wait_for(lambda: job.job_id in lab.results(), "the job ends")
    assert SiteQueue(lab.bucket).find(job).state is JobState.SUCCEEDED
    assert [record for record in attempts(lab, job) if record.code != "limit-reached"] == []
    lab.wait_until_settled()
    codes = {item["code"] for item in events(lab) if item.get("level") in ("warning", "error")}
    # Where files may not grow, the log does not either.
    assert codes <= {"limit-reached"}
    assert codes or limit == resource.RLIMIT_FSIZE


@pytest.mark.long
@pytest.mark.parametrize(
    "line", ['exec "$@" <&- >&- 2>&-', 'exec "$@" >/dev/full 2>/dev/full', 'exec "$@" 2>&1 | true']
)
def test_without_an_output_the_agent_serves(lab: FastLab, line: str) -> None:
    lab.shell = ("bash", "-c", line, "bash")
    run_one(lab)


@pytest.mark.long
@pytest.mark.parametrize(
    "surroundings",
    [
        {"PYTHONIOENCODING": "cp949"},
        {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        {"TMPDIR": "/nonexistent", "HOME": "/nonexistent"},
    ],
)
def test_names_in_korean_and_with_signs(
    lab: FastLab, tmp_path: Path, surroundings: dict[str, str]
) -> None:
    bucket = LocalBucket(tmp_path / "큐 #1? 100%")
    lab.queue = Queue(address=bucket.describe(), bucket=bucket)
    lab.work_dirs[AGENT] = tmp_path / "작업 폴더 #1"
    lab.surroundings = surroundings
    run_one(lab)
    text = next((lab.home(AGENT) / "logs").glob("*.log")).read_bytes().decode()
    assert "Listening for jobs" in text


@pytest.mark.long
@pytest.mark.parametrize("umask", ["000", "077"])
def test_whatever_the_umask(lab: FastLab, umask: str) -> None:
    lab.shell = ("sh", "-c", f'umask {umask}; exec "$@"', "sh")
    run_one(lab)
    assert lab.home(AGENT).stat().st_mode & 0o077 == 0


@needs_root
@pytest.mark.long
@pytest.mark.parametrize(
    "mounts",
    [
        "mount -t tmpfs none /proc",
        "mount -t tmpfs -o ro none /dev/shm",
    ],
)
def test_without_a_part_of_the_system(lab: FastLab, mounts: str) -> None:
    lab.shell = ("unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh")
    tried = subprocess.run(["unshare", "--mount", "sh", "-c", mounts], check=False)
    if tried.returncode != 0:
        pytest.skip("no namespace of mounts can be made here")
    run_one(lab)


def other_interpreter() -> str:
    """One of this version that every account may execute."""
    name = f"python3.{sys.version_info.minor}"
    for path in (f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        if os.path.exists(path):
            return path
    pytest.skip(f"no {name} here that every account may execute")


def open_to_others(folder: Path) -> None:
    """This folder, and those of pytest's own around it."""
    for place in (folder, *folder.parents):
        if place == folder or place.name.startswith(("pytest-", "popen-")):
            place.chmod(0o755)


def as_nobody(folder: Path, *arguments: str, home: str | None) -> subprocess.CompletedProcess[str]:
    """``lab-agent`` as a user id without an account."""
    packages = [path for path in sys.path if path.endswith("site-packages")]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "common"), *packages]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "SEGRELAY_BUCKET": (folder / "queue").as_uri(),
        "SEGRELAY_WORK_DIR": str(folder / "work"),
        "SEGRELAY_AGENT_ID": AGENT,
        "SEGRELAY_ORTHANC_URL": "http://127.0.0.1:9",
        "SEGRELAY_DEVICE": "cpu",
        **({} if home is None else {"HOME": home}),
    }
    return subprocess.run(
        [other_interpreter(), "-m", "lab_side", *arguments],
        env=environment,
        cwd="/",
        user=NO_ACCOUNT,
        group=NO_ACCOUNT,
        extra_groups=[],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


@needs_root
@pytest.mark.parametrize(
    "home",
    [
        None,
        pytest.param("/", marks=pytest.mark.long),
        pytest.param("/nonexistent", marks=pytest.mark.long),
    ],
)
def test_a_user_id_without_an_account(tmp_path: Path, home: str | None) -> None:
    open_to_others(tmp_path)
    tmp_path.chmod(0o777)
    status = as_nobody(tmp_path, "status", home=home)
    assert (status.returncode, status.stderr) == (0, ""), status.stderr
    setup = as_nobody(tmp_path, "setup", "--bucket", str(tmp_path / "queue"), home=home)
    assert setup.returncode == 78
    assert "report this line" not in setup.stderr
    assert "Traceback" not in setup.stderr


@needs_root
@pytest.mark.long
def test_the_worker_of_a_user_id_without_an_account(tmp_path: Path) -> None:
    open_to_others(tmp_path)
    tmp_path.chmod(0o777)
    checked = as_nobody(tmp_path, "profile", "check", "demo", home="/nonexistent")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.startswith("OK")


def test_an_interrupt_while_modules_are_loaded_leaves_no_trace() -> None:
    program = (
        "import os, signal, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'lab_side.settings.config': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from lab_side.start import main\n"
        "main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "status"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")


@pytest.mark.long
def test_a_command_of_a_service_without_a_terminal_is_json(lab: FastLab) -> None:
    lab.surroundings = {"PYTHONIOENCODING": "cp437"}
    run_one(lab)
    for line in lab.log(AGENT).read_text(encoding="ascii").splitlines():
        assert isinstance(json.loads(line), dict)
