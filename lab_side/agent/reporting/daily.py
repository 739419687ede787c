"""One log line a day that says whether all is well."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from lab_side.agent.reporting.counters import Counters, CountersSnapshot, Outcome
from lab_side.agent.reporting.status import disk_status, seg_status
from lab_side.agent.reporting.status_board import StateReport
from lab_side.log import log_error, log_event
from segrelay.errors import LocalDiskError
from segrelay.queue import AgentState

EVERY = 24 * 3600.0
"""Seconds."""

FAILURES = (Outcome.FAILED, Outcome.ATTEMPT_FAILED, Outcome.REJECTED)

logger = logging.getLogger("segrelay.daily")


class DailyLine:
    """Sums up the time since it was last written."""

    def __init__(
        self,
        home: Path,
        min_free_bytes: int,
        counters: Counters,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._home = home
        self._min_free_bytes = min_free_bytes
        self._counters = counters
        self._monotonic = monotonic
        self._before = counters.counts()
        self._began = monotonic()

    def write_if_due(self, state: StateReport) -> None:
        """Write the line of the day, if a day has passed since the last."""
        seconds = self._monotonic() - self._began
        if seconds < EVERY:
            return
        now = self._counters.counts()
        try:
            self._write(state, now, round(seconds / 3600))
        except LocalDiskError as error:
            log_error(logger, logging.WARNING, "not all is well", error)
        self._before, self._began = now, self._began + EVERY * (seconds // EVERY)

    def _write(self, state: StateReport, now: CountersSnapshot, hours: int) -> None:
        disk = disk_status(self._home, self._min_free_bytes)
        waiting, refused = seg_status(self._home)
        failed = sum(now.of(outcome) - self._before.of(outcome) for outcome in FAILURES)
        late = [item for item in waiting if item.trouble is not None]
        wrong = [
            text
            for text, is_so in (
                (f"{failed} failures", failed > 0),
                (f"{len(late)} SEGs wait after a failed delivery", bool(late)),
                (f"{len(refused)} SEGs are set aside", bool(refused)),
                ("the disk is nearly full", disk.is_low),
                (f"{state.state}: {state.reason}", state.state is not AgentState.LISTENING),
            )
            if is_so
        ]
        log_event(
            logger,
            logging.WARNING if wrong else logging.INFO,
            "not all is well" if wrong else "all is well",
            hours=hours,
            done=now.of(Outcome.SUCCEEDED) - self._before.of(Outcome.SUCCEEDED),
            failed=failed,
            outbox=len(waiting),
            set_aside=len(refused),
            free_gb=round(disk.free_bytes / 1e9, 1),
            gpu=state.device,
            **({"why": "; ".join(wrong)} if wrong else {}),
        )
