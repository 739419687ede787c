"""``lab-agent status``: what this computer's agent does, what waits here, and why.

It needs no setting of Orthanc and no password, and works whether the agent runs or not.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from lab_side.commands import status_text
from lab_side.commands.console import EXIT_NOT_NOW, EXIT_OK, add_json, show
from lab_side.queue_access import open_queue
from lab_side.settings.config import LocalConfig
from lab_side.settings.loading import load_part
from segrelay.errors import SegRelayError

if TYPE_CHECKING:
    from lab_side.agent.reporting.status import AgentStatus


def add_to(commands: Any) -> None:
    """Add the command to the parser of ``lab-agent``."""
    command = commands.add_parser(
        "status", help="show what this computer's agent does, what waits here, and why"
    )
    add_json(command)
    command.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Print the status; 75 if a SEG is still here after a failed delivery, else 0."""
    status = agent_status(load_part(LocalConfig, options.config))
    show(options, status, status_text.status(status))
    return EXIT_NOT_NOW if status.needs_attention else EXIT_OK


def agent_status(config: LocalConfig) -> AgentStatus:
    """Read the status of this computer's agent; a queue that does not answer is part of it.

    Raises
    ------
    LocalDiskError
        The agent's own folder cannot be read.
    """
    # Imported here: asking whether a process lives needs psutil, and no other command asks.
    from lab_side.agent.folders import GIGABYTE
    from lab_side.agent.health.control import standing_pause
    from lab_side.agent.health.identity import is_dead
    from lab_side.agent.reporting.status import (
        AgentStatus,
        QueueProblem,
        disk_status,
        heartbeat_status,
        seg_status,
    )

    waiting, refused = seg_status(config.home)
    heartbeat, problem = None, None
    try:
        if config.bucket:
            bucket = open_queue(config)
            heartbeat = heartbeat_status(bucket, config.agent_id, is_dead=is_dead)
    except SegRelayError as error:
        problem = QueueProblem.of(error)
    return AgentStatus(
        agent=config.agent_id,
        queue=config.bucket,
        queue_problem=problem,
        beat=heartbeat,
        pause=standing_pause(config.home),
        disk=disk_status(config.home, round(config.min_free_gb * GIGABYTE)),
        waiting=waiting,
        refused=refused,
    )
