"""One line per event: JSON for machines, short text for a terminal.

Fields of an event go into ``extra={"fields": {...}}``. Within :func:`about_job` every line
also carries the job's id, its stage and its attempt, whoever writes it. Nothing here may be
given a patient's identity or a secret; exceptions are logged by code and message only.
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

_about: ContextVar[Mapping[str, Any]] = ContextVar("about", default={})  # noqa: B039 (a constant)


@contextlib.contextmanager
def about_job(job_id: str, attempt: int, stage: str) -> Iterator[None]:
    """Every line that this thread writes within concerns this attempt of this job."""
    with about({"job": job_id, "attempt": attempt, "stage": stage}):
        yield


@contextlib.contextmanager
def about(what: Mapping[str, Any]) -> Iterator[None]:
    """The same with what :func:`what_about` has told elsewhere: in another process, or thread."""
    token = _about.set(what)
    try:
        yield
    finally:
        _about.reset(token)


def at_stage(stage: str) -> None:
    """The job of this thread's lines, if they concern one, has come to another stage."""
    if _about.get():
        _about.set({**_about.get(), "stage": stage})


def what_about() -> dict[str, Any]:
    """What the lines of this thread concern: ``job``, ``attempt`` and ``stage``, or nothing."""
    return dict(_about.get())


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

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
        return in_words(f"{moment:%H:%M:%S}", level, record.getMessage(), _fields(record))


def in_words(moment: str, level: str, text: str, fields: Mapping[str, object]) -> str:
    """An event as a line for a person."""
    shown = "" if level == "info" else f"{level.upper()} "
    told = ", ".join(f"{key}={value}" for key, value in fields.items())
    return f"{moment} {shown}{text}" + (f" ({told})" if told else "")


def configure_logging(style: str, *, verbose: bool = False) -> None:
    """Log to standard error; ``style`` is ``json``, ``human`` or ``auto`` (by terminal).

    ``verbose``: also what libraries warn of (each try of a request that is repeated), which
    otherwise stays away: what it means for the job is said in this program's own lines.
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
    """Whether this process shows what libraries say."""
    return _is_verbose


def _is_own(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] == "segrelay"


def event(logger: logging.Logger, level: int, text: str, **fields: object) -> None:
    """Log one event with its fields."""
    logger.log(level, text, extra={"fields": fields})


def trouble(
    logger: logging.Logger, level: int, text: str, error: SegRelayError, **fields: object
) -> None:
    """Log an event that an error explains, with what to do about it."""
    told = {"code": error.code, "why": error.message, "remedy": error.remedy}
    event(logger, level, text, **{**fields, **told})


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {**_about.get(), **getattr(record, "fields", {})}
