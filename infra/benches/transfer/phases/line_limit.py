"""The line alone, between a socket that blasts and one that reads: is it what it should be?

What a contender loses to the line's program must not be taken for its own: a single
connection's bytes per second, the round trip of one byte, and how much a line without limits
carries.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from statistics import median

from infra.benches.harness import Report
from infra.benches.transfer.runs import cpu_time
from infra.benches.transfer.scene import TransferScene
from infra.line import Line, LineProfile

UNLIMITED_BYTES_S = 250_000_000
"""Of a line without limits, so many are tried for each second of a blast; it is faster."""

PINGS = 20

_BUFFER = 1 << 20


def line_alone(scene: TransferScene) -> Report:
    """Of each line of the plan, and of one without limits."""
    with _blaster() as target:
        blast_s = scene.plan.blast_s
        free = _measure(target, LineProfile(), int(blast_s * UNLIMITED_BYTES_S))
        found: dict[str, object] = {"unlimited": free}
        for name, profile in scene.plan.lines.items():
            if profile is not None:
                found[name] = _measure(target, profile, int(blast_s * profile.bytes_s))
    return {"line_alone": found}


def _measure(target: str, profile: LineProfile, size: int) -> dict[str, float | None]:
    with Line(target, profile, own_process=True) as line:
        if line.pid is None:
            raise RuntimeError("the line has no process of its own")
        trips = [_ask(line.port, 1) for _ in range(PINGS)]
        before = cpu_time(line.pid)
        seconds = _ask(line.port, size)
        spent = cpu_time(line.pid) - before
    limit = size / profile.bytes_s + 2 * profile.rtt_ms / 1e3
    return {
        "mbit": round(size * 8 / seconds / 1e6, 1),
        "to_limit": round(seconds / limit, 3) if limit else None,
        "connect_and_one_byte_ms": round(median(trips) * 1e3, 2),
        "cpu_s_per_gb": round(spent / size * 1e9, 2),
    }


def _ask(port: int, size: int) -> float:
    """Seconds from before the connection to the last of ``size`` bytes."""
    buffer, start = bytearray(_BUFFER), time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(size.to_bytes(8, "big"))
        while size:
            size -= connection.recv_into(buffer, min(size, _BUFFER))
        return time.perf_counter() - start


@contextlib.contextmanager
def _blaster() -> Iterator[str]:
    """A server that answers eight bytes with as many zeros as they say; one at a time."""
    listener = socket.create_server(("127.0.0.1", 0))
    zeros = memoryview(bytes(_BUFFER))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(ConnectionError):
                    size = int.from_bytes(connection.recv(8, socket.MSG_WAITALL), "big")
                    while size:
                        size -= connection.send(zeros[: min(size, _BUFFER)])

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        # A close alone would wait for the accept to end.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
