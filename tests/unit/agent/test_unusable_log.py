"""What is passed over is logged once while it is there, and not without end."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from lab_side.agent.reporting.unusable_log import MOST_NAMED, UnusableObjectLog
from segrelay.queue.unusable import UnusableObject


def odd(*numbers: int) -> list[UnusableObject]:
    return [UnusableObject(name=f"v1/jobs/pending/{number}", why="odd") for number in numbers]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def note(_logger: logging.Logger, level: int, text: str, **more: Any) -> None:
        found.append({"level": level, "event": text, **more})

    monkeypatch.setattr("lab_side.agent.reporting.unusable_log.log_event", note)
    return found


def test_an_object_is_logged_once_while_it_is_there(lines: list[dict[str, Any]]) -> None:
    log = UnusableObjectLog()
    for _ in range(5):
        log.update(odd(1))
    assert len(lines) == 1
    log.update([])
    log.update(odd(1))
    assert len(lines) == 2


def test_of_very_many_the_rest_is_counted_once(lines: list[dict[str, Any]]) -> None:
    log = UnusableObjectLog()
    for _ in range(3):
        log.update(odd(*range(MOST_NAMED + 500)))
    assert len(lines) == MOST_NAMED + 1
