"""The sockets of a line: an asyncio TCP proxy on loopback.

What the kernel does between the proxy and either end takes next to no time, so the line is
as its profile says. A client's ``connect`` returns at once; the round trip that it would have
taken is added before its first byte leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any, cast

from infra.line.faults import OpenFaults
from infra.line.flow import Flow
from infra.line.link import Link
from infra.line.profile import Direction, FaultKind, LineFault, LineProfile, LineStats
from infra.line.timeline import Timeline

LOOPBACK = "127.0.0.1"

_RST_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER: on, no time; Linux then answers a close with RST."""


def new_loop() -> asyncio.AbstractEventLoop:
    """An event loop whose timers are exact: those of epoll and poll are rounded up to 1 ms."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


class Proxy:
    """Listens on a free port and forwards each connection to ``target`` along the line."""

    def __init__(
        self, target: tuple[str, int], line: LineProfile, faults: Sequence[LineFault] = ()
    ) -> None:
        self.line = line
        self.timeline = Timeline()
        self.links: dict[Direction, Link] = {
            "up": Link(self.timeline, line.bytes_s),
            "down": Link(self.timeline, line.bytes_s),
        }
        self.faults = OpenFaults(faults)
        self._target = target
        self._connections: set[_Connection] = set()
        self._count = 0
        self._gone: dict[Direction, int] = {"up": 0, "down": 0}
        self._timer: asyncio.TimerHandle | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen; returns the port."""
        self._loop = asyncio.get_running_loop()
        self._server = await self._loop.create_server(self._accept, LOOPBACK, 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Stop listening and reset every connection."""
        if self._server is not None:
            self._server.close()
        if self._timer is not None:
            self._timer.cancel()
        while self._connections:
            for connection in tuple(self._connections):
                connection.reset()
            await asyncio.sleep(0)
        # The sockets are closed in the turn after that.
        await asyncio.sleep(0)

    def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do what a line of JSON says; see :mod:`infra.line.host`."""
        if command["do"] == "order":
            self.faults.add(LineFault.model_validate(command["fault"]))
        elif command["do"] == "clear":
            self.faults.clear()
        return self._stats().model_dump()

    def catch_up(self) -> float:
        """Do what is due; returns the time."""
        now = self._loop.time()
        self.timeline.run(now)
        return now

    def settle(self) -> None:
        """Do what is due, and wake up for what comes next."""
        self.catch_up()
        when = self.timeline.next
        if when is None or (self._timer is not None and self._timer.when() <= when):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._wake)

    def forget(self, connection: _Connection) -> None:
        """It is closed."""
        if connection in self._connections:
            self._connections.remove(connection)
            for direction, flow in connection.flows.items():
                self._gone[direction] += flow.delivered

    def _accept(self) -> _End:
        self._count += 1
        connection = _Connection(self, self._count, self.catch_up())
        self._connections.add(connection)
        connection.open(self._loop, self._target)
        return connection.client

    def _wake(self) -> None:
        self._timer = None
        self.settle()

    def _stats(self) -> LineStats:
        carried = {
            direction: gone + sum(item.flows[direction].delivered for item in self._connections)
            for direction, gone in self._gone.items()
        }
        return LineStats(
            connections=self._count,
            open=len(self._connections),
            hits=self.faults.hits,
            bytes_up=carried["up"],
            bytes_down=carried["down"],
        )


class _Connection:
    """One client's way to the server and back."""

    def __init__(self, proxy: Proxy, number: int, accepted: float) -> None:
        self._proxy = proxy
        one_way = proxy.line.one_way_s
        # SYN and its answer take a round trip; the server hears the rest half a one later.
        opened: dict[Direction, float] = {
            "up": accepted + 2 * one_way,
            "down": accepted + 3 * one_way,
        }
        self.flows = {
            direction: Flow(
                direction,
                number,
                line=proxy.line,
                timeline=proxy.timeline,
                link=proxy.links[direction],
                faults=proxy.faults,
                opened=when,
                on_break=self._break,
                on_over=self._over,
            )
            for direction, when in opened.items()
        }
        up, down = self.flows["up"], self.flows["down"]
        # What the client says must not be read before there is somebody to hear it.
        self.client = _End(proxy, says=up, hears=down, made=self._hush, lost=self._lost)
        self._server = _End(proxy, says=down, hears=up, made=self._listen, lost=self._lost)
        self._opening: asyncio.Task[None] | None = None
        self._dead = False

    def open(self, loop: asyncio.AbstractEventLoop, target: tuple[str, int]) -> None:
        """Connect to the server; a server that refuses is a reset for the client."""
        self._opening = loop.create_task(self._open(loop, target))
        self._opening.add_done_callback(lambda _task: self._forget_if_gone())

    def reset(self) -> None:
        """RST to both ends."""
        self._dead = True
        if self._opening is not None:
            self._opening.cancel()
        self.client.reset()
        self._server.reset()

    async def _open(self, loop: asyncio.AbstractEventLoop, target: tuple[str, int]) -> None:
        try:
            await loop.create_connection(lambda: self._server, *target)
        except OSError:
            self.reset()

    def _hush(self) -> None:
        self.client.pause()

    def _listen(self) -> None:
        self.client.resume()

    def _lost(self) -> None:
        """A socket is closed; the other end hears of it as late as of anything else."""
        self._forget_if_gone()
        if not self._dead and not self._all_said():
            later = self._proxy.catch_up() + self._proxy.line.one_way_s
            self._proxy.timeline.at(later, lambda _when: self.reset())
            self._proxy.settle()

    def _forget_if_gone(self) -> None:
        opening = self._opening is not None and not self._opening.done()
        if not (opening or self.client.is_open or self._server.is_open):
            self._proxy.forget(self)

    def _all_said(self) -> bool:
        return all(flow.over for flow in self.flows.values())

    def _over(self) -> None:
        if self._all_said():
            self.client.close()
            self._server.close()

    def _break(self, kind: FaultKind) -> None:
        if kind is FaultKind.RESET:
            self.reset()
        else:
            for flow in self.flows.values():
                flow.cut()


class _End(asyncio.Protocol):
    """One end's socket: as asyncio's protocol, and as :class:`~infra.line.flow.End`."""

    def __init__(
        self,
        proxy: Proxy,
        *,
        says: Flow,
        hears: Flow,
        made: Callable[[], None],
        lost: Callable[[], None],
    ) -> None:
        self._proxy, self._says, self._hears = proxy, says, hears
        self._made, self._lost = made, lost
        self._transport: asyncio.Transport | None = None
        says.source = hears.sink = self

    @property
    def is_open(self) -> bool:
        """Whether there is a socket."""
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._made()

    def data_received(self, data: bytes) -> None:
        self._says.feed(data, self._proxy.catch_up())
        self._proxy.settle()

    def eof_received(self) -> bool:
        self._says.end(self._proxy.catch_up())
        self._proxy.settle()
        return True

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self._lost()

    def pause_writing(self) -> None:
        self._hears.hold()

    def resume_writing(self) -> None:
        self._hears.release(self._proxy.catch_up())
        self._proxy.settle()

    def pause(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def write(self, data: memoryview) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def finish(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            # A reset that came just now is reported only in the loop's next turn.
            with contextlib.suppress(OSError):
                self._transport.write_eof()

    def close(self) -> None:
        """Close it once all is written."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """RST."""
        if self._transport is not None:
            own: socket.socket = self._transport.get_extra_info("socket")
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
            self._transport.abort()
