"""How many bytes a TCP sender may have under way: slow start, and its repeat after a pause.

As Linux does where nothing is lost (RFC 5681, RFC 6928, RFC 7661): ten segments to begin
with; every acknowledged byte allows one more, so the window doubles each round trip, as long
as the sender makes use of it; after a pause of one retransmission time-out it is halved, and
again for every further one.
"""

from __future__ import annotations

SEGMENT = 1460
"""Bytes in a TCP segment over Ethernet."""

INITIAL_WINDOW = 10 * SEGMENT

LARGEST_WINDOW = 6 << 20
"""Bytes; the largest that a Linux receiver opens by default."""

LEAST_TIMEOUT_S = 0.2
"""What Linux adds to the round trip, at least, before it takes a segment for lost."""


class Window:
    """The congestion window of one sender; sizes in bytes, times in seconds."""

    def __init__(self, rtt_s: float) -> None:
        self._timeout = rtt_s + LEAST_TIMEOUT_S
        self._size = INITIAL_WINDOW
        self._under_way = 0
        self._peak = 0
        self._last_sent: float | None = None

    @property
    def size(self) -> int:
        """The whole window."""
        return self._size

    def room(self, now: float) -> int:
        """How many bytes may be sent now."""
        if self._under_way == 0 and self._last_sent is not None:
            self._shrink(now - self._last_sent)
        return self._size - self._under_way

    def sent(self, count: int, now: float) -> None:
        """``count`` bytes are under way."""
        if self._under_way == 0:
            self._peak = 0
        self._under_way += count
        self._peak = max(self._peak, self._under_way)
        self._last_sent = now

    def acknowledged(self, count: int) -> None:
        """The receiver has confirmed ``count`` bytes."""
        # A sender that leaves half of its window unused learns nothing about the line.
        if self._size < 2 * self._peak:
            self._size = min(self._size + count, LARGEST_WINDOW)
        self._under_way -= count

    def _shrink(self, idle: float) -> None:
        while idle > self._timeout and self._size > INITIAL_WINDOW:
            self._size = max(self._size // 2, INITIAL_WINDOW)
            idle -= self._timeout
