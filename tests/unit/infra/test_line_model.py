"""How a line delays, shares and breaks: exact, because its clock is a number here."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from infra.line.faults import OpenFaults
from infra.line.flow import READ_AHEAD, Flow
from infra.line.link import Link
from infra.line.profile import (
    Direction,
    FaultKind,
    LineFault,
    LineProfile,
    parse_target,
)
from infra.line.timeline import Timeline
from infra.line.window import INITIAL_WINDOW, LARGEST_WINDOW, SEGMENT, Window
from segrelay.errors import FixConfigurationError
from tests.conftest import SEED

RTT_S = 0.1
MBIT = 8.0
"""A million bytes a second."""


class Wire:
    """One direction of a line, with a sender and a receiver for each flow."""

    def __init__(self, profile: LineProfile, *faults: LineFault) -> None:
        self.profile = profile
        self.timeline = Timeline()
        self.link = Link(self.timeline, profile.bytes_s)
        self.faults = OpenFaults(faults)
        self.now = 0.0
        self.flows: list[Flow] = []
        self.ends: list[Ear] = []

    def open(self, *, at: float = 0.0, direction: Direction = "down") -> tuple[Flow, Ear]:
        ear = Ear(self)
        flow = Flow(
            direction,
            len(self.flows) + 1,
            line=self.profile,
            timeline=self.timeline,
            link=self.link,
            faults=self.faults,
            opened=at,
            on_break=ear.broken.append,
            on_over=lambda: None,
        )
        flow.source = flow.sink = ear
        self.flows.append(flow)
        self.ends.append(ear)
        return flow, ear

    def run(
        self, until: float = 1e6, *, step: Callable[[float], float] = lambda when: when
    ) -> None:
        """Go on to ``until``; ``step`` says when the program wakes up for what is due."""
        while (when := self.timeline.next) is not None and when <= until:
            self.now = step(when)
            self.timeline.run(self.now)
        self.now = until


class Ear:
    """Notes what it hears, and when."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.heard: list[tuple[float, int]] = []
        self.finished: list[float] = []
        self.broken: list[FaultKind] = []
        self.paused = False

    @property
    def total(self) -> int:
        return sum(count for _, count in self.heard)

    def by(self, when: float) -> int:
        return sum(count for time, count in self.heard if time <= when + 1e-9)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def write(self, data: memoryview) -> None:
        self.heard.append((self._wire.now, len(data)))

    def finish(self) -> None:
        self.finished.append(self._wire.now)


def profile(
    rtt_s: float = RTT_S, mbit: float | None = None, jitter_ms: float = 0.0, seed: int = SEED
) -> LineProfile:
    return LineProfile(rtt_ms=rtt_s * 1e3, mbit=mbit, jitter_ms=jitter_ms, seed=seed)


def test_the_first_byte_waits_for_the_handshake_and_half_a_round_trip() -> None:
    wire = Wire(profile())
    flow, ear = wire.open(at=RTT_S)
    flow.feed(b"x", 0.0)
    flow.end(0.0)
    wire.run()
    assert ear.by(1.49 * RTT_S) == 0
    assert ear.by(1.5 * RTT_S) == ear.total == 1
    assert ear.finished == [pytest.approx(1.5 * RTT_S)]


def test_bytes_take_their_time_on_the_link() -> None:
    wire = Wire(profile(mbit=MBIT))
    flow, ear = wire.open()
    flow.feed(bytes(10_000), 0.0)
    wire.run()
    assert ear.total == 10_000
    assert ear.heard[-1][0] == pytest.approx(0.01 + RTT_S / 2)


def test_slow_start_doubles_each_round_trip() -> None:
    wire = Wire(profile())
    flow, ear = wire.open()
    flow.feed(bytes(500_000), 0.0)
    wire.run()
    for trips in range(5):
        sent = INITIAL_WINDOW * (2 ** (trips + 1) - 1)
        assert ear.by((trips + 0.5) * RTT_S) == min(sent, 500_000)


def test_the_link_is_full_once_the_window_is_open() -> None:
    wire = Wire(profile(mbit=MBIT))
    flow, ear = wire.open()
    flow.feed(bytes(3_000_000), 0.0)
    wire.run()
    last = ear.heard[-1][0]
    # Its window opens in three trips; at most these are lost.
    assert 3.0 + RTT_S / 2 <= last <= 3.0 + 3.5 * RTT_S
    assert ear.by(2.5) - ear.by(1.5) == pytest.approx(1_000_000, rel=0.01)


