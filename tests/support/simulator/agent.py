"""A simulated agent: the real pipeline, claiming, recovery and outbox; its threads take turns.

The main loop does what the agent's does, in its order: take the agent id over, recover its own
claims (the outbox first), scan, recover orphaned claims, reap, set misnamed objects aside, claim;
at the end hand back what has not begun and say that it stopped.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from lab_side.agent.attempts import Attempts
from lab_side.agent.claiming import Claiming
from lab_side.agent.delivery.deliver import Uploader
from lab_side.agent.delivery.delivery_queue import DeliveryQueue
from lab_side.agent.delivery.outbox import Draft, Outbox, OutboxEntry
from lab_side.agent.folders import WorkFolders
from lab_side.agent.health.circuit_breaker import CircuitBreaker
from lab_side.agent.health.gpu import GpuHealth
from lab_side.agent.health.signals import Halt, Signals
from lab_side.agent.job_context import JobContext
from lab_side.agent.pipeline import Pipeline
from lab_side.agent.recovery import Recovery
from lab_side.agent.reporting.counters import Counters
from lab_side.agent.reporting.status_board import StatusBoard
from segrelay.bucket import Bucket
from segrelay.errors import LeaseLostError, StoreUnavailableError, TransientError
from segrelay.notices import Notice, notice
from segrelay.profiles import Profile
from segrelay.queue import AgentQueue, AgentState, Claim, Heartbeat, Identity, Lease, Reaper
from segrelay.queue.lease import HEARTBEAT_EVERY, new_nonce
from segrelay.queue.view import PendingJob
from segrelay.stages import Stage as JobStage
from tests.support.simulator.bucket import StagedBucket
from tests.support.simulator.clock import Clock, MachineClock
from tests.support.simulator.orthanc import MemoryOrthanc
from tests.support.simulator.stage import Actor, Stage, StagedEvent, StagedLock
from tests.support.simulator.stores import ModelStore
from tests.support.simulator.watch import Watch
from tests.support.simulator.weather import Weather
from tests.support.simulator.work import Fate, ModelWorker

POLL = 15.0
"""Seconds between two looks at the queue, at most."""


@dataclass(kw_only=True, eq=False)
class Machine:
    """A computer with one agent's configuration; processes come and go on it."""

    agent: str
    host: str
    home: Path
    profiles: Mapping[str, Profile]
    skew: float
    """Seconds that its own clock is ahead of the store's."""
    processes: list[AgentProcess] = field(default_factory=list)

    @property
    def living(self) -> list[AgentProcess]:
        """Its processes that run or sleep."""
        return [process for process in self.processes if process.is_alive]


@dataclass(frozen=True, kw_only=True)
class World:
    """What all processes share."""

    stage: Stage
    clock: Clock
    store: ModelStore
    orthanc: MemoryOrthanc
    watch: Watch
    weather: Weather
    work_weather: Weather
    fates: dict[str, Fate]


