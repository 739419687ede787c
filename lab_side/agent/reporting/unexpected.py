"""A bug that comes to light while a job is worked on: logged with its place, and counted."""

from __future__ import annotations

import logging

from lab_side.log import log_error, log_event
from segrelay.errors import AttemptFailedError, LimitReachedError
from segrelay.system.system_limits import reached_limit

logger = logging.getLogger("segrelay.pipeline")


def unexpected(error: Exception) -> AttemptFailedError | LimitReachedError:
    """Log an exception that nobody foresaw, and return the error that it is for a job.

    Where a limit of this computer is behind it, it is that limit's error, which costs no attempt.
    Neither holds the exception's own words: they may quote a patient's data.
    """
    limit = reached_limit(error)
    if limit is not None:
        reached = LimitReachedError(limit.message, remedy=limit.remedy)
        log_error(logger, logging.WARNING, "limit reached", reached)
        return reached
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = "" if frame is None else f"{frame.tb_frame.f_code.co_name}:{frame.tb_lineno}"
    log_event(logger, logging.CRITICAL, "stage failed", kind=type(error).__name__, where=where)
    return AttemptFailedError(
        f"A stage of the agent met an unexpected {type(error).__name__} ({where}).",
        code="stage-died",
    )
