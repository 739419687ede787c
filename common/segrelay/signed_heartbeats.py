"""Signed heartbeats: metadata that says who wrote it, of which object and when.

A heartbeat is text metadata without content, so its signature lies beside it:

=================  ==========================================================================
``beat``           the heartbeat, as agents of every version read it
``beat-at``        the store's time as its writer knew it, ISO 8601
``beat-key``       which key to try; proves nothing
``beat-signature`` Ed25519 over kind, object name, ``beat-at`` and ``beat``; base64
=================  ==========================================================================

Who may write to the bucket can put an old heartbeat back, which makes the store's own time of it
new. So a signed heartbeat is never newer than the time in it allows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from segrelay.signing import Kind, SigningKey, Trust, signed_bytes

SLACK = timedelta(seconds=60)
"""How much later than the time in it a heartbeat may reach the store: requests are repeated."""

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""In a first heartbeat, whose writer does not know the store's time yet."""

_TEXT, _AT, _KEY, _SIGNATURE = "beat", "beat-at", "beat-key", "beat-signature"
_TIME_LENGTH = 40


@dataclass
class StoreClock:
    """The store's clock, as its answers to this process's own writes show it."""

    _known: tuple[datetime, float] | None = field(default=None)

    def note(self, updated: datetime) -> None:
        """Note the time of a write that has just succeeded."""
        self._known = (updated, time.monotonic())

    def now(self) -> datetime | None:
        """Return the store's time; None before the first write."""
        if self._known is None:
            return None
        updated, heard = self._known
        return updated + timedelta(seconds=time.monotonic() - heard)


def sign_heartbeat(
    metadata: Mapping[str, str], name: str, key: SigningKey, at: datetime
) -> dict[str, str]:
    """Return the metadata of the heartbeat ``name`` with its signature."""
    moment = at.isoformat()
    data = _signed(name, moment, metadata.get(_TEXT, ""))
    return {
        **metadata,
        _AT: moment,
        _KEY: key.public.key_id,
        _SIGNATURE: key.signature_of(data),
    }


def time_of_heartbeat(metadata: Mapping[str, str], name: str, trust: Trust) -> datetime | None:
    """Return when a heartbeat was written at the latest; None without a trusted signature."""
    text, moment = metadata.get(_TEXT, ""), metadata.get(_AT, "")
    if len(moment) > _TIME_LENGTH:
        return None
    keys = [key for key in trust.of_kind(Kind.HEARTBEAT) if key.key_id == metadata.get(_KEY)]
    try:
        data, signature = _signed(name, moment, text), metadata.get(_SIGNATURE, "")
        if not any(key.has_signed(data, signature) for key in keys):
            return None
        at = datetime.fromisoformat(moment)
        return None if at.tzinfo is None else at + SLACK
    except (ValueError, OverflowError):
        return None


def _signed(name: str, moment: str, text: str) -> bytes:
    return signed_bytes(Kind.HEARTBEAT, name, f"{moment}\n{text}")
