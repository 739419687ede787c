"""Loading the configured models into the worker, at start."""

from __future__ import annotations

import logging

from lab_side.config import AgentConfig, ModelConfig
from lab_side.log import event
from lab_side.worker.client import WorkerProcess
from lab_side.worker.protocol import LoadReply, LoadRequest

logger = logging.getLogger("segrelay.models")


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
    event(
        logger,
        logging.INFO,
        "model loaded",
        profile=reply.profile,
        device=reply.device,
        seconds=round(reply.seconds, 2),
    )
    return reply


def load_request(config: AgentConfig, model: ModelConfig) -> LoadRequest:
    """What the worker is told of a configured model."""
    return LoadRequest(
        folder=config.profile_folder(model.profile),
        weights=model.weights,
        sha256=model.sha256,
        device=config.device,
    )
