"""Several operations of one step of the queue in one request, where a store can.

Each request is a wait, and each write of its own a flush of the store's disk. The queue does the
same by the single operations of the bucket protocol: so each of these does everything or, where
anything is not as in the usual course of a job, changes nothing and leaves the job to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from segrelay.bucket import ObjectInfo


@dataclass(frozen=True, kw_only=True)
class MovedObject:
    """An object that was moved, read at the same moment."""

    data: bytes
    """Its first bytes, as ``read`` gives them."""
    has_other: bool
    """Whether the other object existed."""


@runtime_checkable
class JoinedOperations(Protocol):
    """What such a store offers beside :class:`~segrelay.bucket.Bucket`, with the same errors.

    One whose answer was lost is answered when it is repeated.
    """

    def create_unless(self, name: str, data: bytes, *, other: str) -> ObjectInfo | None:
        """Create an object; None, and nothing is changed, if it or ``other`` exists."""
        ...

    def move_and_read(
        self, source: str, destination: str, *, generation: int, limit: int, other: str
    ) -> MovedObject | None:
        """Move one generation of an object, and read ``limit + 1`` bytes of it at most.

        None, and nothing is changed, if it is not there or another generation, has no content, or
        the destination exists.
        """
        ...

    def create_and_move(
        self, name: str, data: bytes, *, source: str, destination: str, other: str
    ) -> bool:
        """Create an object and move another one, of any generation.

        False, and nothing is changed, if there is no source, or ``name``, the destination or
        ``other`` exists.
        """
        ...
