"""Sharing violations of Windows: what another program reads is tried again after a pause.

A virus scanner or an indexer opens files unasked; while it does, they cannot be
renamed or removed (WinError 5, 32, 33), and one that is just being renamed cannot be opened.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

from segrelay import retry

_SHARING_ERRORS = (5, 32, 33)

T = TypeVar("T")


def retry_sharing_violation(action: Callable[[], T]) -> T:
    """Do it, waiting out a sharing violation of Windows; raises what it raises in the end."""
    for _ in range(retry.SHARING_VIOLATION.tries):
        try:
            return action()
        except OSError as error:
            if not _may_pass(error):
                raise
            time.sleep(retry.SHARING_VIOLATION.pause())
    return action()


def _may_pass(error: OSError) -> bool:
    code = getattr(error, "winerror", None)
    # Who opens a file by the C library does not learn which kind of refusal it was.
    is_untold = os.name == "nt" and code is None and isinstance(error, PermissionError)
    return code in _SHARING_ERRORS or is_untold
