"""ULIDs: job ids that sort by the time they were made.

26 characters of Crockford's base 32 in lower case: 48 bits of milliseconds since 1970,
then 80 random bits (https://github.com/ulid/spec). Lower case, because object names
must stay unique on file systems that ignore case.
"""

from __future__ import annotations

import re
import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_RANDOM_BITS = 80

ULID_PATTERN = r"[0-7][0-9a-hjkmnp-tv-z]{25}"
"""Regular expression of one ULID (the first character holds only three bits)."""

_ULID = re.compile(ULID_PATTERN)


def new_ulid(*, milliseconds: int | None = None) -> str:
    """A new id; ``milliseconds`` since 1970 is the present unless given."""
    if milliseconds is None:
        milliseconds = time.time_ns() // 1_000_000
    number = (milliseconds << _RANDOM_BITS) | secrets.randbits(_RANDOM_BITS)
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def is_ulid(text: str) -> bool:
    """Return whether ``text`` is a ULID as made here."""
    return _ULID.fullmatch(text) is not None
