"""Loading the configured models into the worker, at start."""

from __future__ import annotations

import logging
import sys

from lab_side.agent.folders import GIGABYTE
from lab_side.computer.machine import memory_bytes
from lab_side.log import log_event
from lab_side.settings.config import AgentConfig, LocalConfig, ModelConfig, ModelsConfig
from lab_side.worker.client import WorkerProcess
from lab_side.worker.protocol import LoadReply, LoadRequest

logger = logging.getLogger("segrelay.models")


_MEMORY_SHARE = 0.9
"""Of the computer's or container's memory: beyond, the system would end any program, this too."""


def new_worker(config: ModelsConfig) -> WorkerProcess:
    """The worker with its limits; its process starts with the first call."""
    memory = memory_bytes() or sys.maxsize
    limit = config.worker_max_gb * GIGABYTE or memory * _MEMORY_SHARE
    scratch = config.home / "scratch" if isinstance(config, LocalConfig) else None
    return WorkerProcess(
        hang_seconds=config.hang_minutes * 60, most_bytes=round(limit), scratch=scratch
    )


def plan_models(config: AgentConfig, worker: WorkerProcess) -> None:
    """Have every configured model loaded by the next process of the worker."""
    for model in config.models:
        worker.plan(model.profile, load_request(config, model))


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
            "not run by OpenVINO",
            profile=reply.profile,
            reason=reply.engine_doubt,
        )
    return reply


def load_request(config: ModelsConfig, model: ModelConfig) -> LoadRequest:
    """What the worker is told of a configured model."""
    return LoadRequest(
        folder=config.profile_folder(model.profile),
        weights=model.weights,
        sha256=model.sha256,
        device=config.device,
        cpu_engine=config.cpu_engine,
    )
