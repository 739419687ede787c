"""``lab-agent outbox list | export | retry``: the SEGs that Orthanc has not taken.

They need the work folder and nothing else, and disturb no agent: ``export`` only reads, and
``retry`` leaves a request that a running agent watches for.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab_side.commands import status_text
from lab_side.commands.console import (
    EXIT_FAILED,
    EXIT_NOT_NOW,
    EXIT_OK,
    add_json,
    is_taken,
    show,
)
from lab_side.settings.config import LocalConfig
from lab_side.settings.loading import load_part
from segrelay.errors import SegRelayError
from segrelay.queue.operator import JobUnknownError

if TYPE_CHECKING:
    from lab_side.agent.delivery.outbox import OutboxEntry


PATIENCE = 3.0
"""Seconds for a running agent to see a request; it reads five times a second."""

BY_HAND = """\
Load the file into Orthanc by hand: on its page under Upload, or with
curl -u USER --data-binary @FILE https://ORTHANC/instances
It names the patient: keep it where only you can read it, and delete it afterwards."""

STILL_SENT = """\
A SEG that waits stays in the outbox and is sent as well once Orthanc takes it. That does no
harm: it is the same instance, and its job then has its result."""

NOT_SENT = """\
A SEG that was set aside is not sent again, and the result of its job, which has failed, does
not name it. To run the job again: manage.py labseg retry JOB, at the site."""


def add_to(commands: Any) -> None:
    """Add the command to the parser of ``lab-agent``."""
    parser = commands.add_parser(
        "outbox", help="the SEGs that Orthanc has not taken: list, export, retry"
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    command = actions.add_parser("list", help="show what waits and what was set aside, and why")
    command.set_defaults(command=_list)
    add_json(command)
    command = actions.add_parser(
        "export",
        usage="lab-agent outbox export [-h] [--json] (JOB | --all) DIRECTORY",
        help="copy a SEG that waits or was set aside to a file, to be loaded by hand",
        description="Copy a SEG that waits or was set aside to DIRECTORY/JOB.dcm, checked by "
        "SHA-256. Nothing is written over, and the SEG stays where it is.",
    )
    command.add_argument("--all", action="store_true", help="every SEG that is here")
    command.add_argument("words", nargs="+", metavar="JOB DIRECTORY", help="as outbox list shows")
    command.set_defaults(command=functools.partial(_export, command))
    add_json(command)
    command = actions.add_parser(
        "retry",
        help="let the agent try at once to deliver what waits",
        description="Let a running agent try at once to deliver what waits. What was set aside "
        "is not tried again: its job has failed.",
    )
    command.set_defaults(command=_retry)
    add_json(command)


def _list(options: argparse.Namespace) -> int:
    from lab_side.agent.reporting.status import seg_status

    waiting, refused = seg_status(load_part(LocalConfig, options.config).home)
    document = {"waiting": waiting, "refused": refused}
    show(options, document, status_text.segs(waiting, refused, is_running=None))
    return EXIT_OK


def _export(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    from lab_side.agent.delivery.export import SegGoneError, export_seg
    from lab_side.agent.delivery.outbox import read_entries, refused_folder, waiting_folder

    *jobs, directory = options.words
    if len(jobs) != (0 if options.all else 1):
        parser.error("give one JOB, or --all, and one DIRECTORY")
    home = load_part(LocalConfig, options.config).home
    waiting, refused = read_entries(waiting_folder(home)), read_entries(refused_folder(home))
    export = _Export()
    for entry in _chosen([*waiting, *refused], jobs):
        try:
            export.written[entry.draft.job_id] = export_seg(entry, Path(directory))
        except SegRelayError as error:
            if not options.all:
                raise
            if not isinstance(error, SegGoneError):
                export.failed[entry.draft.job_id] = error
    show(options, export.as_document(), export.as_text(waiting, refused))
    return EXIT_FAILED if export.failed else EXIT_OK


def _chosen(entries: Sequence[OutboxEntry], jobs: Sequence[str]) -> Sequence[OutboxEntry]:
    """The entries of these jobs; all without any."""
    known = {entry.draft.job_id for entry in entries}
    for job in jobs:
        if job not in known:
            raise JobUnknownError(
                "There is no SEG of this job here.",
                remedy="Check the id; lab-agent outbox list shows what is here.",
            )
    return [entry for entry in entries if not jobs or entry.draft.job_id in jobs]


@dataclass
class _Export:
    """The copied SEGs and the failures, by job."""

    written: dict[str, Path] = field(default_factory=dict)
    failed: dict[str, SegRelayError] = field(default_factory=dict)

    def as_document(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        failed = {
            job: {"code": error.code, "message": error.message, "remedy": error.remedy}
            for job, error in self.failed.items()
        }
        return {"written": self.written, "failed": failed}

    def as_text(self, waiting: Sequence[OutboxEntry], refused: Sequence[OutboxEntry]) -> str:
        """The files, and what to do with them."""
        if not self.written and not self.failed:
            return "No SEG is here."
        parts = ["\n".join(str(path) for path in self.written.values())] if self.written else []
        parts += [
            f"{job} not copied: {error.message} [{error.code}]\nremedy: {error.remedy}"
            for job, error in self.failed.items()
        ]
        for advice, entries in ((STILL_SENT, waiting), (NOT_SENT, refused)):
            if any(entry.draft.job_id in self.written for entry in entries):
                parts.append(advice)
        return "\n\n".join([*parts, BY_HAND] if self.written else parts)


def _retry(options: argparse.Namespace) -> int:
    from lab_side.agent.delivery.outbox import (
        ask_for_retry,
        read_entries,
        refused_folder,
        waiting_folder,
    )

    home = load_part(LocalConfig, options.config).home
    waiting = len(read_entries(waiting_folder(home)))
    refused = len(read_entries(refused_folder(home)))
    is_heard = waiting > 0 and is_taken(ask_for_retry(home), PATIENCE)
    document = {"waiting": waiting, "refused": refused, "heard": is_heard}
    show(options, document, _retried(waiting, refused, is_heard=is_heard))
    return EXIT_OK if is_heard or not waiting else EXIT_NOT_NOW


def _retried(waiting: int, refused: int, *, is_heard: bool) -> str:
    aside = (
        "" if not refused else f"\n{refused} set aside: their jobs have failed, not tried again."
    )
    if not waiting:
        return f"No SEG waits.{aside}"
    if is_heard:
        return f"The agent tries now; {waiting} waiting. See lab-agent status.{aside}"
    return (
        f"No agent has taken it up; {waiting} waiting. Either none runs here, and it tries when it "
        f"starts (lab-agent run, or once), or it is in the middle of a delivery.{aside}"
    )
