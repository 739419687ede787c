"""A line in a thread, for tests, or in a process of its own, where speed is measured.

Either way it obeys the same commands, here as calls, there as lines of JSON on its input:
``{"do": "order", "fault": {…}}``, ``{"do": "clear"}``, ``{"do": "stats"}``; each is answered
with the line's :class:`~infra.line.profile.LineStats`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from infra.line.profile import LineFault, LineProfile, LineStats, parse_target
from infra.line.proxy import LOOPBACK, Proxy, new_loop
from infra.servers.json_process import JsonProcess

Command = dict[str, Any]


class _Host(Protocol):
    port: int

    def ask(self, command: Command) -> Command: ...

    def close(self) -> None: ...


class Line:
    """A line to ``target`` (``127.0.0.1:PORT`` or a URL on loopback); a context manager.

    Parameters
    ----------
    own_process:
        Run it as ``python -m infra.line``, so that it does not share this program's lock.

    Raises
    ------
    FixConfigurationError
        ``line-target``: the target is not on this machine's loopback.
    """

    def __init__(
        self,
        target: str,
        profile: LineProfile | None = None,
        *,
        faults: Sequence[LineFault] = (),
        own_process: bool = False,
    ) -> None:
        self.profile = profile or LineProfile()
        self._target = parse_target(target)
        self._faults = tuple(faults)
        self._own_process = own_process
        self._host: _Host | None = None

    def __enter__(self) -> Line:
        kind = _Child if self._own_process else _Thread
        self._host = kind(self._target, self.profile, self._faults)
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()
        self._host = None

    @property
    def port(self) -> int:
        """The port on which the line listens."""
        return self._running.port

    @property
    def url(self) -> str:
        """``http://127.0.0.1:port``."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int | None:
        """Its process, where it has one of its own."""
        host = self._running
        return host.pid if isinstance(host, _Child) else None

    def order(self, fault: LineFault) -> None:
        """Order a fault; bytes are counted from now on."""
        self._running.ask({"do": "order", "fault": fault.model_dump(mode="json")})

    def clear(self) -> None:
        """Forget every order; connections that were struck stay so."""
        self._running.ask({"do": "clear"})

    def stats(self) -> LineStats:
        """What it has done so far."""
        return LineStats.model_validate(self._running.ask({"do": "stats"}))

    @property
    def _running(self) -> _Host:
        if self._host is None:
            raise RuntimeError("the line is not open")
        return self._host


class _Thread:
    """The proxy and its event loop in a thread of this program."""

    def __init__(
        self, target: tuple[str, int], profile: LineProfile, faults: Sequence[LineFault]
    ) -> None:
        self._proxy = Proxy(target, profile, faults)
        self._loop = new_loop()
        self._stop = asyncio.Event()
        started: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="line")
        self._thread.start()
        self.port = started.result()

    def ask(self, command: Command) -> Command:
        async def obey() -> Command:
            return self._proxy.obey(command)

        return asyncio.run_coroutine_threadsafe(obey(), self._loop).result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self, started: Future[int]) -> None:
        try:
            self._loop.run_until_complete(self._serve(started))
        finally:
            self._loop.close()

    async def _serve(self, started: Future[int]) -> None:
        try:
            started.set_result(await self._proxy.start())
        except OSError as error:
            started.set_exception(error)
            return
        await self._stop.wait()
        await self._proxy.close()


class _Child(JsonProcess):
    """``python -m infra.line``."""

    def __init__(
        self, target: tuple[str, int], profile: LineProfile, faults: Sequence[LineFault]
    ) -> None:
        words = _arguments(target, profile, faults)
        super().__init__("the line", [sys.executable, "-m", "infra.line", *words])
        self.port: int = self.receive()["port"]


def _arguments(
    target: tuple[str, int], profile: LineProfile, faults: Sequence[LineFault]
) -> list[str]:
    host, port = target
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    arguments = ["--target", address, "--rtt-ms", str(profile.rtt_ms)]
    arguments += ["--jitter-ms", str(profile.jitter_ms), "--seed", str(profile.seed)]
    if profile.mbit is not None:
        arguments += ["--mbit", str(profile.mbit)]
    orders = [fault.model_dump(mode="json") for fault in faults]
    return [*arguments, "--json", json.dumps(orders)]
