"""Findings of checks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from segrelay.errors import SegRelayError, TransientError


class Verdict(StrEnum):
    """The verdict of a check."""

    OK = "OK"
    WARNING = "WARNING"
    """It works, but not as it should."""
    FAILED = "FAILED"
    """It does not work, or is not safe."""
    NOT_KNOWN = "NOT KNOWN"
    """This account has no right to check it."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the doctor's answer."""

    check: str
    """What was checked, in few words."""
    verdict: Verdict
    detail: str
    """What was seen; never a secret."""
    remedy: str = ""
    """What to do; empty where all is well."""
    code: str = ""
    """The error's stable code, where an error was the finding."""
    will_pass: bool = False
    """Whether a failure may be gone a moment later."""


def failed(check: str, error: SegRelayError) -> Finding:
    """An error as finding."""
    return Finding(
        check=check,
        verdict=Verdict.FAILED,
        detail=error.message,
        remedy=error.remedy,
        code=error.code,
        will_pass=isinstance(error, TransientError),
    )
