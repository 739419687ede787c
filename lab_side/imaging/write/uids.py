"""UIDs that are a function of the job, so that a repeated job makes the same instance."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def derive_uid(purpose: str, parts: Sequence[str]) -> str:
    """A UID under the root 2.25 (PS3.5 B.2) from a UUID of version 8 (RFC 9562, 5.8).

    Parameters
    ----------
    purpose:
        What the UID names, e.g. ``instance``.
    parts:
        Everything on which the object depends. Joined unambiguously, then SHA-256.
    """
    digest = hashlib.sha256()
    for part in (purpose, *parts):
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    number = int.from_bytes(digest.digest()[:16], "big")
    number = number & ~(0xF << 76) | (0x8 << 76)
    number = number & ~(0x3 << 62) | (0x2 << 62)
    return f"2.25.{number}"
