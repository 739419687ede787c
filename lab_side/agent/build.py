"""The one place that makes an agent's parts and joins them."""

from __future__ import annotations

from functools import cached_property

from lab_side import __version__
from lab_side.agent.agent import Agent
from lab_side.agent.attempts import Attempts
from lab_side.agent.claiming import Claiming, Readiness
from lab_side.agent.delivery.deliver import Uploader
from lab_side.agent.delivery.delivery_queue import DeliveryQueue
from lab_side.agent.delivery.outbox import Outbox, read_entries, refused_folder
from lab_side.agent.doorbells import Doorbell
from lab_side.agent.doorbells.directory import DirectoryDoorbell
from lab_side.agent.doorbells.site import SiteDoorbell
from lab_side.agent.folders import GIGABYTE, WorkFolders
from lab_side.agent.health import control
from lab_side.agent.health.circuit_breaker import CircuitBreaker
from lab_side.agent.health.control import ControlWatch, Pause
from lab_side.agent.health.gpu import GpuHealth
from lab_side.agent.health.heartbeat import Heartbeat
from lab_side.agent.health.identity import is_dead, this_process
from lab_side.agent.health.orthanc_gate import OrthancGate
from lab_side.agent.health.signals import Signals
from lab_side.agent.models import ServedModels, new_worker
from lab_side.agent.pipeline import Pipeline
from lab_side.agent.poll_interval import PollInterval
from lab_side.agent.recovery import Recovery
from lab_side.agent.reporting.counters import Counters
from lab_side.agent.reporting.daily import DailyLine
from lab_side.agent.reporting.metrics import MetricsServer, MetricsSnapshot
from lab_side.agent.reporting.status_board import StatusBoard
from lab_side.service.notify import ServiceManager, Supervisor
from lab_side.settings.config import AgentConfig
from lab_side.settings.loading import secret_renewal
from segrelay.bucket import Bucket, directory_at
from segrelay.bucket.address import REDIS_SCHEMES
from segrelay.bucket.local import LocalBucket
from segrelay.bucket.sealed import unsealed
from segrelay.bucket.site import SiteBucket
from segrelay.errors import LeaseLostError
from segrelay.offers import Offer
from segrelay.orthanc import OrthancClient, new_history
from segrelay.queue import AgentQueue, Lease, Reaper


def build_agent(config: AgentConfig, bucket: Bucket, supervisor: Supervisor | None = None) -> Agent:
    """Make an agent that is not started yet.

    Parameters
    ----------
    supervisor:
        Hears that the agent lives; systemd's socket unless given.

    Raises
    ------
    FixConfigurationError
        A profile is missing or wrong.
    """
    return _Parts(config, bucket).agent(supervisor or ServiceManager())


