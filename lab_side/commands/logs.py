"""``lab-agent logs``: what the agent on this computer has said, from its log files.

It needs the settings and the files alone; the agent need not run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from lab_side.commands.console import EXIT_NOT_NOW, EXIT_OK, printable
from lab_side.log import as_text
from lab_side.log_file import LogReader, time_of
from lab_side.settings.config import LocalConfig
from lab_side.settings.loading import load_part
from segrelay.errors import FixConfigurationError
from segrelay.system.console import has_reader

DEFAULT_LINES = 100

MOST_LINES = 10**9
"""More than any log has."""

POLL = 0.5
"""Seconds between two reads of new lines."""

SINCE_FORMATS = "30min, 2h, 3d, 17:30 (today), or 2026-03-31T17:30"

_SPAN = re.compile(r"(\d{1,6}) ?(min|h|d)")
_UNITS = {"min": "minutes", "h": "hours", "d": "days"}


def add_to(commands: Any) -> None:
    """Add the command to the parser of ``lab-agent``."""
    command = commands.add_parser(
        "logs", help="show what this computer's agent has said, from its log files"
    )
    command.add_argument("--job", metavar="ID", help="only lines that concern this job")
    command.add_argument(
        "--since", type=_since, metavar="TIME", help=f"only newer lines: {SINCE_FORMATS}"
    )
    command.add_argument(
        "-n",
        "--lines",
        type=_count,
        metavar="N",
        help=f"only the last N (default: {DEFAULT_LINES}; with --job or --since all)",
    )
    command.add_argument("--follow", action="store_true", help="go on with what is added")
    command.add_argument("--json", action="store_true", help="print the lines as they are kept")
    command.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Print the lines that were asked for, until the reader has enough; 75 if none."""
    try:
        return _show(options)
    except KeyboardInterrupt:
        return EXIT_OK


def _show(options: argparse.Namespace) -> int:
    path = load_part(LocalConfig, options.config).log_path
    _check_readable(path)
    wanted = _Wanted(job=options.job, since=options.since)
    reader = LogReader(path)
    lines = deque(wanted.of(reader.read()), maxlen=_most(options))
    _write(lines, as_json=options.json)
    if options.follow:
        # Until the reader (less, grep -m) has seen enough, or Ctrl-C.
        while has_reader():
            time.sleep(POLL)
            _write(wanted.of(reader.read()), as_json=options.json)
    if not lines:
        sys.stderr.write(f"No such line in {path} and the files beside it.\n")
        return EXIT_NOT_NOW
    return EXIT_OK


def _check_readable(path: Path) -> None:
    """A service's files belong to its account: that is not the same as no lines."""
    try:
        os.listdir(path.parent)
        with path.open("rb"):
            pass
    except FileNotFoundError:
        return
    except PermissionError:
        raise FixConfigurationError(
            f"This account may not read {path}.",
            code="log-closed",
            remedy="Run it as the account of the agent, or with sudo.",
        ) from None


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    job: str | None
    since: datetime | None

    def of(self, lines: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the lines that were asked for."""
        for line in lines:
            if self.job is not None and line.get("job") != self.job.lower():
                continue
            if self.since is not None:
                moment = time_of(line)
                if moment is None or moment < self.since:
                    continue
            yield line


def _most(options: argparse.Namespace) -> int | None:
    if options.lines is not None:
        return int(options.lines)
    return None if options.job or options.since else DEFAULT_LINES


def _write(lines: Iterable[dict[str, Any]], *, as_json: bool) -> None:
    for line in lines:
        sys.stdout.write((json.dumps(line) if as_json else printable(_as_text(line))) + "\n")
    # A reader of --follow waits for each line.
    sys.stdout.flush()


def _as_text(line: dict[str, Any]) -> str:
    moment = time_of(line)
    shown = "?" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"
    fields = {key: value for key, value in line.items() if key not in ("time", "level", "event")}
    return as_text(shown, str(line.get("level", "info")), str(line.get("event", "")), fields)


def _since(text: str) -> datetime:
    now = datetime.now().astimezone()
    match = _SPAN.fullmatch(text)
    if match is not None:
        with contextlib.suppress(OverflowError):
            return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        moment = datetime.strptime(text, "%H:%M")
        return datetime.combine(now.date(), moment.time()).astimezone()
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"give {SINCE_FORMATS}") from None


def _count(text: str) -> int:
    # Python reads no number of some thousand digits; a number beyond all lines means all of them.
    if not text.isdecimal() or not text.strip("0"):
        raise argparse.ArgumentTypeError("give a number of lines, at least 1")
    return min(int(text), MOST_LINES) if len(text) < len(str(MOST_LINES)) else MOST_LINES
