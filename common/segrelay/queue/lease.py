"""An agent's heartbeat: proof of life, and the store's clock.

The heartbeat is taken over once at start (a new generation) and then rewritten in place on
condition of that generation: a second process with the same agent id makes the first one's
next heartbeat fail, and the first one stops. Times are only ever compared when the store gave
both: *now* is the store's time of the last own heartbeat plus the monotonic seconds since.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from segrelay import names
from segrelay.bucket import Bucket
from segrelay.bucket.sealed import SealedBucket, demands_signatures
from segrelay.errors import LeaseLostError, ObjectNotFoundError, PreconditionFailedError
from segrelay.manifest import Attempt
from segrelay.notices import OptionalNotice
from segrelay.offers import Offer
from segrelay.parsing.documents import Sentence, ShortText, cut, first_items, read_document
from segrelay.parsing.json_reader import JsonLimits, UnreadableJsonError
from segrelay.parsing.validation import form
from segrelay.signing import Kind

LEASE = timedelta(seconds=120)
"""A heartbeat older than this means that its owner is dead."""

FAR_AHEAD = timedelta(days=1)
"""No correction of a store's clock is as long."""

HEARTBEAT_EVERY = 30.0
"""Seconds between heartbeats: three may be lost before the lease runs out."""

_METADATA_LIMIT = 7000
"""Bytes; the cloud store allows 8 KiB of metadata an object."""

_LIMITS = JsonLimits(size_bytes=64 * 1024, depth=8, values=5000)
"""Of a heartbeat that is read: a directory as queue may hold more than the cloud store."""

MOST_NAMED = 2000
"""Profiles, labels or jobs of one agent; 7000 bytes hold no more."""

LARGEST_PID = 2**31 - 1
"""Beyond it no system has a process."""


class AgentState(StrEnum):
    """What an agent does; the value is the word on the wire."""

    STARTING = "starting"
    LISTENING = "listening"
    WAITING = "waiting"
    """Something keeps it from claiming."""
    PAUSED = "paused"
    DRAINING = "draining"
    STOPPED = "stopped"


class Life(StrEnum):
    """Whether an agent runs."""

    RUNNING = "running"
    STOPPED = "stopped"
    """It said so itself."""
    DEAD = "dead"
    """Its process is gone and said nothing."""
    SILENT = "silent"
    """It has sent no heartbeat for longer than its lease; its claims are taken from it."""


