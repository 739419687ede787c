"""One line per event: JSON for machines, short text for a terminal.

Fields of an event go into ``extra={"fields": {...}}``. Nothing here may be given a
patient's identity or a secret; exceptions are logged by code and message only.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timezone
from typing import Any

from common.errors import SegRelayError


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """``time, level, event`` and the event's fields."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        return json.dumps(line, default=str)


class HumanFormatter(logging.Formatter):
    """``14:02:33 event (field=value, …)``."""

    def format(self, record: logging.LogRecord) -> str:
        """Local time, the level when it is not INFO, the event and its fields."""
        clock = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        level = "" if record.levelno == logging.INFO else f"{record.levelname} "
        fields = ", ".join(f"{k}={v}" for k, v in getattr(record, "fields", {}).items())
        return f"{clock} {level}{record.getMessage()}" + (f" ({fields})" if fields else "")


def configure_logging(style: str) -> None:
    """Log to standard error; ``style`` is ``json``, ``human`` or ``auto`` (by terminal)."""
    if style == "auto":
        style = "human" if sys.stderr is not None and sys.stderr.isatty() else "json"
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if style == "json" else HumanFormatter())
    # The libraries' warnings, too, are lines of the same form.
    logging.getLogger().handlers[:] = [handler]
    logging.getLogger("segrelay").setLevel(logging.INFO)
    # A log on a full disk loses lines; each loss must not add a traceback to it.
    logging.raiseExceptions = False


def event(logger: logging.Logger, level: int, text: str, **fields: object) -> None:
    """Log one event with its fields."""
    logger.log(level, text, extra={"fields": fields})


def trouble(
    logger: logging.Logger, level: int, text: str, error: SegRelayError, **fields: object
) -> None:
    """Log an event that an error explains, with what to do about it."""
    told = {"code": error.code, "why": error.message, "remedy": error.remedy}
    event(logger, level, text, **{**fields, **told})
