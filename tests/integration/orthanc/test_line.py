"""The line on real sockets: it costs what it should, and every fault really happens.

Times are bounded from below, where the line must not be faster; from above only so widely
that a machine with other work to do holds them.
"""

from __future__ import annotations

import hashlib
import json
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.line import FaultKind, Line, LineFault, LineProfile, LineStats
from infra.packages.debian import repository_root
from infra.servers.ports import free_port
from tests.conftest import SEED

PATIENCE_S = 30.0
"""Only a hang lasts longer."""

SILENCE_S = 0.3

RTT_MS = 30.0


class Speaker:
    """A server: reads a number and a line feed, answers with so many bytes; then again.

    ``heard`` has, for each connection, all that was read and whether it ended well.
    """

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.heard: dict[int, bytes] = {}
        self.ends: dict[int, str] = {}
        self.close_after_answer = False
        self.changed = threading.Condition()
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE_S)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            number = len(self.heard) + 1
            self.heard[number] = b""
            thread = threading.Thread(target=self._talk, args=(connection, number))
            self.threads.append(thread)
            thread.start()

    def _talk(self, connection: socket.socket, number: int) -> None:
        end, rest = "end", b""
        with connection:
            try:
                while data := connection.recv(1 << 16):
                    with self.changed:
                        self.heard[number] += data
                        self.changed.notify_all()
                    *wishes, rest = (rest + data).split(b"\n")
                    for wish in wishes:
                        connection.sendall(answer(int(wish)))
                    if self.close_after_answer:
                        break
            except ConnectionError:
                end = "reset"
        with self.changed:
            self.ends[number] = end
            self.changed.notify_all()


def answer(count: int) -> bytes:
    return random.Random(count).randbytes(count)


@pytest.fixture
def speaker() -> Iterator[Speaker]:
    speaker = Speaker()
    try:
        yield speaker
    finally:
        speaker.close()


def connect(line: Line) -> socket.socket:
    return socket.create_connection(("127.0.0.1", line.port), timeout=PATIENCE_S)


def ask(connection: socket.socket, count: int) -> None:
    connection.sendall(b"%d\n" % count)


def read(
    connection: socket.socket, most: int = sys.maxsize, *, into: bytearray | None = None
) -> bytes:
    """What comes until the end, or until there is ``most``."""
    got = bytearray() if into is None else into
    while len(got) < most and (data := connection.recv(min(most - len(got), 1 << 16))):
        got += data
    return bytes(got)


def timed(do: Callable[[], object]) -> float:
    start = time.monotonic()
    do()
    return time.monotonic() - start


