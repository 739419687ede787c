"""A pytest plug-in for ``infra/test --quick``: a test that starts a process fails.

Tests that do so on purpose carry the mark ``process`` and are left out by that run.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NoReturn

import pytest

EVENTS = {"os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "subprocess.Popen"}
"""Audit events of CPython before a process starts."""

HARMLESS = frozenset({"ldconfig", "gcc", "ld"})
"""The standard library asks them where a library is (``ctypes.util``), in whichever test is
first."""

_started: list[str] = []
_is_testing = False


class ProcessStartedError(Exception):
    """A test that does not carry the mark ``process`` starts one."""


def pytest_configure() -> None:
    """Watch this process; ``multiprocessing`` raises no event of its own."""
    sys.addaudithook(_hear)
    BaseProcess.start = _start  # type: ignore[assignment,method-assign]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, Any, Any]:
    """Watch while a test runs, and not while pytest starts its own processes."""
    global _is_testing
    _is_testing = True
    # Of a fixture of the test before.
    _started.clear()
    try:
        return (yield)
    finally:
        _is_testing = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, Any, Any]:
    """Fail the test also where the code under test has swallowed the error."""
    result = yield
    if _started:
        started = _started.pop()
        _started.clear()
        raise ProcessStartedError(started)
    return result


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _is_testing and event in EVENTS and Path(str(arguments[0])).name not in HARMLESS:
        _refuse(f"{event} {arguments[:2]}")


def _start(process: BaseProcess) -> None:
    _refuse(repr(process))


def _refuse(what: str) -> NoReturn:
    _started.append(what)
    raise ProcessStartedError(f"{what}: mark the test 'process'")