class Identity(BaseModel):
    """Which process an agent is."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    instance: Annotated[str, form(r"^[0-9a-f]{32}$", "32 hexadecimal digits")]
    """Random, new with every process."""
    host: Annotated[str, cut(255)]
    pid: Annotated[int, Field(ge=1, le=LARGEST_PID)]
    pid_started: float
    """When that process began (seconds since 1970, its host's clock): pids are used again."""
    boot: Annotated[str, cut(64)] = ""
    """The running system: its boot id (Linux) or machine id (Windows); empty where not known.

    Containers that share a host's name share this too, and machines of one name do not.
    """
    pid_namespace: Annotated[str, cut(64)] = ""
    """Where ``pid`` means this process; empty where not known: then no other can find it."""
    start_ticks: Annotated[int, Field(ge=0)] | None = None
    """When that process began, in clock ticks since the system's start (Linux): unlike
    ``pid_started`` it does not change when the clock is set."""


class HeartbeatJob(BaseModel):
    """One job in an agent's hands."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    job_id: ShortText
    attempt: Attempt
    stage: ShortText
    percent: Annotated[int, Field(ge=0, le=100)] = 0
    """Of the stage."""
    done: Annotated[int, Field(ge=0, le=10**6)] = 0
    total: Annotated[int, Field(ge=0, le=10**6)] = 0
    """Instances, in a stage that counts them; 0 in any other."""
    started: bool = False
    """Whether the GPU worker has been given the job: from then on the attempt counts."""


def how_far(percent: int, done: int, total: int) -> str:
    """Return a stage's progress as text: ``248/620`` where instances are counted, or ``40 %``."""
    return f"{done}/{total}" if total else f"{percent} %"


class Heartbeat(BaseModel):
    """The content of a heartbeat."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    identity: Identity
    state: ShortText
    """An :class:`AgentState`, or a word of a newer version."""
    reason: Sentence = ""
    """Why, when it does not listen; in English, for readers of every version."""
    notice: OptionalNotice = None
    """The same with its code."""
    version: ShortText
    profiles: Annotated[tuple[ShortText, ...], first_items(MOST_NAMED)] = ()
    labels: Annotated[tuple[ShortText, ...], first_items(MOST_NAMED)] = ()
    """It runs only jobs that ask for none, or for some of these."""
    device: ShortText = ""
    jobs: Annotated[tuple[HeartbeatJob, ...], first_items(MOST_NAMED)] = ()
    passed_over: Annotated[tuple[Sentence, ...], first_items(MOST_NAMED)] = ()
    """Objects of the queue that the store does not let it move or read, each with the reason."""
    offers: tuple[Offer, ...] = ()
    """``profiles`` in full, as far as there is room."""

    @field_validator("offers", mode="wrap")
    @classmethod
    def _unreadable_offers_are_no_death(
        cls, value: object, read: ValidatorFunctionWrapHandler
    ) -> tuple[Offer, ...]:
        """An agent of another version lives, whatever it says of its profiles."""
        try:
            offers: tuple[Offer, ...] = read(value)
        except ValidationError:
            return ()
        return offers

    def to_metadata(self) -> dict[str, str]:
        """The heartbeat as an object's text metadata, with as much as there is room for."""
        brief = self.model_copy(
            update={"offers": tuple(offer.without_texts() for offer in self.offers)}
        )
        bare = self.model_copy(update={"offers": ()})
        for heartbeat in (self, brief, bare):
            text = heartbeat.model_dump_json()
            if len(text.encode()) <= _METADATA_LIMIT:
                return {"beat": text}
        least = bare.model_copy(
            update={"reason": "", "notice": None, "profiles": (), "passed_over": ()}
        )
        return {"beat": least.model_dump_json()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Heartbeat | None:
        """Read a heartbeat; None when it is not one."""
        try:
            return read_heartbeat_metadata(metadata)
        except UnreadableJsonError:
            return None

    def life(
        self,
        updated: datetime,
        now: Callable[[], datetime],
        is_dead: Callable[[Identity], bool] = lambda _: False,
    ) -> Life:
        """Whether its agent lives: the one rule.

        Parameters
        ----------
        updated, now:
            When the heartbeat was sent, and the time, by the store's clock; ``now`` is only asked
            where it matters.
        is_dead:
            Whether a process has certainly ended; the site cannot know.
        """
        if self.state == AgentState.STOPPED:
            return Life.STOPPED
        if is_dead(self.identity):
            return Life.DEAD
        return Life.SILENT if is_silent(updated, now()) else Life.RUNNING

    def job(self, job_id: str, attempt: int) -> HeartbeatJob | None:
        """What the heartbeat says of one claim."""
        for item in self.jobs:
            if item.job_id == job_id and item.attempt == attempt:
                return item
        return None


def read_heartbeat_metadata(metadata: Mapping[str, str]) -> Heartbeat:
    """Read the heartbeat in an object's text metadata.

    Raises
    ------
    UnreadableJsonError
        There is none, or it is no heartbeat: any writer to the bucket can put anything there.
    """
    text = metadata.get("beat")
    if text is None:
        raise UnreadableJsonError("is missing")
    return read_document(Heartbeat, text, _LIMITS)


def is_silent(updated: datetime, now: datetime) -> bool:
    """Whether an agent whose last heartbeat was at ``updated`` has let its lease run out.

    A heartbeat that lies more than a day ahead is none: something else has set its time.
    """
    age = now - updated
    return age > LEASE or age < -FAR_AHEAD


def new_nonce() -> str:
    """128 random bits as 32 hexadecimal digits."""
    return secrets.token_hex(16)


def store_now(bucket: Bucket, who: str) -> datetime:
    """The store's clock, learnt by writing a heartbeat object under ``.probe/``."""
    name = f"{names.PROBE}{who}.json"
    while True:
        try:
            generation = bucket.read_heartbeat(name).generation
        except ObjectNotFoundError:
            generation = 0
        try:
            return bucket.take_over(name, {}, generation=generation).updated
        except PreconditionFailedError:
            continue


@dataclass(frozen=True, kw_only=True)
class Carried:
    """A heartbeat that another request shall renew, with what the lease knew when it was made."""

    name: str
    metadata: Mapping[str, str]
    generation: int
    updated: datetime
    """The store's clock at the last known heartbeat: a newer one must not be overwritten."""
    made: float
    """By the monotonic clock."""


class Lease:
    """This process's hold on an agent id; thread-safe."""

    def __init__(
        self,
        bucket: Bucket,
        agent: str,
        identity: Identity,
        *,
        is_dead: Callable[[Identity], bool],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bucket = bucket
        self._identity = identity
        self._is_dead = is_dead
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._generation = 0
        self._store_time: datetime | None = None
        self._at = 0.0
        self._heard = 0.0
        self._updated: datetime | None = None
        """Of the object, exactly; None where nothing else may renew it."""
        self.agent = agent

    @property
    def identity(self) -> Identity:
        """The process that holds the lease."""
        return self._identity

    def take(self, heartbeat: Heartbeat) -> Heartbeat | None:
        """Take the agent id over; returns the last heartbeat of its previous life.

        Raises
        ------
        LeaseLostError
            ``agent-id-in-use``: another live process sends heartbeats under this id.
        """
        name = names.agent_object(self.agent)
        with self._lock:
            try:
                info = self._bucket.read_heartbeat(name)
            except ObjectNotFoundError:
                self._take_over(heartbeat, generation=0)
                return None
            previous = Heartbeat.from_metadata(info.metadata or {})
            if previous is not None and self._lives(previous, info.updated):
                raise LeaseLostError(
                    f"Agent id {self.agent} is in use by a process on {previous.identity.host}.",
                    code="agent-id-in-use",
                )
            self._take_over(heartbeat, generation=info.generation)
            return previous

    def renew(self, heartbeat: Heartbeat) -> None:
        """Renew the heartbeat.

        Raises
        ------
        LeaseLostError
            Another process has taken this id over: stop, publish nothing more.
        """
        name = names.agent_object(self.agent)
        with self._lock:
            sent = self._monotonic()
            try:
                info = self._bucket.refresh(
                    name, heartbeat.to_metadata(), generation=self._generation
                )
            except (ObjectNotFoundError, PreconditionFailedError) as error:
                if not self._take_back(heartbeat):
                    raise LeaseLostError(
                        f"Another process has taken over agent id {self.agent}."
                    ) from error
                return
            self._remember(info.updated, sent)

    def carried(self, heartbeat: Heartbeat) -> Carried | None:
        """A heartbeat for another request to carry; None until one of this lease's own succeeds.

        Whatever becomes of that request: :meth:`note_carried`.
        """
        name, metadata = names.agent_object(self.agent), heartbeat.to_metadata()
        with self._lock:
            if self._updated is None:
                return None
            if isinstance(self._bucket, SealedBucket):
                metadata = dict(self._bucket.signed_heartbeat(name, metadata))
            return Carried(
                name=name,
                metadata=metadata,
                generation=self._generation,
                updated=self._updated,
                made=self._monotonic(),
            )

    def note_carried(
        self, carried: Carried, updated: datetime | None, held: timedelta = timedelta(0)
    ) -> bool:
        """Note what became of a heartbeat that another request carried; returns whether it counts.

        Parameters
        ----------
        updated:
            The store's clock at the renewal; None where there was none, or nothing is known of it.
        held:
            From then to the answer.
        """
        with self._lock:
            if updated is None:
                self._updated = None
                return False
            if carried.generation != self._generation or carried.made < self._at:
                # A heartbeat of its own was sent in between.
                return False
            now = updated + held
            if isinstance(self._bucket, SealedBucket):
                self._bucket.note_time(now)
            self._updated = updated
            self._store_time, self._at, self._heard = now, carried.made, self._monotonic()
            return True

    def _take_back(self, heartbeat: Heartbeat) -> bool:
        """Where signatures are demanded: take the id again from what no agent has signed.

        Who can only write to the bucket can overwrite or delete a heartbeat, or put an old one
        back; a process that takes the id over signs a heartbeat that is newer than this one's.
        """
        if not demands_signatures(self._bucket, Kind.HEARTBEAT):
            return False
        name, generation = names.agent_object(self.agent), 0
        with contextlib.suppress(ObjectNotFoundError):
            info = self._bucket.read_heartbeat(name)
            generation = info.generation
            other = Heartbeat.from_metadata(info.metadata or {})
            is_mine = other is not None and other.identity.instance == self._identity.instance
            is_old = self._store_time is not None and info.updated <= self._store_time
            if other is not None and not is_mine and not is_old:
                return False
        self._take_over(heartbeat, generation=generation)
        return True

    def now(self) -> datetime:
        """The store's time, as far as this process knows; never ahead of it.

        Counted from the answer, not from the request: a heartbeat that took long would else make
        every other agent look as silent for so much longer.
        """
        if self._store_time is None:
            raise LeaseLostError("No heartbeat has succeeded yet.")
        return self._store_time + timedelta(seconds=self._monotonic() - self._heard)

    def age(self) -> float:
        """Seconds since the last heartbeat that succeeded was sent."""
        return self._monotonic() - self._at

    def is_held(self) -> bool:
        """Whether others must still believe that this process lives."""
        return self._store_time is not None and self.age() < LEASE.total_seconds()

    def _lives(self, previous: Heartbeat, updated: datetime) -> bool:
        life = previous.life(updated, lambda: store_now(self._bucket, self.agent), self._is_dead)
        return life is Life.RUNNING

    def _take_over(self, heartbeat: Heartbeat, *, generation: int) -> None:
        name = names.agent_object(self.agent)
        sent = self._monotonic()
        try:
            info = self._bucket.take_over(name, heartbeat.to_metadata(), generation=generation)
        except PreconditionFailedError:
            info = self._bucket.read_heartbeat(name)
            mine = Heartbeat.from_metadata(info.metadata or {})
            if mine is None or mine.identity.instance != self._identity.instance:
                raise LeaseLostError(
                    f"Another process took agent id {self.agent} at the same moment.",
                    code="agent-id-in-use",
                ) from None
        self._generation = info.generation
        self._remember(info.updated, sent)

    def _remember(self, store_time: datetime, sent: float) -> None:
        self._store_time, self._at, self._heard = store_time, sent, self._monotonic()
        self._updated = store_time