def test_flows_share_a_link_in_equal_parts() -> None:
    wire = Wire(profile(rtt_s=0.001, mbit=MBIT))
    pairs = [wire.open() for _ in range(4)]
    for flow, _ in pairs:
        flow.feed(bytes(500_000), 0.0)
    wire.run()
    half = [ear.by(1.0) for _, ear in pairs]
    assert sum(half) == pytest.approx(1_000_000, rel=0.02)
    assert max(half) - min(half) <= 4 * 2 * SEGMENT
    ends = [ear.heard[-1][0] for _, ear in pairs]
    assert max(ends) - min(ends) < 0.02


def test_a_small_answer_does_not_wait_behind_a_large_one() -> None:
    wire = Wire(profile(rtt_s=0.001, mbit=MBIT))
    large, _ = wire.open()
    small, ear = wire.open()
    large.feed(bytes(900_000), 0.0)
    wire.run(0.5)
    small.feed(b"x" * 1000, 0.5)
    wire.run()
    assert ear.heard[-1][0] < 0.51


def test_a_window_that_rests_is_small_again() -> None:
    window = Window(RTT_S)
    _use(window, 8, now=0.0)
    grown = window.size
    assert grown == 2**8 * INITIAL_WINDOW
    assert window.room(0.29) == grown
    assert window.room(0.31) == grown // 2
    assert window.room(100.0) == INITIAL_WINDOW


def test_a_window_that_is_not_used_does_not_grow() -> None:
    window = Window(RTT_S)
    for trip in range(20):
        window.sent(5 * SEGMENT - 1, trip * RTT_S)
        window.acknowledged(5 * SEGMENT - 1)
    assert window.size == INITIAL_WINDOW
    _use(window, 30, now=2.1)
    assert window.size == LARGEST_WINDOW


def _use(window: Window, trips: int, *, now: float) -> None:
    for _ in range(trips):
        count = window.room(now)
        window.sent(count, now)
        window.acknowledged(count)


def test_jitter_is_seeded_keeps_the_order_and_only_adds() -> None:
    def arrivals(seed: int) -> list[float]:
        wire = Wire(profile(jitter_ms=20.0, seed=seed))
        flow, ear = wire.open()
        for number in range(50):
            wire.run(number * 0.005)
            flow.feed(bytes(100), wire.now)
        wire.run()
        return [when for when, _ in ear.heard]

    times = arrivals(SEED)
    assert times == arrivals(SEED)
    assert times != arrivals(SEED + 1)
    assert all(early <= late for early, late in pairwise(times))
    late = [when - number * 0.005 - RTT_S / 2 for number, when in enumerate(times)]
    assert all(-1e-9 <= more <= 0.02 + 1e-9 for more in late)
    assert max(late) > 0.005


def test_a_program_that_wakes_late_carries_as_much() -> None:
    def last(step: Callable[[float], float]) -> float:
        wire = Wire(profile(mbit=MBIT))
        flow, ear = wire.open()
        flow.feed(bytes(900_000), 0.0)
        wire.run(step=step)
        assert ear.total == 900_000
        return ear.heard[-1][0]

    assert last(lambda when: when + 0.03) - last(lambda when: when) <= 0.03 + 1e-9


def test_a_sender_that_is_too_far_ahead_has_to_wait() -> None:
    wire = Wire(profile(mbit=MBIT))
    flow, ear = wire.open()
    flow.feed(bytes(READ_AHEAD), 0.0)
    assert not ear.paused
    flow.feed(bytes(SEGMENT * 3), 0.0)
    assert ear.paused
    wire.run()
    assert not ear.paused


def test_a_receiver_that_does_not_read_gets_no_more() -> None:
    wire = Wire(profile(mbit=MBIT))
    flow, ear = wire.open()
    flow.feed(bytes(900_000), 0.0)
    wire.run(0.3)
    flow.hold()
    wire.run(5.0)
    assert ear.total < 400_000
    flow.release(5.0)
    wire.run()
    assert ear.total == 900_000


