"""Conditions on generation and metageneration, checked as the documentation says.

A generation of 0 means "no live object". A condition that something does *not* match
needs a live object. Reads whose not-match condition fails answer 304, everything else 412.
Source: https://cloud.google.com/storage/docs/request-preconditions
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from infra.fake_gcs.errors import ApiError, bad_request, precondition_failed

_KNOWN = frozenset(
    f"if{source}{what}{how}Match"
    for source in ("", "Source")
    for what in ("Generation", "Metageneration")
    for how in ("", "Not")
)


class Versioned(Protocol):
    """What conditions look at."""

    @property
    def generation(self) -> int: ...

    @property
    def metageneration(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """The conditions of one request on one object; None where not asked for."""

    generation_match: int | None = None
    generation_not_match: int | None = None
    metageneration_match: int | None = None
    metageneration_not_match: int | None = None

    @classmethod
    def from_query(cls, query: Mapping[str, str], *, source: bool = False) -> Conditions:
        """Read the ``if…Match`` parameters, or the ``ifSource…Match`` ones.

        Raises
        ------
        ApiError
            400: a value is not a number, or a condition has an unknown name.
        """
        for name in query:
            if name.startswith("if") and name not in _KNOWN:
                raise bad_request(f"Unknown condition {name}.")
        prefix = "ifSource" if source else "if"
        return cls(
            generation_match=integer(query, f"{prefix}GenerationMatch"),
            generation_not_match=integer(query, f"{prefix}GenerationNotMatch"),
            metageneration_match=integer(query, f"{prefix}MetagenerationMatch"),
            metageneration_not_match=integer(query, f"{prefix}MetagenerationNotMatch"),
        )

    def check(self, live: Versioned | None, *, reading: bool = False) -> None:
        """Compare with the live object, None for none; raises ApiError 412 or 304."""
        generation = 0 if live is None else live.generation
        metageneration = None if live is None else live.metageneration
        if self.generation_match not in (None, generation):
            raise precondition_failed()
        if self.metageneration_match is not None and self.metageneration_match != metageneration:
            raise precondition_failed()
        if self._is_unchanged(generation, metageneration):
            raise ApiError(304, "notModified", "") if reading else precondition_failed()

    def _is_unchanged(self, generation: int, metageneration: int | None) -> bool:
        if self.generation_not_match is not None and (generation in (0, self.generation_not_match)):
            return True
        return self.metageneration_not_match is not None and (
            metageneration in (None, self.metageneration_not_match)
        )


NO_CONDITIONS = Conditions()


def integer(query: Mapping[str, str], name: str) -> int | None:
    """A whole number ≥ 0 from the query, None where absent; raises ApiError 400."""
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise bad_request(f"Invalid value for {name}.")
    return int(text)