def wait_for(line: Line, condition: Callable[[LineStats], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition(line.stats()):
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture(params=[False, True], ids=["thread", "process"])
def own_process(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_a_round_trip_takes_its_time_and_a_handshake_one_more(
    speaker: Speaker, own_process: bool
) -> None:
    profile = LineProfile(rtt_ms=RTT_MS)
    with Line(speaker.address, profile, own_process=own_process) as line:

        def first_answer() -> socket.socket:
            connection = connect(line)
            ask(connection, 10)
            assert read(connection, 10) == answer(10)
            return connection

        start = time.monotonic()
        with first_answer() as connection:
            assert time.monotonic() - start >= 2 * RTT_MS / 1e3

            def again() -> None:
                ask(connection, 10)
                read(connection, 10)

            trips = [timed(again) for _ in range(10)]
    assert RTT_MS / 1e3 <= min(trips) <= 10 * RTT_MS / 1e3


def test_slow_start_costs_round_trips_and_only_at_first(speaker: Speaker) -> None:
    size = 200_000
    with Line(speaker.address, LineProfile(rtt_ms=RTT_MS)) as line, connect(line) as connection:

        def fetch() -> None:
            ask(connection, size)
            assert read(connection, size) == answer(size)

        # Windows of 14.6, 29.2, 58.4 and 116.8 kB: the last leaves three trips after the first.
        assert timed(fetch) >= 4 * RTT_MS / 1e3
        warm = [timed(fetch) for _ in range(5)]
    assert RTT_MS / 1e3 <= min(warm) <= 4 * RTT_MS / 1e3


@pytest.mark.parametrize("connections", [1, 4])
def test_all_connections_share_the_bandwidth(speaker: Speaker, connections: int) -> None:
    total, mbit = 1_000_000, 40.0
    with (
        Line(speaker.address, LineProfile(mbit=mbit), own_process=True) as line,
        ThreadPoolExecutor(connections) as pool,
    ):

        def fetch(_number: int) -> None:
            with connect(line) as connection:
                ask(connection, total // connections)
                assert len(read(connection, total // connections)) == total // connections

        seconds = timed(lambda: list(pool.map(fetch, range(connections))))
        assert line.stats().bytes_down == total
    assert 0.99 * total * 8 / (mbit * 1e6) <= seconds <= PATIENCE_S


def test_every_byte_arrives_in_order(speaker: Speaker) -> None:
    profile = LineProfile(rtt_ms=5, mbit=400, jitter_ms=5, seed=SEED)
    sizes = [random.Random(SEED).randrange(1, 400_000) for _ in range(24)]
    with Line(speaker.address, profile) as line, ThreadPoolExecutor(8) as pool:

        def fetch(size: int) -> str:
            with connect(line) as connection:
                # Two wishes in a row: the second leaves before the first answer is there.
                connection.sendall(b"%d\n%d\n" % (size, size))
                return hashlib.sha256(read(connection, 2 * size)).hexdigest()

        for size, digest in zip(sizes, pool.map(fetch, sizes), strict=True):
            assert digest == hashlib.sha256(2 * answer(size)).hexdigest()
        wait_for(line, lambda stats: stats.open == 0)
        assert line.stats().connections == len(sizes)


def test_each_end_may_close_while_the_other_goes_on(speaker: Speaker) -> None:
    with Line(speaker.address, LineProfile(rtt_ms=5, mbit=80)) as line, connect(line) as connection:
        ask(connection, 300_000)
        connection.shutdown(socket.SHUT_WR)
        assert read(connection) == answer(300_000)
        wait_for(line, lambda stats: stats.open == 0)
    assert speaker.ends == {1: "end"}


def test_a_client_that_leaves_is_noticed_by_the_server(speaker: Speaker) -> None:
    with Line(speaker.address, LineProfile(rtt_ms=5, mbit=8)) as line:
        with connect(line) as connection:
            ask(connection, 5_000_000)
            read(connection, 1000)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        speaker.wait(lambda: speaker.ends.get(1) == "reset")
        wait_for(line, lambda stats: stats.open == 0)


def test_a_server_that_is_not_there_is_a_reset() -> None:
    def try_it(line: Line) -> None:
        with connect(line) as connection:
            connection.recv(1)

    with Line(f"127.0.0.1:{free_port()}") as line:
        with pytest.raises(ConnectionResetError):
            try_it(line)
        wait_for(line, lambda stats: stats.open == 0)


@pytest.mark.parametrize("after", [0, 70_000])
def test_a_cut_is_an_orderly_end_after_so_many_bytes(
    speaker: Speaker, own_process: bool, after: int
) -> None:
    fault = LineFault(kind=FaultKind.CUT, after=after)
    with Line(speaker.address, faults=[fault], own_process=own_process) as line:
        with connect(line) as connection:
            ask(connection, 200_000)
            assert read(connection) == answer(200_000)[:after]
        with connect(line) as connection:
            ask(connection, 200_000)
            assert read(connection, 200_000) == answer(200_000)
        assert line.stats().hits == 1
        wait_for(line, lambda stats: stats.open == 0)
    speaker.wait(lambda: len(speaker.ends) == 2)


@pytest.mark.parametrize("after", [0, 70_000])
def test_a_reset_is_no_end(speaker: Speaker, own_process: bool, after: int) -> None:
    with Line(speaker.address, own_process=own_process) as line, connect(line) as connection:
        ask(connection, 10)
        assert read(connection, 10) == answer(10)
        line.order(LineFault(kind=FaultKind.RESET, after=after))
        ask(connection, 200_000)
        got = bytearray()
        with pytest.raises(ConnectionResetError):
            read(connection, into=got)
        assert answer(200_000)[:after].startswith(got)
        assert line.stats().hits == 1
        speaker.wait(lambda: speaker.ends.get(1) == "reset")


def test_a_stall_leaves_the_connection_open(speaker: Speaker, own_process: bool) -> None:
    fault = LineFault(kind=FaultKind.STALL, after=1000)
    with Line(speaker.address, faults=[fault], own_process=own_process) as line:
        with connect(line) as connection:
            ask(connection, 5000)
            assert read(connection, 1000) == answer(5000)[:1000]
            connection.settimeout(SILENCE_S)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            ask(connection, 1)
            assert (line.stats().hits, line.stats().open) == (1, 1)
        wait_for(line, lambda stats: stats.open == 0)
    assert speaker.ends == {1: "end"}
    assert speaker.heard[1] == b"5000\n1\n"


def test_a_slow_close_brings_everything_but_the_end(speaker: Speaker, own_process: bool) -> None:
    speaker.close_after_answer = True
    fault = LineFault(kind=FaultKind.SLOW_CLOSE, seconds=2 * SILENCE_S)
    with (
        Line(speaker.address, faults=[fault], own_process=own_process) as line,
        connect(line) as connection,
    ):
        start = time.monotonic()
        ask(connection, 5000)
        assert read(connection) == answer(5000)
        assert time.monotonic() - start >= 2 * SILENCE_S


def test_a_drip_is_slow_on_its_connection_alone(speaker: Speaker, own_process: bool) -> None:
    fault = LineFault(kind=FaultKind.DRIP, bytes_s=1000, after=100)
    with (
        Line(speaker.address, faults=[fault], own_process=own_process) as line,
        connect(line) as slow,
        connect(line) as other,
    ):
        ask(slow, 100_000)
        assert timed(lambda: read(slow, 400)) >= 0.25
        ask(other, 100_000)
        assert read(other, 100_000) == answer(100_000)
        slow.settimeout(PATIENCE_S)
        assert slow.recv(1)


@pytest.mark.parametrize("kind", [FaultKind.CUT, FaultKind.RESET, FaultKind.STALL])
def test_what_the_client_says_can_be_struck_as_well(
    speaker: Speaker, own_process: bool, kind: FaultKind
) -> None:
    fault = LineFault(kind=kind, direction="up", after=5000)
    with Line(speaker.address, faults=[fault], own_process=own_process) as line:
        with connect(line) as connection:
            connection.sendall(b"0" * 6000)
            wait_for(line, lambda stats: stats.hits == 1)
            if kind is not FaultKind.RESET:
                speaker.wait(lambda: len(speaker.heard.get(1, b"")) == 5000)
            if kind is FaultKind.STALL:
                connection.settimeout(SILENCE_S)
                with pytest.raises(TimeoutError):
                    connection.recv(1)
                assert not speaker.ends
        speaker.wait(lambda: 1 in speaker.ends or kind is FaultKind.STALL)
    speaker.wait(lambda: 1 in speaker.ends)
    assert speaker.ends[1] == ("end" if kind is FaultKind.CUT else "reset")
    assert len(speaker.heard[1]) <= 5000


@pytest.mark.parametrize("how", ["input", "SIGTERM"])
def test_a_process_ends_with_its_input_or_on_sigterm(speaker: Speaker, how: str) -> None:
    command = [sys.executable, "-m", "infra.line", "--target", speaker.address]
    command += ["--rtt-ms", "1", "--mbit", "100", "--json", '[{"kind": "cut", "after": 3}]']
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=repository_root()) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
            ask(connection, 10)
            assert read(connection) == answer(10)[:3]
        if how == "input":
            process.stdin.close()
        else:
            process.terminate()
        assert process.wait(PATIENCE_S) == 0


def test_another_machine_is_refused_as_a_target() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "infra.line", "--target", "192.0.2.1:80"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=repository_root(),
        check=False,
    )
    assert ended.returncode == 78
    assert b"127.0.0.1:PORT" in ended.stderr


def test_a_line_in_a_process_that_dies_is_an_error(speaker: Speaker) -> None:
    with Line(speaker.address, own_process=True) as line:
        assert line.pid is not None
        with connect(line) as connection:
            ask(connection, 10)
            read(connection, 10)
        subprocess.run(["kill", "-KILL", str(line.pid)], check=True)
        with pytest.raises(RuntimeError, match="the line ended"):
            line.stats()
