"""Findings of checks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

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

    @classmethod
    def ok(cls, check: str, detail: str) -> Finding:
        """All is well."""
        return cls(check=check, verdict=Verdict.OK, detail=detail)

    @classmethod
    def warning(cls, check: str, detail: str, remedy: str, **more: Any) -> Finding:
        """It works, but not as it should; ``more``: further fields."""
        return cls(check=check, verdict=Verdict.WARNING, detail=detail, remedy=remedy, **more)

    @classmethod
    def failure(cls, check: str, detail: str, remedy: str, **more: Any) -> Finding:
        """It does not work, or is not safe; ``more``: further fields."""
        return cls(check=check, verdict=Verdict.FAILED, detail=detail, remedy=remedy, **more)

    @classmethod
    def not_known(cls, check: str, detail: str, remedy: str = "") -> Finding:
        """It could not be checked."""
        return cls(check=check, verdict=Verdict.NOT_KNOWN, detail=detail, remedy=remedy)


def failed(check: str, error: SegRelayError) -> Finding:
    """An error as finding."""
    will_pass = isinstance(error, TransientError)
    return Finding.failure(check, error.message, error.remedy, code=error.code, will_pass=will_pass)