class AgentProcess:
    """One life of an agent."""

    def __init__(self, world: World, machine: Machine, number: int) -> None:
        self._world = world
        self.machine = machine
        self.identity = Identity(
            instance=new_nonce(), host=machine.host, pid=number, pid_started=0.0
        )
        self.is_alive = True
        self.is_asleep = False
        self.is_draining = False
        self._has_lease = False
        self._lost = False
        self._next_look = 0.0
        bucket = StagedBucket(
            world.store.open(machine.agent),
            world.stage,
            world.weather,
            world.watch,
            self._beaten,
        )
        self._bucket = bucket
        self._status = StatusBoard(
            identity=self.identity, version="0", profiles=tuple(machine.profiles)
        )
        self._outbox = _StagedOutbox(machine.home, world.stage)
        self._lease = Lease(
            bucket,
            machine.agent,
            self.identity,
            is_dead=self._is_dead,
            monotonic=MachineClock(world.clock, machine.skew),
        )
        # The threads of this process wait for its lock by passing the baton on.
        vars(self._lease)["_lock"] = StagedLock(world.stage)
        self._signals = Signals(StagedEvent(world.stage))
        self._queue = _WatchedQueue(bucket, machine.agent, now=self._lease.now)
        self._queue.watch = world.watch
        self._pipeline = self._build_pipeline(bucket, f"{machine.host}/{number}")
        self._actors: list[Actor] = []
        self._start_actors(number)

    @property
    def agent(self) -> str:
        """Its agent id."""
        return self.machine.agent

    @property
    def actors(self) -> list[Actor]:
        """The threads that a step of would do something."""
        if self.is_asleep:
            return []
        return [actor for actor in self._actors if actor.can_run]

    def outbox_jobs(self) -> Collection[str]:
        """Jobs whose SEG waits on its machine's disk."""
        return {entry.draft.job_id for entry in self._outbox.entries()}

    @property
    def has_company(self) -> bool:
        """Whether another process of its machine lives."""
        return any(process is not self for process in self.machine.living)

    def owns(self, actor: Actor) -> bool:
        """Whether the thread is one of this process."""
        return actor in self._actors

    def crash(self) -> None:
        """Die here and now."""
        self.is_alive = False
        for actor in self._actors:
            self._world.stage.kill(actor)

    def note(self, text: str) -> str:
        """For the story of a history."""
        return f"{self.machine.host}/{self.identity.pid} ({self.agent}) {text}"

    def _start_actors(self, number: int) -> None:
        pipeline, add = self._pipeline, self._world.stage.add
        prefix = f"{self.machine.host}/{number}"
        self._actors = [
            add(f"{prefix} main", self._main, self._main_due),
            add(f"{prefix} beat", self._serve(self._heartbeat), self._heartbeat_due),
            add(f"{prefix} fetch", self._serve(pipeline.fetch_one), pipeline.fetch_due),
            add(f"{prefix} infer", self._serve(pipeline.infer_one), pipeline.infer_due),
            add(f"{prefix} deliver", self._serve(pipeline.deliver_all), pipeline.deliver_due),
        ]

    def _serve(self, work: Callable[[], None]) -> Callable[[], None]:
        def serve() -> None:
            while True:
                self._world.stage.park()
                work()

        return serve

    def _build_pipeline(self, bucket: Bucket, made_by: str) -> StagedPipeline:
        world, machine, signals, status = self._world, self.machine, self._signals, self._status
        worker = ModelWorker(
            world.stage,
            world.work_weather,
            world.fates,
            made_by=made_by,
            is_killed=signals.cancelled.is_set,
            die=self._die,
        )
        client = cast(Any, world.orthanc)
        counters, folders = Counters(), WorkFolders(machine.home / made_by.replace("/", "-"))
        models: Any = SimpleNamespace(
            profiles=machine.profiles,
            sha256=dict.fromkeys(machine.profiles, "0" * 64),
            note_loaded=lambda: None,
        )
        deliveries = DeliveryQueue(
            self._outbox,
            Uploader(client, self._outbox, worker, queue=self._queue, now=self._lease.now),
            is_orthanc_there=lambda: not world.orthanc.is_away,
            is_stopped=signals.cancelled.is_set,
            on_removed=status.remove,
            on_delivered=lambda delivery: None,
            on_fatal=lambda error: None,
        )
        pipeline = StagedPipeline(
            world,
            queue=self._queue,
            client=client,
            gate=cast(Any, SimpleNamespace(note_download=lambda _error: None)),
            worker=cast(Any, worker),
            models=models,
            gpu=GpuHealth(cast(Any, worker)),
            # A pause of minutes tells nothing of the protocol.
            breaker=CircuitBreaker(0, pause=lambda _order: None),
            outbox=self._outbox,
            deliveries=deliveries,
            folders=folders,
            status=status,
            heartbeat=cast(Any, _HeartbeatNow(self._heartbeat)),
            attempts=Attempts(
                self._queue, status=status, counters=counters, folders=folders, signals=signals
            ),
            signals=signals,
        )
        self._claiming = Claiming(
            self._queue,
            readiness=cast(Any, _Readiness(self._lease)),
            models=models,
            status=status,
            signals=signals,
            accept=pipeline.accept,
        )
        self._recovery = Recovery(
            bucket,
            self._queue,
            Reaper(bucket, machine.agent, now=self._lease.now, is_dead=self._is_dead),
            agent=machine.agent,
            outbox=self._outbox,
            deliveries=deliveries,
            folders=folders,
            status=status,
        )
        return pipeline

    def _main_due(self) -> bool:
        return self._lost or self.is_draining or self._world.clock.seconds >= self._next_look

    def _heartbeat_due(self) -> bool:
        return self._has_lease and not self._lost and self._lease.age() >= HEARTBEAT_EVERY

    def _main(self) -> None:
        try:
            self._begin()
        except (LeaseLostError, StoreUnavailableError):
            self.crash()
            return
        while not (self._lost or self.is_draining):
            self._world.stage.park()
            self._look()
            self._next_look = self._world.clock.seconds + POLL
        self._end()

    def _begin(self) -> None:
        previous = self._lease.take(self._status.heartbeat())
        self._has_lease = True
        self._recovery.begin(previous)
        self._status.set_state(AgentState.LISTENING)
        self._pipeline.begin()

    def _look(self) -> None:
        try:
            self._claiming.claim(self._recovery.scan())
        except StoreUnavailableError:
            return

    def _heartbeat(self) -> None:
        try:
            self._lease.renew(self._status.heartbeat())
        except LeaseLostError:
            self._lost = True
        except StoreUnavailableError:
            return

    def _end(self) -> None:
        """Drain unless the lease is lost; stop the stages; say goodbye."""
        self._status.set_state(AgentState.DRAINING)
        self._signals.halt(Halt.STOPPED)
        while not (self._lost or self._pipeline.is_drained()):
            self._world.stage.pause()
        self._pipeline.cancel()
        while not all(actor.is_parked for actor in self._actors[2:]):
            self._world.stage.pause()
        self._pipeline.stop()
        self._say_goodbye(self._status.final_heartbeat())
        self.crash()

    def _say_goodbye(self, heartbeat: Heartbeat) -> None:
        if not self._lease.is_held():
            return
        try:
            self._lease.renew(heartbeat)
        except (StoreUnavailableError, LeaseLostError):
            return

    def _beaten(self, took_over: bool) -> None:
        self._world.watch.beaten(self, took_over=took_over)

    def _die(self) -> None:
        self.crash()
        self._world.stage.pause()

    def _is_dead(self, identity: Identity) -> bool:
        """As the agent judges processes of its own host."""
        if identity.host != self.machine.host:
            return False
        living = {process.identity.instance for process in self.machine.living}
        return identity.instance not in living