class _Parts:
    """The parts of one agent; each is made once, when the first other part needs it."""

    def __init__(self, config: AgentConfig, bucket: Bucket) -> None:
        self.config = config
        self.bucket = bucket
        self.home = config.home
        self.signals = Signals()
        self.counters = Counters()
        self.profiles = config.load_profiles()
        self.folders = WorkFolders(self.home)
        self.client = OrthancClient(
            config.orthanc,
            history=new_history(patience=config.patience),
            renew=secret_renewal(config),
        )
        self.gate = OrthancGate(self.client)
        self.outbox = Outbox(self.home)
        self.worker = new_worker(config)
        self.gpu = GpuHealth(self.worker)

    def agent(self, supervisor: Supervisor) -> Agent:
        config, signals = self.config, self.signals
        doorbell = self._doorbell()
        port = config.metrics_port
        return Agent(
            config,
            signals=signals,
            status=self.status,
            heartbeat=self.heartbeat,
            control=ControlWatch(self.home, on_pause=signals.on_pause, on_drain=signals.on_drain),
            gate=self.gate,
            models=self.models,
            recovery=self.recovery,
            claiming=self.claiming,
            pipeline=self.pipeline,
            doorbell=doorbell,
            poll_interval=self._poll_interval(doorbell),
            daily=DailyLine(self.home, round(config.min_free_gb * GIGABYTE), self.counters),
            metrics=MetricsServer(port, self._snapshot) if port else None,
            supervisor=supervisor,
        )

    @cached_property
    def status(self) -> StatusBoard:
        return StatusBoard(
            identity=this_process(),
            version=__version__,
            profiles=tuple(self.profiles),
            labels=self.config.labels,
            offers=tuple(Offer.of(profile) for profile in self.profiles.values()),
        )

    @cached_property
    def lease(self) -> Lease:
        return Lease(self.bucket, self.config.agent_id, self.status.identity, is_dead=is_dead)

    @cached_property
    def heartbeat(self) -> Heartbeat:
        lost = LeaseLostError(f"Another process took over agent id {self.config.agent_id}.")
        return Heartbeat(
            self.bucket, self.lease, self.status, on_lost=lambda: self.signals.fail(lost)
        )

    @cached_property
    def queue(self) -> AgentQueue:
        config = self.config
        return AgentQueue(self.bucket, config.agent_id, now=self.lease.now, labels=config.labels)

    @cached_property
    def models(self) -> ServedModels:
        return ServedModels(self.config, self.worker, self.gpu, self.status, self.profiles)

    @cached_property
    def readiness(self) -> Readiness:
        return Readiness(
            lease=self.lease,
            folders=self.folders,
            min_free_gb=self.config.min_free_gb,
            gate=self.gate,
            gpu=self.gpu,
            signals=self.signals,
        )

    @cached_property
    def claiming(self) -> Claiming:
        return Claiming(
            self.queue,
            readiness=self.readiness,
            models=self.models,
            status=self.status,
            signals=self.signals,
            accept=self.pipeline.accept,
        )

    @cached_property
    def deliveries(self) -> DeliveryQueue:
        return DeliveryQueue(
            self.outbox,
            Uploader(self.client, self.outbox, self.worker, queue=self.queue, now=self.lease.now),
            is_orthanc_there=self.readiness.is_orthanc_there,
            is_stopped=self.signals.cancelled.is_set,
            on_removed=self.status.remove,
            on_delivered=lambda delivery: self.counters.delivered(delivery.result),
            on_fatal=self.signals.fail,
        )

    @cached_property
    def recovery(self) -> Recovery:
        agent = self.config.agent_id
        return Recovery(
            self.bucket,
            self.queue,
            Reaper(self.bucket, agent, now=self.lease.now, is_dead=is_dead),
            agent=agent,
            outbox=self.outbox,
            deliveries=self.deliveries,
            folders=self.folders,
            status=self.status,
        )

    @cached_property
    def pipeline(self) -> Pipeline:
        return Pipeline(
            queue=self.queue,
            client=self.client,
            gate=self.gate,
            worker=self.worker,
            models=self.models,
            gpu=self.gpu,
            breaker=CircuitBreaker(self.config.guard_failures, pause=self._pause),
            outbox=self.outbox,
            deliveries=self.deliveries,
            folders=self.folders,
            status=self.status,
            heartbeat=self.heartbeat,
            attempts=Attempts(
                self.queue,
                status=self.status,
                counters=self.counters,
                folders=self.folders,
                signals=self.signals,
            ),
            signals=self.signals,
        )

    def _doorbell(self) -> Doorbell | None:
        inner = unsealed(self.bucket)
        if isinstance(inner, LocalBucket) and self.config.directory_events != "off":
            polling = self.config.directory_events == "polling"
            return DirectoryDoorbell(inner.root, self.signals.wake, polling=polling)
        if isinstance(inner, SiteBucket):
            return SiteDoorbell(inner, self.signals.wake, self.heartbeat)
        if inner.describe().startswith(REDIS_SCHEMES):
            # Imported here: the package redis is an extra.
            from lab_side.agent.doorbells.redis import RedisDoorbell
            from segrelay.bucket.redis import RedisBucket

            if isinstance(inner, RedisBucket):
                return RedisDoorbell(inner, self.signals.wake)
        return None

    def _poll_interval(self, doorbell: Doorbell | None) -> PollInterval:
        active, idle = self.config.poll_seconds, self.config.idle_poll_seconds
        if directory_at(self.config.bucket) is not None:
            # A scan of a directory costs nothing; one of a cloud bucket is billed.
            return PollInterval(active=active, idle=active)
        if isinstance(doorbell, SiteDoorbell):
            # A scan is a request to the site; one of a Redis costs it a millisecond.
            return PollInterval(active=active, idle=idle, is_rung=lambda: doorbell.is_listening)
        return PollInterval(active=active, idle=idle)

    def _pause(self, order: Pause) -> None:
        """Write the circuit breaker's order; an operator's that holds goes before it."""
        if control.standing_pause(self.home) is None:
            control.pause(self.home, order)

    def _snapshot(self) -> MetricsSnapshot:
        return MetricsSnapshot(
            agent=self.config.agent_id,
            state=self.status.agent.state,
            counts=self.counters.counts(),
            pending=self.claiming.waiting,
            in_hand=len(self.status.jobs()),
            outbox=self.pipeline.waiting,
            set_aside=len(read_entries(refused_folder(self.home))),
            free_bytes=self.folders.free_bytes(),
            gpu_is_well=self.gpu.problem is None,
            gpu_peak_bytes=self.worker.gpu_peak_bytes,
            worker_bytes=self.worker.size_bytes,
        )
