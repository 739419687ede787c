"""Interleaved rounds, and the figures of what was timed in them.

In each round every contender runs once, in a new order, so that a drift of the machine hits all
alike; a figure is the median of the rounds, a ratio the median of the rounds' own ratios.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Collection, Sequence
from statistics import median
from typing import TypeVar

SLOW_S = 10.0
"""A contender whose first run took longer is not run again: its runs differ by little."""

T = TypeVar("T")


def interleaved(
    contenders: Collection[str],
    rounds: int,
    rng: random.Random,
    measure: Callable[[str], T],
    *,
    seconds: Callable[[T], float] = lambda _: 0.0,
) -> dict[str, list[T]]:
    """Measurements by contender; ``seconds`` of the first one decides whether it runs again."""
    found: dict[str, list[T]] = {kind: [] for kind in contenders}
    for _ in range(rounds):
        for kind in rng.sample(sorted(contenders), len(contenders)):
            if not found[kind] or seconds(found[kind][0]) < SLOW_S:
                found[kind].append(measure(kind))
    return found


def ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    """How many times longer ``slow`` takes; values by round."""
    return median(long / short for long, short in zip(slow, fast, strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def timed(
    action: Callable[[], T], clock: Callable[[], float] = time.perf_counter
) -> tuple[float, T]:
    """Seconds by ``clock``, and what the action returned."""
    start = clock()
    done = action()
    return clock() - start, done
