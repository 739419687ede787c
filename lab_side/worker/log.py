"""The worker's log, which comes over its standard error, in the agent's log."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sys
import threading
from typing import IO, Any

from lab_side.log import is_verbose, log_context

logger = logging.getLogger("segrelay.worker")

_PLACE = re.compile(r'\s*File "[^"\n]{1,400}", line \d{1,9}(?:,? in [\w<>.]{1,100})?\s*$')
"""A frame of a Python traceback, as the interpreter writes it: code, no data."""


_NOTICE = re.compile(r"\[?[WI](?:\d{4})? ")
"""How a warning or a note begins that PyTorch's C++ side writes (``[W NNPACK.cpp:61] …``)."""


def pass_on(pipe: IO[str], may_quote: threading.Event) -> None:
    """Log each line again, until the worker ends.

    What a library printed is shown where the agent's own lines are, and never kept in a file.

    Parameters
    ----------
    may_quote:
        Set from the first data set on, which a library may quote: then only places in the code
        are shown.
    """
    with contextlib.suppress(ValueError, OSError), pipe:
        for text in pipe:
            line = _parse(text)
            if line is not None:
                _log(line)
            elif not may_quote.is_set() or _PLACE.match(text):
                _show(text)


def _parse(text: str) -> dict[str, Any] | None:
    with contextlib.suppress(ValueError):
        line = json.loads(text)
        if isinstance(line, dict) and {"time", "level", "event"} <= line.keys():
            return line
    return None


def _log(line: dict[str, Any]) -> None:
    fields = {key: value for key, value in line.items() if key not in ("time", "level", "event")}
    level = logging.getLevelName(str(line["level"]).upper())
    # The line itself says which job it concerns.
    with log_context({}):
        logger.log(
            level if isinstance(level, int) else logging.ERROR,
            str(line["event"]),
            extra={"fields": {**fields, "by": "worker"}},
        )


def _show(text: str) -> None:
    if sys.stderr is not None and (is_verbose() or not _NOTICE.match(text)):
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()
