"""The line that is written once a day."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab_side.agent.delivery.outbox import Outbox
from lab_side.agent.reporting.counters import Counters, Outcome
from lab_side.agent.reporting.daily import EVERY, DailyLine
from lab_side.agent.reporting.status_board import StateReport
from lab_side.log import configure_logging
from lab_side.log_file import LogReader, keep_log
from lab_side.settings.config import LocalConfig
from segrelay.errors import OrthancUnavailableError
from segrelay.notices import notice_of
from segrelay.queue import AgentState
from tests.support.waiting import make_entry

WELL = StateReport(state=AgentState.LISTENING, device="cuda:0 GPU")


class Day:
    """The line with a clock that the test turns."""

    def __init__(self, config: LocalConfig, *, min_free_bytes: int = 0) -> None:
        self.seconds = 0.0
        self.counters = Counters()
        self.outbox = Outbox(config.home)
        self._line = DailyLine(
            config.home, min_free_bytes, self.counters, monotonic=lambda: self.seconds
        )
        self._reader = LogReader(config.log_path)

    def tell(self, seconds: float, state: StateReport = WELL) -> list[dict[str, Any]]:
        """What it says after so many more seconds."""
        self.seconds += seconds
        self._line.write_if_due(state)
        return list(self._reader.read())


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalConfig]:
    monkeypatch.setattr(sys, "stderr", None)
    config = LocalConfig(agent_id="lab-1", work_dir=tmp_path)
    configure_logging("json")
    keep_log(config)
    yield config
    for handler in logging.getLogger().handlers:
        handler.close()


def test_once_a_day_it_tells_that_all_is_well_and_what_was_done(config: LocalConfig) -> None:
    day = Day(config)
    day.counters.ended(Outcome.SUCCEEDED)
    day.counters.ended(Outcome.HANDED_BACK, "paused")
    assert day.tell(EVERY - 1) == []
    (line,) = day.tell(1)
    told = {key: line[key] for key in ("level", "event", "hours", "done", "failed", "gpu")}
    assert told == {
        "level": "info",
        "event": "all is well",
        "hours": 24,
        "done": 1,
        "failed": 0,
        "gpu": "cuda:0 GPU",
    }
    assert (line["outbox"], line["set_aside"], line["free_gb"] > 0) == (0, 0, True)
    assert day.tell(EVERY - 1) == []
    (line,) = day.tell(1)
    assert line["done"] == 0, "of this day alone"


def test_a_night_asleep_is_one_line(config: LocalConfig) -> None:
    day = Day(config)
    (line,) = day.tell(3.5 * EVERY)
    assert line["hours"] == 84
    assert day.tell(0.4 * EVERY) == []
    assert len(day.tell(0.1 * EVERY)) == 1


def test_it_tells_what_is_not_well(config: LocalConfig, tmp_path: Path) -> None:
    day = Day(config, min_free_bytes=10**18)
    day.counters.ended(Outcome.FAILED, "missing-slice")
    day.counters.ended(Outcome.ATTEMPT_FAILED, "worker-died")
    entry = make_entry(day.outbox, tmp_path / "made")
    day.outbox.note_failure(entry, OrthancUnavailableError("It did not answer."), None)
    away = OrthancUnavailableError("Orthanc did not answer.")
    (line,) = day.tell(EVERY, StateReport(state=AgentState.WAITING, notice=notice_of(away)))
    assert (line["level"], line["event"]) == ("warning", "not all is well")
    assert line["why"] == (
        "2 failures; 1 SEGs wait after a failed delivery; the disk is nearly full; "
        "waiting: Orthanc did not answer."
    )
