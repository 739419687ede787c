"""Means, percentiles and ratios of what was timed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean, median

from infra.benches.queue.contender import Timing

_Part = Callable[[Timing], int]

Rounds = Sequence[Sequence[Timing]]
"""The blocks of one contender, one a round."""


def claim_us(rounds: Rounds) -> float:
    """Microseconds a claim: the mean of each round, the median of the rounds."""
    return median(_means(rounds, lambda timing: timing.claim)) / 1e3


def cycle_us(rounds: Rounds) -> float:
    """Microseconds a claim with result and acknowledgement, in the same route."""
    return median(_means(rounds, lambda timing: timing.claim + timing.finish)) / 1e3


def claim_ratio(slow: Rounds, fast: Rounds) -> float:
    """How many times longer a claim takes in ``slow``: the median of the rounds' own ratios."""
    return _ratio(slow, fast, lambda timing: timing.claim)


def cycle_ratio(slow: Rounds, fast: Rounds) -> float:
    """The same of whole cycles."""
    return _ratio(slow, fast, lambda timing: timing.claim + timing.finish)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _ratio(slow: Rounds, fast: Rounds, part: _Part) -> float:
    pairs = zip(_means(slow, part), _means(fast, part), strict=True)
    return median(long / short for long, short in pairs)


def _means(rounds: Rounds, part: _Part) -> list[float]:
    return [fmean(part(timing) for timing in block) for block in rounds]
