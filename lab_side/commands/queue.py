"""``lab-agent queue | cancel | requeue``: look at the queue, and move a job by hand.

They need the queue's address and nothing else, and never take the agent's lease: an agent
that runs under the same id goes on undisturbed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import Any

from lab_side.commands import queue_text
from lab_side.queue_access import open_queue
from lab_side.settings.config import QueueConfig, load_queue_config
from segrelay.bucket import Bucket
from segrelay.queue import JobState
from segrelay.queue.operator import OperatorQueue
from segrelay.queue.overview import survey

OK, JOB_ENDED = 0, 1
"""Exit codes, as everywhere in ``lab-agent``."""


def add_to(commands: Any) -> None:
    """Add the commands to the parser of ``lab-agent``."""
    command = commands.add_parser("queue", help="show agents and jobs of the queue")
    command.set_defaults(command=_queue)
    _add_json(command)
    command = commands.add_parser("cancel", help="call a job off")
    command.set_defaults(command=_cancel)
    _add_job(command)
    _add_json(command)
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
    _add_json(command)


def _queue(options: argparse.Namespace) -> int:
    config = load_queue_config(options.config)
    overview = survey(_open(config), config.agent_id)
    _write(overview.model_dump_json(indent=1) if options.json else queue_text.overview(overview))
    return OK


def _cancel(options: argparse.Namespace) -> int:
    done = _desk(options).cancel(options.job)
    _write(_as_json(done) if options.json else queue_text.cancelled(done))
    return OK if done.state is JobState.CANCELLED else JOB_ENDED


def _requeue(options: argparse.Namespace) -> int:
    done = _desk(options).requeue(options.job, force=options.force)
    _write(_as_json(done) if options.json else queue_text.requeued(done))
    return OK if done.state is JobState.PENDING else JOB_ENDED


def _desk(options: argparse.Namespace) -> OperatorQueue:
    # Imported here: only these commands ask whether a process of this host lives.
    from lab_side.agent.health.identity import is_dead

    config = load_queue_config(options.config)
    return OperatorQueue(_open(config), config.agent_id, is_dead=is_dead)


def _open(config: QueueConfig) -> Bucket:
    return open_queue(config)


def _add_job(command: argparse.ArgumentParser) -> None:
    command.add_argument("job", metavar="JOB", help="job id, as lab-agent queue prints it")


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print one JSON object")


def _as_json(done: Any) -> str:
    return json.dumps(dataclasses.asdict(done), indent=1)


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
