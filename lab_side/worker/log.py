"""The worker's log, which comes over its standard error, in the agent's log."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from typing import IO, Any

from lab_side.log import about

logger = logging.getLogger("segrelay.worker")


def pass_on(pipe: IO[str]) -> None:
    """Log each line again, until the worker ends.

    What a library printed is shown where the agent's own lines are, and never kept in a file:
    nobody knows what it quotes.
    """
    with contextlib.suppress(ValueError, OSError), pipe:
        for text in pipe:
            line = _parse(text)
            if line is None:
                _show(text)
            else:
                _log(line)


def _parse(text: str) -> dict[str, Any] | None:
    with contextlib.suppress(ValueError):
        line = json.loads(text)
        if isinstance(line, dict) and {"time", "level", "event"} <= line.keys():
            return line
    return None


def _log(line: dict[str, Any]) -> None:
    told = {key: value for key, value in line.items() if key not in ("time", "level", "event")}
    level = logging.getLevelName(str(line["level"]).upper())
    # The line itself says which job it concerns.
    with about({}):
        logger.log(
            level if isinstance(level, int) else logging.ERROR,
            str(line["event"]),
            extra={"fields": {**told, "by": "worker"}},
        )


def _show(text: str) -> None:
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()
