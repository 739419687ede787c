"""Telling the dead from the living on this host."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import psutil

from lab_side.agent.identity import is_dead, this_process


def test_this_process_lives() -> None:
    assert not is_dead(this_process())


def test_a_process_that_ended_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert is_dead(this_process().model_copy(update={"pid": child.pid}))


def test_a_pid_that_was_given_to_another_process_is_dead() -> None:
    me = this_process()
    assert is_dead(me.model_copy(update={"pid_started": me.pid_started - 3600}))


def test_another_hosts_process_is_never_judged() -> None:
    assert not is_dead(this_process().model_copy(update={"host": "elsewhere", "pid": 2**22}))


def test_a_process_that_nobody_has_buried_is_dead() -> None:
    """In a container without an init, a killed agent stays in the table of processes."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = psutil.Process(child.pid)
    corpse = this_process().model_copy(
        update={"pid": child.pid, "pid_started": process.create_time()}
    )
    assert not is_dead(corpse)
    process.send_signal(signal.SIGKILL)
    while process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert is_dead(corpse)
    child.communicate()
