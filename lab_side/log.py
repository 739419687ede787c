"""One line per event: JSON for machines, short text for a terminal.

Fields of an event go into ``extra={"fields": {...}}``. Within :func:`job_log_context` every line
also carries the job's id, its stage and its attempt, whatever module writes it. Nothing here may
be given a patient's identity or a secret; exceptions are logged by code and message only.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from segrelay.dicom.library_messages import withhold_values
from segrelay.errors import SegRelayError

_is_verbose = False

_context: ContextVar[Mapping[str, Any]] = ContextVar("log_context", default={})  # noqa: B039 (a constant)


@contextlib.contextmanager
def job_log_context(job_id: str, attempt: int, stage: str) -> Iterator[None]:
    """Add this attempt of this job to every line that this thread writes within."""
    with log_context({"job": job_id, "attempt": attempt, "stage": stage}):
        yield


@contextlib.contextmanager
def log_context(context: Mapping[str, Any]) -> Iterator[None]:
    """Set what :func:`current_log_context` returned in another process or thread."""
    token = _context.set(context)
    try:
        yield
    finally:
        _context.reset(token)


def at_stage(stage: str) -> None:
    """Change the stage in this thread's lines, if they concern a job."""
    if _context.get():
        _context.set({**_context.get(), "stage": stage})


def current_log_context() -> dict[str, Any]:
    """Return what the lines of this thread concern: ``job``, ``attempt``, ``stage``, or nothing."""
    return dict(_context.get())


class JsonFormatter(logging.Formatter):
    """Formats an event as one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """``time, level, event``, the job that the line concerns, and the event's fields."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **_fields(record),
        }
        return json.dumps(line, default=str)


class HumanFormatter(logging.Formatter):
    """``14:02:33 event (field=value, …)``."""

    def format(self, record: logging.LogRecord) -> str:
        """Local time, the level when it is not INFO, the event and its fields."""
        moment = datetime.fromtimestamp(record.created).astimezone()
        level = record.levelname.lower()
        return as_text(f"{moment:%H:%M:%S}", level, record.getMessage(), _fields(record))


def as_text(moment: str, level: str, text: str, fields: Mapping[str, object]) -> str:
    """Format an event as a line of a console."""
    shown = "" if level == "info" else f"{level.upper()} "
    detail = ", ".join(f"{key}={value}" for key, value in fields.items())
    return f"{moment} {shown}{text}" + (f" ({detail})" if detail else "")


def configure_logging(style: str, *, verbose: bool = False) -> None:
    """Log to standard error; ``style`` is ``json``, ``human`` or ``auto`` (by terminal).

    ``verbose``: also the libraries' warnings (each attempt of a repeated request). Without it
    they are left out: what they mean for the job is in this program's own lines.
    """
    global _is_verbose
    _is_verbose = verbose
    if style == "auto":
        style = "human" if sys.stderr is not None and sys.stderr.isatty() else "json"
    handlers: list[logging.Handler] = []
    # A service of Windows has no standard error.
    if sys.stderr is not None:
        handlers.append(logging.StreamHandler())
        handlers[0].setFormatter(JsonFormatter() if style == "json" else HumanFormatter())
        if not verbose:
            handlers[0].addFilter(_is_own)
    # The libraries' messages, where they are shown, are lines of the same form.
    logging.getLogger().handlers[:] = handlers or [logging.NullHandler()]
    logging.getLogger("segrelay").setLevel(logging.INFO)
    withhold_values()
    # A log on a full disk loses lines; each loss must not add a traceback to it.
    logging.raiseExceptions = False


def is_verbose() -> bool:
    """Return whether this process shows the libraries' messages."""
    return _is_verbose


def _is_own(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] == "segrelay"


def log_event(logger: logging.Logger, level: int, text: str, **fields: object) -> None:
    """Log one event with its fields."""
    logger.log(level, text, extra={"fields": fields})


def log_error(
    logger: logging.Logger, level: int, text: str, error: SegRelayError, **fields: object
) -> None:
    """Log an event that an error explains, with what to do about it."""
    explanation = {"code": error.code, "why": error.message, "remedy": error.remedy}
    log_event(logger, level, text, **{**fields, **explanation})


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {**_context.get(), **getattr(record, "fields", {})}