class _WatchedQueue(AgentQueue):
    """The queue; whoever watches hears of claims whose answer was lost."""

    watch: Watch

    def claim(self, job: PendingJob) -> Claim | None:
        try:
            return super().claim(job)
        except StoreUnavailableError:
            self.watch.claim_unknown(job.name.next_claim.claimed_by(self._agent))
            raise


@dataclass
class _Readiness:
    """Disk, Orthanc and GPU are always well."""

    lease: Lease

    def problem(self, *, has_jobs: bool) -> Notice | None:
        """Without a heartbeat nothing is claimed."""
        return None if self.lease.is_held() else notice("heartbeat-late")


class _HeartbeatNow:
    """The pipeline's way to the heartbeat."""

    def __init__(self, heartbeat: Callable[[], None]) -> None:
        self._heartbeat = heartbeat

    def heartbeat_now(self) -> None:
        """Heartbeat in the caller's thread."""
        self._heartbeat()


class _StagedOutbox(Outbox):
    """The outbox; a process may die before and after each change of it."""

    def __init__(self, home: Path, stage: Stage) -> None:
        super().__init__(home)
        self._stage = stage

    def add(self, folder: Path, draft: Draft) -> OutboxEntry:
        self._stage.pause()
        self._stage.tell(f"outbox: add {draft.job_id}")
        entry = super().add(folder, draft)
        self._stage.pause()
        return entry

    def remove(self, entry: OutboxEntry) -> None:
        self._stage.pause()
        self._stage.tell(f"outbox: remove {entry.draft.job_id}")
        super().remove(entry)

    def reassign(self, entry: OutboxEntry, claim: Claim) -> OutboxEntry:
        self._stage.pause()
        self._stage.tell(f"outbox: reassign {entry.draft.job_id}")
        return super().reassign(entry, claim)


class StagedPipeline(Pipeline):
    """The pipeline, its stages called one by one instead of running in threads."""

    def __init__(self, world: World, **parts: Any) -> None:
        super().__init__(**parts)
        self._world = world
        self._is_ready = False

    def begin(self) -> None:
        """SEGs that wait in the outbox go out first."""
        self.show_waiting()
        self._is_ready = True

    def accept(self, claim: Claim) -> None:
        """As the pipeline, which waits here until the fetch stage takes the last claim."""
        while self._claims.full():
            self._world.stage.pause()
        super().accept(claim)

    def fetch_due(self) -> bool:
        """Whether a claim waits and the next stage has room."""
        return not self._claims.empty() and not self._ready.full()

    def fetch_one(self) -> None:
        """Open and fetch one claimed job."""
        try:
            claim = self._claims.get_nowait()
        except queue.Empty:
            return
        self._prepare(claim)

    def infer_due(self) -> bool:
        """Whether a fetched job waits."""
        return not self._ready.empty()

    def infer_one(self) -> None:
        """Work on one job."""
        try:
            job = self._ready.get_nowait()
        except queue.Empty:
            return
        if job.claim is not None:
            self._infer(job, job.claim)

    def deliver_due(self) -> bool:
        """Whether a SEG waits; a pause after a failed delivery may be over at any time."""
        return self._is_ready and (self._deliveries.wait(0) or self._deliveries.is_postponed)

    def deliver_all(self) -> None:
        """Deliver what waits."""
        self._deliveries.retry_now()
        if not self._signals.cancelled.is_set():
            self._deliveries.run()

    def _fetch(self, job: JobContext) -> None:
        self._status.set_stage(job.job_id, job.attempt, JobStage.FETCH)
        self._world.orthanc.check()
        if self._signals.halted.is_set():
            raise TransientError("The agent is stopping.", code="stopping")
        self._status.set_stage(job.job_id, job.attempt, JobStage.READY)
