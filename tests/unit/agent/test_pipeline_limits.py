"""A stage thread that a limit of the computer stops outside of any job."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab_side.agent.health.signals import Signals
from lab_side.agent.pipeline import Pipeline
from segrelay import retry
from segrelay.errors import AttemptFailedError, SegRelayError


def run_stage(monkeypatch: pytest.MonkeyPatch, errors: list[Exception]) -> SegRelayError | None:
    """Run a stage that raises these one after the other, then ends; returns what was fatal."""
    monkeypatch.setattr(retry, "STORE_WRITE", retry.RetryPolicy(first=0))
    signals = Signals()

    def stage() -> None:
        if errors:
            raise errors.pop(0)
        signals.cancelled.set()

    Pipeline._run_stage(cast(Any, SimpleNamespace(_signals=signals)), stage)
    return signals.fatal


def test_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[Exception] = [
        OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
        RuntimeError("can't start new thread"),
        MemoryError(),
    ]
    assert run_stage(monkeypatch, limits) is None
    assert limits == []


def test_a_bug_ends_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    died = run_stage(monkeypatch, [KeyError("x"), KeyError("never reached")])
    assert isinstance(died, AttemptFailedError)
    assert died.code == "stage-died"
