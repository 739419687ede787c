"""Nothing that was started is left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from infra.servers.processes import ProcessSet, stop_process

WAIT_LIMIT_S = 30.0

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""

PARENT_WITH_DETACHED_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                         start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""

STARTER = """
import sys, time
from pathlib import Path
from infra.servers.processes import ProcessSet, exit_on_termination
exit_on_termination()
with ProcessSet() as processes:
    child = processes.start("sleeper", [sys.executable, "-c", "import time; time.sleep(600)"],
                            log=Path(sys.argv[1]))
    print(child.process.pid, flush=True)
    time.sleep(600)
"""


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.process
def test_leaving_the_block_ends_every_child(tmp_path: Path) -> None:
    with ProcessSet() as processes:
        children = [
            processes.start(str(n), [sys.executable, "-c", "input()"], log=tmp_path / str(n))
            for n in range(2)
        ]
        sleeper = processes.start("sleep", ["sleep", "600"], log=tmp_path / "sleep")
    assert all(child.process.poll() is not None for child in [*children, sleeper])


@pytest.mark.process
def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    with ProcessSet() as processes:
        child = processes.start("stubborn", [sys.executable, "-c", STUBBORN], log=tmp_path / "log")
        wait_for(child.log_tail)
        stop_process(child.process, grace_s=0.1)
    assert child.process.returncode == -signal.SIGKILL


@pytest.mark.process
def test_a_grandchild_in_a_session_of_its_own_is_killed(tmp_path: Path) -> None:
    with ProcessSet() as processes:
        child = processes.start(
            "parent", [sys.executable, "-c", PARENT_WITH_DETACHED_CHILD], log=tmp_path / "log"
        )
        wait_for(child.log_tail)
        grandchild = int(child.log_tail())
        assert not is_gone(grandchild)
    assert is_gone(grandchild)


@pytest.mark.process
def test_a_child_that_ended_by_itself_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with ProcessSet() as processes:
        command = [sys.executable, "-c", "print('bad setting'); raise SystemExit(3)"]
        child = processes.start("short", command, log=tmp_path / "log")
        child.process.wait()
        assert processes.dead() == [child]
        assert child.log_tail() == "bad setting"


@pytest.mark.process
def test_secrets_reach_a_child_by_its_environment(tmp_path: Path) -> None:
    with ProcessSet() as processes:
        command = [sys.executable, "-c", "import os; print(os.environ['WORD'])"]
        child = processes.start(
            "reader", command, log=tmp_path / "log", environment={"WORD": "open sesame"}
        )
        child.process.wait()
    assert child.log_tail() == "open sesame"


@pytest.mark.process
def test_sigterm_and_ctrl_c_of_the_starter_end_its_children(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        starter = subprocess.Popen(
            [sys.executable, "-c", STARTER, str(tmp_path / "log")],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert starter.stdout is not None
        with starter.stdout as output:
            child = int(output.readline())
        starter.send_signal(number)
        assert starter.wait(WAIT_LIMIT_S) != 0
        assert is_gone(child)
