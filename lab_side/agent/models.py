"""The configured models in the worker: loaded at start, or once the GPU takes them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping

from lab_side.agent.folders import GIGABYTE
from lab_side.agent.health.gpu import GpuHealth
from lab_side.agent.reporting.status_board import StatusBoard
from lab_side.computer.machine import memory_bytes
from lab_side.log import log_event
from lab_side.settings.config import AgentConfig, LocalConfig, ModelConfig, ModelsConfig
from lab_side.worker.client import WorkerProcess
from lab_side.worker.protocol import LoadReply, LoadRequest
from segrelay.errors import FixConfigurationError, SegRelayError
from segrelay.profiles import Profile

logger = logging.getLogger("segrelay.models")


_MEMORY_SHARE = 0.9
"""Of the computer's or container's memory: beyond, the system would end any program, this too."""


class ServedModels:
    """The models that this agent runs; ``sha256`` is that of the loaded weights, by profile."""

    def __init__(
        self,
        config: AgentConfig,
        worker: WorkerProcess,
        gpu: GpuHealth,
        status: StatusBoard,
        profiles: Mapping[str, Profile],
    ) -> None:
        self._config = config
        self._worker = worker
        self._gpu = gpu
        self._status = status
        self.profiles = profiles
        self.sha256: dict[str, str] = {}

    def load(self, *, is_patient: bool) -> None:
        """Load every model; with a GPU that is sick, or full, serve without until it is well.

        Raises
        ------
        FixConfigurationError
            As :func:`load_models`.
        """
        try:
            load_models(self._config, self._worker)
        except FixConfigurationError:
            raise
        except SegRelayError as error:
            if not is_patient:
                raise
            for model in self._config.models:
                self._worker.plan(model.profile, load_request(self._config, model))
            self._gpu.fall_sick(error)
        self._status.set_problem(self._gpu.notice)
        self.note_loaded()

    def note_loaded(self) -> None:
        """Remember what the worker has loaded by now, and show its device in the heartbeat."""
        loaded = self._worker.loaded
        self.sha256.update({name: reply.model_sha256 for name, reply in loaded.items()})
        devices = [reply.device for reply in loaded.values()]
        shown = self._status.agent
        self._status.set_state(shown.state, shown.notice, device=devices[0] if devices else "")

    def release(self) -> None:
        """Give the GPU back while the agent is paused."""
        self._worker.release()

    def make_sure(self) -> None:
        """Have the models loaded again after :meth:`release`; raises as ``GpuHealth.make_sure``."""
        self._gpu.test_if_due()
        self._gpu.make_sure()

    def close(self) -> None:
        """End the worker."""
        self._worker.close()


def new_worker(config: ModelsConfig) -> WorkerProcess:
    """The worker with its limits; its process starts with the first call."""
    memory = memory_bytes() or sys.maxsize
    limit = config.worker_max_gb * GIGABYTE or memory * _MEMORY_SHARE
    scratch = config.home / "scratch" if isinstance(config, LocalConfig) else None
    return WorkerProcess(
        hang_seconds=config.hang_minutes * 60, most_bytes=round(limit), scratch=scratch
    )


def load_models(config: AgentConfig, worker: WorkerProcess) -> dict[str, LoadReply]:
    """Load every configured model; the worker is warm when this returns.

    Raises
    ------
    FixConfigurationError
        A profile or its weights are missing, altered, unsafe or do not fit.
    """
    return {model.profile: load_model(config, worker, model) for model in config.models}


def load_model(config: AgentConfig, worker: WorkerProcess, model: ModelConfig) -> LoadReply:
    """Load one configured model."""
    reply = worker.load(load_request(config, model))
    log_event(
        logger,
        logging.INFO,
        "model loaded",
        profile=reply.profile,
        device=reply.device,
        seconds=round(reply.seconds, 2),
    )
    if reply.engine_doubt:
        log_event(
            logger,
            logging.WARNING,
            "OpenVINO not used",
            profile=reply.profile,
            reason=reply.engine_doubt,
        )
    return reply


def load_request(config: ModelsConfig, model: ModelConfig) -> LoadRequest:
    """Return the worker's order to load a configured model."""
    return LoadRequest(
        folder=config.profile_folder(model.profile),
        weights=model.weights,
        sha256=model.sha256,
        device=config.device,
        cpu_engine=config.cpu_engine,
    )
