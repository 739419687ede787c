"""Telling the dead from the living on this host."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab_side.agent.health.identity import (
    START_TOLERANCE,
    NotAllowedError,
    Process,
    System,
    is_dead,
    is_gone,
    this_process,
    this_system,
)
from segrelay.queue import Identity


def test_this_process_lives() -> None:
    assert not is_dead(this_process())


@pytest.mark.process
def test_a_process_that_ended_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert is_dead(this_process().model_copy(update={"pid": child.pid}))


def test_a_pid_that_was_given_to_another_process_is_dead() -> None:
    me = this_process()
    earlier = {"pid_started": me.pid_started - 3600, "start_ticks": 1}
    assert is_dead(me.model_copy(update=earlier))


def test_another_hosts_process_is_never_judged() -> None:
    assert not is_dead(this_process().model_copy(update={"host": "elsewhere", "pid": 2**22}))


@pytest.mark.process
def test_a_process_that_nobody_has_buried_is_dead() -> None:
    """In a container without an init, a killed agent stays in the table of processes."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = psutil.Process(child.pid)
    corpse = this_process().model_copy(
        update={"pid": child.pid, "pid_started": process.create_time(), "start_ticks": None}
    )
    assert not is_dead(corpse)
    process.send_signal(signal.SIGKILL)
    while process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert is_dead(corpse)
    child.communicate()


def test_a_clock_that_was_set_changes_nothing() -> None:
    me = this_process()
    if me.start_ticks is None:
        pytest.skip("this system has no start time but that of the clock")
    assert not is_dead(me.model_copy(update={"pid_started": me.pid_started - 86400}))


def test_an_older_agent_that_does_not_say_where_it_runs_is_left_to_the_lease() -> None:
    old = Identity(instance="0" * 32, host=this_system().host, pid=2**22 + 1, pid_started=0.0)
    assert not is_dead(old)


def test_an_older_agent_reads_the_new_identity() -> None:
    document = json.loads(this_process().model_dump_json())
    assert {"instance", "host", "pid", "pid_started"} <= document.keys()


words = st.sampled_from(["", "a", "b"])
systems = st.builds(System, host=words, boot=words, pid_namespace=words)
processes = st.none() | st.builds(
    Process, started=st.floats(0, 10), start_ticks=st.none() | st.integers(0, 3)
)


@given(
    there=systems,
    here=systems,
    found=processes,
    hidden=st.booleans(),
    started=st.floats(0, 10),
    ticks=st.none() | st.integers(0, 3),
)
def test_only_a_process_of_the_same_system_is_judged(
    there: System,
    here: System,
    found: Process | None,
    hidden: bool,
    started: float,
    ticks: int | None,
) -> None:
    identity = Identity(
        instance="0" * 32, pid=7, pid_started=started, start_ticks=ticks, **vars(there)
    )
    asked: list[int] = []

    def find(pid: int) -> Process | None:
        asked.append(pid)
        if hidden:
            raise NotAllowedError
        return found

    gone = is_gone(identity, here, find)
    is_known = there == here and here.boot != "" and here.pid_namespace != ""
    assert asked == ([7] if is_known else [])
    if not is_known or hidden:
        assert not gone
    elif found is None:
        assert gone
    elif found.start_ticks is not None and ticks is not None:
        assert gone == (found.start_ticks != ticks)
    else:
        assert gone == (abs(found.started - started) > START_TOLERANCE)


def _elsewhere(program: str, *options: str) -> str:
    """What a Python program prints in a pid namespace of its own."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare here")
    command = ["unshare", "--pid", "--fork", "--kill-child", *options, sys.executable, "-c"]
    done = subprocess.run([*command, program], capture_output=True, text=True, check=False)
    if "unshare" in done.stderr and done.returncode:
        pytest.skip(f"no pid namespace can be made here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return done.stdout


_SHOW = (
    "from lab_side.agent.health.identity import this_process; "
    "print(this_process().model_dump_json())"
)


@pytest.mark.process
def test_two_containers_of_one_host_name_do_not_judge_each_other() -> None:
    ours = this_process()
    theirs = Identity.model_validate_json(_elsewhere(_SHOW, "--mount-proc"))
    assert (theirs.host, theirs.boot, theirs.pid) == (ours.host, ours.boot, 1)
    assert theirs.pid_namespace != ours.pid_namespace
    assert not is_dead(theirs), "it has ended, but nobody here can know that"
    judge = (
        "import sys; from lab_side.agent.health.identity import is_dead; "
        "from segrelay.queue import Identity; "
        f"print(is_dead(Identity.model_validate_json({ours.model_dump_json()!r})))"
    )
    assert _elsewhere(judge, "--mount-proc").strip() == "False"


@pytest.mark.process
def test_a_proc_of_another_namespace_tells_nothing() -> None:
    theirs = Identity.model_validate_json(_elsewhere(_SHOW))
    assert (theirs.boot, theirs.pid_namespace, theirs.start_ticks) == ("", "", None)
