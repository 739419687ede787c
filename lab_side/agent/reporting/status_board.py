"""What the agent is doing now: the source of heartbeat and progress."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from segrelay.notices import Notice
from segrelay.offers import Offer
from segrelay.queue import AgentState, Heartbeat, HeartbeatJob, Identity

_PASSED_OVER = 5
_PASSED_OVER_LENGTH = 300
"""Characters; a heartbeat has little room."""


@dataclass(frozen=True, kw_only=True)
class StateReport:
    """What the agent says of itself."""

    state: AgentState = AgentState.STARTING
    notice: Notice | None = None
    """Why, when it does not listen."""
    device: str = ""

    @property
    def reason(self) -> str:
        """Why nothing is claimed, in English; empty while the agent listens."""
        return "" if self.notice is None else self.notice.text


@dataclass(kw_only=True)
class StatusBoard:
    """What the heartbeat says; safe in every thread."""

    identity: Identity
    version: str
    profiles: tuple[str, ...]
    labels: tuple[str, ...] = ()
    offers: tuple[Offer, ...] = ()
    """What the site knows of them."""
    _agent: StateReport = field(default_factory=StateReport)
    _passed_over: tuple[str, ...] = ()
    _jobs: dict[str, HeartbeatJob] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def set_state(
        self, state: AgentState, notice: Notice | None = None, *, device: str | None = None
    ) -> None:
        """Say what the agent is doing, and why when it is not listening."""
        with self._lock:
            device = self._agent.device if device is None else device
            self._agent = StateReport(state=state, notice=notice, device=device)

    def set_problem(self, problem: Notice | None) -> None:
        """Say that the agent listens, or what it waits for."""
        self.set_state(AgentState.LISTENING if problem is None else AgentState.WAITING, problem)

    @property
    def agent(self) -> StateReport:
        """What was last said."""
        with self._lock:
            return self._agent

    def set_passed_over(self, objects: Sequence[str]) -> None:
        """Name the queue's objects that the store does not let this agent use; the first few."""
        with self._lock:
            self._passed_over = tuple(text[:_PASSED_OVER_LENGTH] for text in objects[:_PASSED_OVER])

    def set_stage(self, job_id: str, attempt: int, stage: str, *, started: bool = False) -> None:
        """Add a job, or set its stage."""
        with self._lock:
            before = self._jobs.get(job_id)
            self._jobs[job_id] = HeartbeatJob(
                job_id=job_id,
                attempt=attempt,
                stage=stage,
                started=started or (before is not None and before.started),
            )

    def advance(self, job_id: str, stage: str, fraction: float) -> None:
        """Note progress within a stage, 0..1."""
        percent = max(0, min(100, int(fraction * 100)))
        self._update(job_id, stage=stage, percent=percent, done=0, total=0)

    def count(self, job_id: str, stage: str, done: int, total: int) -> None:
        """Note how many instances of a stage are done."""
        percent = 100 * done // max(total, 1)
        self._update(job_id, stage=stage, percent=percent, done=done, total=total)

    def _update(self, job_id: str, **what: object) -> None:
        with self._lock:
            job = self._jobs.get(job_id)
            if job is not None:
                self._jobs[job_id] = job.model_copy(update=what)

    def remove(self, job_id: str) -> None:
        """Remove a job."""
        with self._lock:
            self._jobs.pop(job_id, None)

    def jobs(self) -> dict[str, HeartbeatJob]:
        """The jobs in hand, by id."""
        with self._lock:
            return dict(self._jobs)

    def heartbeat(self) -> Heartbeat:
        """The heartbeat of this moment."""
        with self._lock:
            return Heartbeat(
                identity=self.identity,
                version=self.version,
                profiles=self.profiles,
                labels=self.labels,
                offers=self.offers,
                state=self._agent.state,
                reason=self._agent.reason,
                notice=self._agent.notice,
                device=self._agent.device,
                passed_over=self._passed_over,
                jobs=tuple(self._jobs.values()),
            )

    def final_heartbeat(self) -> Heartbeat:
        """The last heartbeat of an agent that stops."""
        return self.heartbeat().model_copy(update={"state": AgentState.STOPPED})
