"""What must hold at every step of every history, each promise under its name.

I1  a published job is never nowhere, and in the end in exactly one place
I2  a result names only a SEG that Orthanc holds with these very bytes
I3  a job's first result never changes; what is archived has a result
I5  while anybody lives, a dead owner's claim comes back within lease + one poll, recorded
A1  no attempt record changes
A2  only attempts that had started and were not handed back exhaust a job
L1  no attempt is recorded lost while its owner lives, beats and knows of it
O1  no agent records as lost a job whose SEG waits in its own outbox
O2  no SEG is damaged or lost in an outbox
S1  a move takes only the generation that its caller saw
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

from segrelay import names
from segrelay.names import parse_job_name
from segrelay.queue.lease import LEASE
from tests.support.simulator.clock import Clock
from tests.support.simulator.orthanc import MemoryOrthanc
from tests.support.simulator.stores import ModelStore

PLACES = (names.PENDING, names.CLAIMED, names.DONE, names.FAILED, names.REJECTED)


class Violation(AssertionError):  # noqa: N818
    """A promise was broken; ``promise`` is its name."""

    def __init__(self, promise: str, text: str) -> None:
        super().__init__(f"{promise}: {text}")
        self.promise = promise


class Owner(Protocol):
    """A process as the watch sees it."""

    @property
    def agent(self) -> str:
        """Its agent id."""
        ...

    @property
    def is_alive(self) -> bool:
        """Whether it runs (or sleeps)."""
        ...

    @property
    def has_company(self) -> bool:
        """Whether another process works in the same folder."""
        ...

    def outbox_jobs(self) -> Collection[str]:
        """Jobs whose SEG waits on its disk."""
        ...


@dataclass
class Life:
    """What the watch knows of one process."""

    last_heartbeat: float
    has_been_silent: bool = False
    is_superseded: bool = False
    unknown_claims: set[str] = field(default_factory=set)
    """Claims whose move it could not know to have succeeded."""

    def is_known_dead(self, now: float) -> bool:
        """Whether others had a right to take it for dead."""
        silent = now - self.last_heartbeat > LEASE.total_seconds()
        return self.has_been_silent or self.is_superseded or silent


class Watch:
    """Looks after every operation; the first broken promise ends the history."""

    def __init__(self, clock: Clock, orthanc: MemoryOrthanc, actor: Callable[[], Owner | None]):
        self._clock = clock
        self._orthanc = orthanc
        self._actor = actor
        self._documents: dict[str, bytes] = {}
        self._owners: dict[str, Owner] = {}
        self._lives: dict[Owner, Life] = {}
        self.asked: dict[str, int] = {}
        """The generation that the current mover asked for, by source."""
        self.published: set[str] = set()
        self.store: ModelStore | None = None
        self.violation: Violation | None = None

    def fail(self, promise: str, text: str) -> None:
        """Remember the first broken promise."""
        if self.violation is None:
            self.violation = Violation(promise, text)

    def check(self) -> None:
        """Raises Violation when a promise was broken."""
        if self.violation is not None:
            raise self.violation

    def written(self, name: str) -> None:
        """An object may have been written."""
        data = self._store.peek(name)
        if data is None:
            return
        if name.startswith(names.PENDING):
            self._note_published(name)
        if name.startswith((names.RESULTS, names.ATTEMPTS)):
            if name not in self._documents:
                self._documents[name] = data
                self._check_new(name, data)
            elif self._documents[name] != data:
                self.fail("I3" if name.startswith(names.RESULTS) else "A1", f"{name} changed")

    def gone(self, name: str) -> None:
        """An object may have been deleted."""
        job = parse_job_name(name.rpartition("/")[2])
        if job is not None and job.job_id in self.published and not self.places(job.job_id):
            self.fail("I1", f"{job.job_id} is nowhere after {name} was deleted")

    def moved(self, source: str, destination: str, generation: int) -> None:
        """An object was moved."""
        asked = self.asked.get(source, generation)
        if asked != generation:
            self.fail("S1", f"{source} was moved as generation {generation}, not {asked}")
        actor = self._actor()
        if destination.startswith(names.CLAIMED) and actor is not None:
            self._owners[destination] = actor
        if destination.startswith((names.DONE, names.FAILED)):
            job_id = destination.rpartition("/")[2][2:28]
            if self._store.peek(names.result_object(job_id)) is None:
                self.fail("I3", f"{destination} is archived without a result")

    def claim_unknown(self, destination: str) -> None:
        """The current process was not told that it won this claim."""
        actor = self._actor()
        if actor in self._lives:
            self._lives[actor].unknown_claims.add(destination)

    def beaten(self, process: Owner, *, took_over: bool) -> None:
        """A heartbeat of this process reached the store."""
        now = self._clock.seconds
        life = self._lives.setdefault(process, Life(now))
        life.has_been_silent |= life.is_known_dead(now)
        life.last_heartbeat = now
        if took_over:
            for other, theirs in self._lives.items():
                theirs.is_superseded |= other is not process and other.agent == process.agent

    def places(self, job_id: str) -> list[str]:
        """The objects that hold this job's manifest."""
        return [
            name
            for folder in PLACES
            for name in self._store.names(folder)
            if job_id in name and not name.endswith(".reason.json")
        ]

    def document(self, name: str) -> bytes | None:
        """A result or attempt record as it was first seen."""
        return self._documents.get(name)

    def instance_deleted(self, uid: str) -> None:
        """Orthanc lost an instance."""
        for name, data in self._documents.items():
            seg = json.loads(data).get("seg")
            if seg is not None and seg["sop_instance_uid"] == uid:
                self.fail("I2", f"the SEG of {name} was deleted")

    @property
    def _store(self) -> ModelStore:
        if self.store is None:
            raise RuntimeError("the watch has no store yet")
        return self.store

    def _note_published(self, name: str) -> None:
        job = parse_job_name(name.rpartition("/")[2])
        if job is not None:
            self.published.add(job.job_id)

    def _check_new(self, name: str, data: bytes) -> None:
        document = json.loads(data)
        if name.startswith(names.RESULTS):
            self._check_result(name, document)
        elif document["outcome"] == "lost":
            self._check_loss(name, document)

    def _check_result(self, name: str, document: dict[str, object]) -> None:
        seg, failure = document["seg"], document["failure"]
        if isinstance(seg, dict):
            stored = self._orthanc.peek(seg["sop_instance_uid"])
            if stored is None or hashlib.sha256(stored).hexdigest() != seg["sha256"]:
                self.fail("I2", f"{name} names a SEG that Orthanc does not hold")
        code = failure["code"] if isinstance(failure, dict) else ""
        if code == "attempts-used-up":
            self._check_exhausted(str(document["job_id"]))
        if code == "seg-damaged":
            self.fail("O2", f"the SEG of {name} was damaged in the outbox")

    def _check_exhausted(self, job_id: str) -> None:
        place = self.places(job_id)[0]
        limit = json.loads(self._store.peek(place) or b"{}")["max_attempts"]
        records = [
            json.loads(self._store.peek(name) or b"{}")
            for name in self._store.names(f"{names.ATTEMPTS}{job_id}/")
        ]
        counted = [r for r in records if r["started"] and r["outcome"] in ("failed", "lost")]
        if len(counted) < limit:
            self.fail("A2", f"{job_id} ended after {len(counted)} of {limit} attempts")

    def _check_loss(self, name: str, document: dict[str, object]) -> None:
        tail = f"~{document['attempt']}.json"
        claims = [
            (place, owner)
            for place, owner in self._owners.items()
            if place.startswith(f"{names.CLAIMED}{document['agent']}/")
            and str(document["job_id"]) in place
            and place.endswith(tail)
        ]
        actor = self._actor()
        if actor in self._lives and self._lives[actor].is_superseded:
            # It does not know yet that its agent id was taken over, and takes its successor's
            # claim for a stray of its own: harmless, and over with its next heartbeat.
            return
        for place, owner in claims:
            life = self._lives.get(owner)
            if owner.is_alive and life is not None and not self._may_lose(place, life):
                self.fail("L1", f"{name} was recorded while its owner lived")
            if actor is not None and actor.agent == owner.agent and not actor.has_company:
                self._check_outbox(name, str(document["job_id"]), actor)

    def _may_lose(self, place: str, life: Life) -> bool:
        return place in life.unknown_claims or life.is_known_dead(self._clock.seconds)

    def _check_outbox(self, name: str, job_id: str, actor: Owner) -> None:
        if job_id in actor.outbox_jobs():
            self.fail("O1", f"{name} was recorded while the SEG waits in the outbox")
