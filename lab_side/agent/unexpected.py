"""A bug that comes to light while a job is worked on: logged with its place, and counted."""

from __future__ import annotations

import logging

from common.errors import AttemptFailedError
from lab_side.log import event

logger = logging.getLogger("segrelay.pipeline")


def unexpected(error: Exception) -> AttemptFailedError:
    """Log an exception that nobody foresaw, and return the error that it is for a job.

    Neither holds the exception's own words: they may quote a patient's data.
    """
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = "" if frame is None else f"{frame.tb_frame.f_code.co_name}:{frame.tb_lineno}"
    event(logger, logging.CRITICAL, "stage died", kind=type(error).__name__, where=where)
    return AttemptFailedError(
        f"A stage of the agent met an unexpected {type(error).__name__} ({where}).",
        code="stage-died",
    )
