"""``lab-agent queue | cancel | requeue``: show the queue, and move a job by hand.

They need the queue's address and nothing else, and never take the agent's lease: an agent
that runs under the same id goes on undisturbed.
"""

from __future__ import annotations

import argparse
from typing import Any

from lab_side.commands import queue_text
from lab_side.commands.console import EXIT_FAILED, EXIT_OK, add_json, show
from lab_side.queue_access import open_queue
from lab_side.queue_overview import overview_of
from lab_side.settings.loading import load_queue_config
from segrelay.queue import JobState
from segrelay.queue.operator import OperatorQueue


def add_to(commands: Any) -> None:
    """Add the commands to the parser of ``lab-agent``."""
    command = commands.add_parser("queue", help="show agents and jobs of the queue")
    command.set_defaults(command=_queue)
    add_json(command)
    command = commands.add_parser("cancel", help="call a job off")
    command.set_defaults(command=_cancel)
    _add_job(command)
    add_json(command)
    command = commands.add_parser(
        "requeue", help="bring a job without a result back into the queue"
    )
    command.add_argument(
        "--force",
        action="store_true",
        help="also from an agent that lives: for one that hangs",
    )
    command.set_defaults(command=_requeue)
    _add_job(command)
    add_json(command)


def _queue(options: argparse.Namespace) -> int:
    config = load_queue_config(options.config)
    overview = overview_of(open_queue(config), config.agent_id)
    show(options, overview, queue_text.overview(overview))
    return EXIT_OK


def _cancel(options: argparse.Namespace) -> int:
    done = _operator_queue(options).cancel(options.job)
    show(options, done, queue_text.cancelled(done))
    return EXIT_OK if done.state is JobState.CANCELLED else EXIT_FAILED


def _requeue(options: argparse.Namespace) -> int:
    done = _operator_queue(options).requeue(options.job, force=options.force)
    show(options, done, queue_text.requeued(done))
    return EXIT_OK if done.state is JobState.PENDING else EXIT_FAILED


def _operator_queue(options: argparse.Namespace) -> OperatorQueue:
    # Imported here: only these commands ask whether a process of this host lives.
    from lab_side.agent.health.identity import is_dead

    config = load_queue_config(options.config)
    return OperatorQueue(open_queue(config), config.agent_id, is_dead=is_dead)


def _add_job(command: argparse.ArgumentParser) -> None:
    command.add_argument("job", metavar="JOB", help="job id, as lab-agent queue prints it")
