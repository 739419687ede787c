"""``lab-agent pause | resume | drain``: lend the GPU, take it back, stop in order.

They need the work folder and nothing else: no queue, no password, no right on the agent's
process.
"""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from lab_side.agent.health import control
from lab_side.agent.health.control import REASON_LENGTH, Drain, Pause
from lab_side.commands.console import EXIT_NOT_NOW, EXIT_OK, is_taken, write
from lab_side.settings.config import LocalConfig
from lab_side.settings.loading import load_part
from segrelay.manifest import utc_now

PATIENCE = 5.0
"""Seconds for a running agent to see an order; it reads twice a second."""

_LAST_YEAR = 8999
"""A document of the queue holds no later time."""

UNTIL_FORMATS = "17:30, or 2026-03-31T17:30"


def add_to(commands: Any) -> None:
    """Add the commands to the parser of ``lab-agent``."""
    command = commands.add_parser(
        "pause",
        help="let the agent claim nothing for now, and give its GPU back",
        description="Let the agent claim nothing for now. The job on the GPU is finished, the "
        "others are handed back, SEGs are still delivered, and the GPU's memory is given back. "
        "It lasts until lab-agent resume, also over a restart.",
    )
    command.add_argument(
        "--reason",
        type=_reason,
        default="",
        metavar="TEXT",
        help="why; shown at the hospital's site: name no patient",
    )
    command.add_argument(
        "--until",
        type=_until,
        metavar="TIME",
        help=f"when it goes on automatically, by this computer's clock: {UNTIL_FORMATS}",
    )
    command.set_defaults(command=_pause)
    command = commands.add_parser("resume", help="let a paused agent claim again")
    command.set_defaults(command=_resume)
    command = commands.add_parser(
        "drain",
        help="stop the agent in order: finish or hand back what it has",
        description="Stop the agent that runs here as the first Ctrl-C does: it claims nothing "
        "more, finishes the job on the GPU, hands back the others, delivers, and ends.",
    )
    command.add_argument(
        "--cancel",
        action="store_true",
        help="as the second Ctrl-C: hand back the job on the GPU, too",
    )
    command.set_defaults(command=_drain)


def _pause(options: argparse.Namespace) -> int:
    order = Pause(at=utc_now(), reason=options.reason, until=options.until)
    control.pause(_home(options), order)
    why = order.in_words()
    write(
        f"Paused{f': {why}' if why else ''}. A running agent hears of it within seconds, finishes "
        "the job on the GPU and hands back the others; one that is started later waits as well.\n"
        "To go on: lab-agent resume. What it does now: lab-agent status."
    )
    return EXIT_OK


def _resume(options: argparse.Namespace) -> int:
    was_paused = control.resume(_home(options))
    write("Resumed." if was_paused else "It was not paused.")
    return EXIT_OK


def _drain(options: argparse.Namespace) -> int:
    order = control.order_drain(_home(options), Drain(at=utc_now(), cancel=options.cancel))
    try:
        is_heard = is_taken(order, PATIENCE)
    finally:
        # Else the next agent that is started here soon would take it for its own.
        order.unlink(missing_ok=True)
    if not is_heard:
        write("No agent has heard of it: none runs with this work folder and agent id.")
        return EXIT_NOT_NOW
    doing = "hands back all it has" if options.cancel else "finishes or hands back what it has"
    write(f"The agent {doing}, and ends. How far it is: lab-agent status.")
    return EXIT_OK


def _home(options: argparse.Namespace) -> Path:
    return load_part(LocalConfig, options.config).home


def _reason(text: str) -> str:
    reason = " ".join(text.split())
    if not reason.isprintable() or len(reason) > REASON_LENGTH:
        raise argparse.ArgumentTypeError(f"give at most {REASON_LENGTH} printable characters")
    return reason


def _until(text: str) -> datetime:
    """A time of day, the next time that it comes, or a date with a time."""
    now = datetime.now().astimezone()
    try:
        moment = datetime.strptime(text, "%H:%M")
        found = datetime.combine(now.date(), moment.time()).astimezone()
        if found <= now:
            found = datetime.combine(now.date() + timedelta(days=1), moment.time()).astimezone()
    except ValueError:
        try:
            found = datetime.fromisoformat(text).astimezone()
        except (ValueError, OverflowError):
            raise argparse.ArgumentTypeError(f"give {UNTIL_FORMATS}") from None
    if found <= now:
        raise argparse.ArgumentTypeError("this time has passed")
    if found.year >= _LAST_YEAR:
        raise argparse.ArgumentTypeError("this is no time; without --until it is until resumed")
    return found
