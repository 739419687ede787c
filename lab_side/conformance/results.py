"""What trying a row of a table showed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """The outcome of a row."""

    OK = "OK"
    """Refused as documented."""
    DIFFERS = "DIFFERS"
    """Let through, or refused otherwise."""
    NOT_KNOWN = "NOT KNOWN"
    """The account may not ask, or the store did not answer."""


@dataclass(frozen=True, kw_only=True)
class RowResult:
    """One row, tried."""

    what: str
    expected: int | str
    """HTTP status; of the protocol's promises the code of the refusal."""
    got: int | str | None
    """The same, 200 or ``done`` for every success; None for no answer."""
    outcome: Outcome
    why: str = ""
    """Why nothing is known."""
