"""The pause between two looks: short after activity, long when idle, never in step."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from lab_side.agent.poll_interval import ACTIVE_FOR, JITTER, PollInterval
from tests.conftest import SEED


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def make_pace(clock: Clock, *, active: float = 2.0, idle: float = 15.0) -> PollInterval:
    return PollInterval(active=active, idle=idle, monotonic=clock, chance=random.Random(SEED))


def is_about(pause: float, middle: float) -> bool:
    return middle * (1 - JITTER) <= pause <= middle * (1 + JITTER)


def test_the_pause_is_short_for_some_minutes_after_activity_and_then_long() -> None:
    clock = Clock()
    pace = make_pace(clock)
    assert is_about(pace.pause(), 2.0), "an agent that has just started looks often"
    clock.seconds += ACTIVE_FOR
    assert is_about(pace.pause(), 15.0)
    pace.note_activity()
    clock.seconds += ACTIVE_FOR - 1
    assert is_about(pace.pause(), 2.0)
    clock.seconds += 1
    assert is_about(pace.pause(), 15.0)


def test_two_agents_do_not_look_in_step() -> None:
    pace = make_pace(Clock())
    assert len({pace.pause() for _ in range(20)}) == 20


@given(st.floats(0.2, 60), st.floats(0.2, 60), st.floats(0, 10_000))
def test_idle_is_never_more_hurried_than_active(active: float, idle: float, later: float) -> None:
    clock = Clock()
    pace = make_pace(clock, active=active, idle=idle)
    clock.seconds += later
    assert pace.pause() >= active * (1 - JITTER)