@pytest.mark.parametrize("kind", [FaultKind.CUT, FaultKind.RESET])
@pytest.mark.parametrize("after", [0, 1, INITIAL_WINDOW, 20_000])
def test_a_break_comes_after_exactly_so_many_bytes(kind: FaultKind, after: int) -> None:
    wire = Wire(profile(mbit=MBIT), LineFault(kind=kind, after=after))
    flow, ear = wire.open()
    if after:
        flow.feed(bytes(after), 0.0)
    wire.run(1.0)
    assert not ear.broken
    flow.feed(bytes(30_000), 1.0)
    wire.run()
    assert (ear.total, ear.broken) == (after, [kind])
    assert wire.faults.hits == 1


def test_after_a_cut_the_rest_is_dropped_and_the_end_is_told() -> None:
    wire = Wire(profile(), LineFault(kind=FaultKind.CUT, after=10))
    flow, ear = wire.open()
    flow.feed(bytes(2 * READ_AHEAD), 0.0)
    assert ear.paused
    wire.run()
    flow.cut()
    assert not ear.paused
    assert ear.finished
    flow.feed(bytes(2 * READ_AHEAD), wire.now)
    wire.run(2e6)
    assert (ear.total, ear.paused, flow.over) == (10, False, False)
    flow.end(wire.now)
    assert flow.over


def test_a_stall_is_silence_and_no_end() -> None:
    wire = Wire(profile(), LineFault(kind=FaultKind.STALL, after=10))
    flow, ear = wire.open()
    flow.feed(bytes(100), 0.0)
    flow.end(0.0)
    wire.run()
    assert (ear.total, ear.finished, ear.broken) == (10, [], [])


def test_a_slow_close_delays_the_end_alone() -> None:
    wire = Wire(profile(), LineFault(kind=FaultKind.SLOW_CLOSE, seconds=7.0))
    flow, ear = wire.open()
    flow.feed(bytes(100), 0.0)
    flow.end(0.0)
    wire.run()
    assert ear.by(RTT_S / 2) == ear.total == 100
    assert ear.finished == [pytest.approx(7.0 + RTT_S / 2)]


@pytest.mark.parametrize("bytes_s", [2.0, 1000.0, 100_000.0])
def test_a_drip_has_its_rate(bytes_s: float) -> None:
    wire = Wire(profile(), LineFault(kind=FaultKind.DRIP, bytes_s=bytes_s, after=50))
    flow, ear = wire.open()
    flow.feed(bytes(50 + int(10 * bytes_s)), 0.0)
    wire.run()
    assert ear.by(RTT_S / 2) >= 50
    seconds = ear.heard[-1][0] - ear.heard[0][0]
    assert 10.0 - 1 / bytes_s - 0.021 <= seconds <= 10.1


def test_a_fault_strikes_so_many_connections_once_each_in_its_own_direction() -> None:
    fault = LineFault(kind=FaultKind.CUT, after=5, times=2)
    wire = Wire(profile(), fault)
    up, ear = wire.open(direction="up")
    up.feed(bytes(10), 0.0)
    down = [wire.open() for _ in range(4)]
    for flow, _ in down:
        flow.feed(bytes(10), 0.0)
    wire.run()
    assert ear.total == 10
    assert [heard.total for _, heard in down] == [5, 5, 10, 10]
    assert wire.faults.hits == 2


def test_bytes_are_counted_from_the_order_on() -> None:
    wire = Wire(profile())
    flow, ear = wire.open()
    flow.feed(bytes(1000), 0.0)
    wire.run(1.0)
    wire.faults.add(LineFault(kind=FaultKind.STALL, after=30, times=None))
    flow.feed(bytes(1000), 1.0)
    wire.run(2.0)
    assert ear.total == 1030
    wire.faults.clear()
    other, heard = wire.open()
    other.feed(bytes(1000), 2.0)
    wire.run()
    assert (heard.total, wire.faults.hits) == (1000, 1)


@pytest.mark.parametrize(
    ("target", "address"),
    [
        ("127.0.0.1:8042", ("127.0.0.1", 8042)),
        ("http://127.0.0.9:80/x", ("127.0.0.9", 80)),
        ("localhost:1", ("localhost", 1)),
        ("[::1]:8042", ("::1", 8042)),
    ],
)
def test_a_target_on_loopback(target: str, address: tuple[str, int]) -> None:
    assert parse_target(target) == address


@pytest.mark.parametrize(
    "target",
    ["", "127.0.0.1", "10.0.0.1:80", "localhost.example.org:80", "[::2]:80", "127.0.0.1:port"],
)
def test_any_other_target_is_refused(target: str) -> None:
    with pytest.raises(FixConfigurationError) as caught:
        parse_target(target)
    assert caught.value.code == "line-target"
