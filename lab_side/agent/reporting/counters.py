"""What this life of the agent has done, counted: for the daily line and the metrics."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from segrelay.manifest import ResultManifest


class Outcome(StrEnum):
    """How a job's stay with this agent ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """For good."""
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    """Its manifest was set aside."""
    ATTEMPT_FAILED = "attempt-failed"
    """It may be tried again."""
    HANDED_BACK = "handed-back"
    """Nothing was wrong with it."""


@dataclass(frozen=True, kw_only=True)
class CountersSnapshot:
    """The counts of one moment."""

    claims: int = 0
    outcomes: Mapping[tuple[Outcome, str], int] = field(default_factory=dict)
    """By outcome and the error's code; that is empty where there was none."""
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    """Of the jobs that succeeded, by stage."""
    stage_jobs: Mapping[str, int] = field(default_factory=dict)
    """So many jobs went through a stage."""

    def of(self, outcome: Outcome) -> int:
        """How many jobs ended so, for whatever reason."""
        return sum(count for (ended, _), count in self.outcomes.items() if ended is outcome)


class Counters:
    """CountersSnapshot; safe in every thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._claims = 0
        self._outcomes: Counter[tuple[Outcome, str]] = Counter()
        self._stage_seconds: defaultdict[str, float] = defaultdict(float)
        self._stage_jobs: Counter[str] = Counter()

    def claimed(self) -> None:
        """A job was claimed."""
        with self._lock:
            self._claims += 1

    def ended(self, outcome: Outcome, code: str = "") -> None:
        """A job's stay has ended."""
        with self._lock:
            self._outcomes[outcome, code] += 1

    def delivered(self, result: ResultManifest | None) -> None:
        """A SEG has left the outbox, with this result; None for one by hand."""
        if result is None:
            return
        code = "" if result.failure is None else result.failure.code
        self.ended(Outcome(result.status.value), code)
        if result.provenance is not None:
            self.went_through(result.provenance.stage_seconds)

    def went_through(self, stage_seconds: Mapping[str, float]) -> None:
        """A job has been through these stages."""
        with self._lock:
            for stage, seconds in stage_seconds.items():
                self._stage_seconds[stage] += seconds
                self._stage_jobs[stage] += 1

    def counts(self) -> CountersSnapshot:
        """What has been counted so far."""
        with self._lock:
            return CountersSnapshot(
                claims=self._claims,
                outcomes=dict(self._outcomes),
                stage_seconds=dict(self._stage_seconds),
                stage_jobs=dict(self._stage_jobs),
            )
