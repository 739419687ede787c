"""A stage thread that a limit of the computer stops outside of any job."""

from __future__ import annotations

import errno
import os
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab_side.agent.pipeline import Pipeline
from segrelay.errors import AttemptFailedError, SegRelayError


def run_stage(monkeypatch: pytest.MonkeyPatch, errors: list[Exception]) -> list[SegRelayError]:
    """Run a stage that raises these one after the other, then ends; returns what was fatal."""
    monkeypatch.setattr("lab_side.agent.pipeline.STORE_RETRY", (0.0, 0.0))
    cancelled, fatal = threading.Event(), list[SegRelayError]()

    def stage() -> None:
        if errors:
            raise errors.pop(0)
        cancelled.set()

    pipeline = SimpleNamespace(_cancelled=cancelled, _on_fatal=fatal.append)
    Pipeline._run_stage(cast(Any, pipeline), stage)
    return fatal


def test_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[Exception] = [
        OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
        RuntimeError("can't start new thread"),
        MemoryError(),
    ]
    assert run_stage(monkeypatch, limits) == []
    assert limits == []


def test_a_bug_ends_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    (died,) = run_stage(monkeypatch, [KeyError("x"), KeyError("never reached")])
    assert isinstance(died, AttemptFailedError)
    assert died.code == "stage-died"
