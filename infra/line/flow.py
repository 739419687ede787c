"""What one end of a connection says to the other: read ahead, sent in turn, delivered late."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Protocol

from infra.line.faults import OpenFaults
from infra.line.link import Link
from infra.line.profile import Direction, FaultKind, LineFault, LineProfile
from infra.line.timeline import Timeline
from infra.line.window import SEGMENT, Window

READ_AHEAD = 1 << 20
"""Bytes that wait for the link before the sender is made to wait."""

DRIP_S = 0.02
"""How often a dripping connection gets something, where that is a byte at least."""


class End(Protocol):
    """One end's socket, as sender and as receiver."""

    def pause(self) -> None:
        """Read no more of what it says, for now."""
        ...

    def resume(self) -> None:
        """Read on."""
        ...

    def write(self, data: memoryview) -> None:
        """Hand it bytes."""
        ...

    def finish(self) -> None:
        """End of the data: nothing more comes."""
        ...


class Flow:
    """One direction of one connection.

    Parameters
    ----------
    number:
        The connection's, from 1 on.
    opened:
        When the sender may begin: the handshake is over.
    on_break:
        Called when a reset or a cut has reached the receiver.
    on_over:
        Called when the receiver knows, or never will, that nothing more comes.
    """

    def __init__(
        self,
        direction: Direction,
        number: int,
        *,
        line: LineProfile,
        timeline: Timeline,
        link: Link,
        faults: OpenFaults,
        opened: float,
        on_break: Callable[[FaultKind], None],
        on_over: Callable[[], None],
    ) -> None:
        self._direction, self._number = direction, number
        self._line, self._timeline = line, timeline
        self._link, self._faults = link, faults
        self._on_break, self._on_over = on_break, on_over
        self._chance = random.Random(f"{line.seed} {number} {direction}")  # noqa: S311
        self._window = Window(2 * line.one_way_s)
        self._pieces: deque[memoryview] = deque()
        self._waiting = 0
        self._not_before = opened
        self._last_delivery = opened
        self._queued = self._paused = self._held = self._ended = False
        self._silent = self._cut = False
        self._drip: float | None = None
        self._linger = 0.0
        self.over = False
        self.delivered = 0
        """Bytes."""
        self.source: End | None = None
        self.sink: End | None = None

    def feed(self, data: bytes, now: float) -> None:
        """The sender said ``data``."""
        if self._cut:
            return
        self._pieces.append(memoryview(data))
        self._waiting += len(data)
        if self._waiting > READ_AHEAD and not self._paused and self.source is not None:
            self._paused = True
            self.source.pause()
        self._ask(now)

    def end(self, now: float) -> None:
        """The sender says nothing more."""
        self._ended = True
        if self._silent:
            self._finish_off()
        elif not self._pieces:
            self._send_end(now)

    def hold(self) -> None:
        """The receiver does not read."""
        self._held = True

    def release(self, now: float) -> None:
        """The receiver reads again."""
        self._held = False
        self._ask(now)

    def cut(self) -> None:
        """An orderly end for the receiver, at once; what the sender still says is dropped."""
        self._silent = self._cut = True
        self._pieces.clear()
        self._consumed(self._waiting)
        if self.sink is not None:
            self.sink.finish()
        if self._ended:
            self._finish_off()

    def take(self, most: int, now: float) -> memoryview | None:
        """As :class:`~infra.line.link.Sender`."""
        self._queued = False
        if not self._may_send(now):
            return None
        while (fault := self._faults.due(self._number, self._direction)) is not None:
            self._strike(fault)
            if self._silent:
                return None
        if self._drip is not None:
            most = min(most, max(1, int(self._drip * DRIP_S)))
        count = min(most, len(self._pieces[0]), self._window.room(now))
        count = self._faults.spare(self._number, self._direction, count)
        data = self._pieces[0][:count]
        self._pieces[0] = self._pieces[0][count:]
        if not self._pieces[0]:
            self._pieces.popleft()
        self._consumed(count)
        return data

    def sent(self, data: memoryview, now: float, departed: float) -> None:
        """As :class:`~infra.line.link.Sender`."""
        count = len(data)
        self._faults.passed(self._number, self._direction, count)
        self._window.sent(count, departed)
        arrival = self._arrival(departed)
        self._timeline.at(arrival, lambda _when: self._deliver(data))
        back = arrival + self._line.one_way_s
        self._timeline.at(back, lambda when: self._acknowledge(count, when))
        if self._drip is not None:
            self._not_before = now + count / self._drip
        if self._ended and not self._pieces:
            self._send_end(departed)
        self._ask(now)

    def _ask(self, now: float) -> None:
        """Wait for a turn of the link, where something may be sent."""
        if self._queued or not self._may_send(now):
            return
        self._queued = True
        if self._not_before > now:
            self._timeline.at(self._not_before, lambda when: self._link.join(self, when))
        else:
            self._link.join(self, now)

    def _may_send(self, now: float) -> bool:
        if not self._pieces or self._held or self._silent:
            return False
        # Whole segments only, but for the last one: else the pieces become ever smaller.
        return self._window.room(now) >= min(SEGMENT, len(self._pieces[0]))

    def _consumed(self, count: int) -> None:
        self._waiting -= count
        if self._paused and self._waiting <= READ_AHEAD // 2 and self.source is not None:
            self._paused = False
            self.source.resume()

    def _arrival(self, departed: float) -> float:
        late = self._chance.uniform(0, self._line.jitter_ms / 1e3)
        self._last_delivery = max(self._last_delivery, departed + self._line.one_way_s + late)
        return self._last_delivery

    def _deliver(self, data: memoryview) -> None:
        if self._cut:
            return
        self.delivered += len(data)
        if self.sink is not None:
            self.sink.write(data)

    def _acknowledge(self, count: int, now: float) -> None:
        self._window.acknowledged(count)
        self._ask(now)

    def _send_end(self, departed: float) -> None:
        arrival = self._arrival(max(departed, self._not_before)) + self._linger
        self._timeline.at(arrival, lambda _when: self._deliver_end())

    def _deliver_end(self) -> None:
        if self.sink is not None:
            self.sink.finish()
        self._finish_off()

    def _finish_off(self) -> None:
        self.over = True
        self._on_over()

    def _strike(self, fault: LineFault) -> None:
        if fault.kind is FaultKind.DRIP:
            self._drip = fault.bytes_s
        elif fault.kind is FaultKind.SLOW_CLOSE:
            self._linger = fault.seconds
        else:
            self._silent = True
            if fault.kind is not FaultKind.STALL:
                # What is under way still comes.
                self._timeline.at(self._last_delivery, lambda _when: self._on_break(fault.kind))
