"""One direction of a line: its bandwidth, which the connections' flows use in turn."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from infra.line.timeline import Timeline
from infra.line.window import SEGMENT

TURN_S = 0.001
"""How long one flow has the link before the next one's turn."""

_SHORTEST_TURN, _LONGEST_TURN = 2 * SEGMENT, 64 * 1024
"""Bytes: whole segments on a thin line, few steps of the program on a thick one."""


class Sender(Protocol):
    """A flow that waits for its turn."""

    def take(self, most: int, now: float) -> memoryview | None:
        """The next bytes to send, at most ``most``; None where there are none to send now."""
        ...

    def sent(self, data: memoryview, now: float, departed: float) -> None:
        """``data`` was taken at ``now`` and has left the link's near end at ``departed``."""
        ...


class Link:
    """Carries ``bytes_s`` (may be infinite); flows that always have something get equal parts."""

    def __init__(self, timeline: Timeline, bytes_s: float) -> None:
        self._timeline = timeline
        self._bytes_s = bytes_s
        turn = min(bytes_s * TURN_S, _LONGEST_TURN)
        self._turn = max(int(turn), _SHORTEST_TURN)
        self._queue: deque[Sender] = deque()
        self._busy = False

    def join(self, flow: Sender, now: float) -> None:
        """Wait for a turn; a flow joins again after each."""
        self._queue.append(flow)
        if not self._busy:
            self._serve(now)

    def _serve(self, now: float) -> None:
        self._busy = True
        while self._queue:
            flow = self._queue.popleft()
            data = flow.take(self._turn, now)
            if data is None:
                continue
            departed = now + len(data) / self._bytes_s
            flow.sent(data, now, departed)
            if departed > now:
                self._timeline.at(departed, self._serve)
                return
        self._busy = False
