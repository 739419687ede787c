"""Telling the dead from the living on this host."""

from __future__ import annotations

import subprocess
import sys

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
