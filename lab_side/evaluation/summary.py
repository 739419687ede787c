"""Means over cases, with an interval in which the mean lies with 95 % probability."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

RESAMPLINGS = 2000
SEED = 20_240_506
"""The same cases give the same interval."""


@dataclass(frozen=True)
class Mean:
    """Mean of values; the interval is None for fewer than two."""

    value: float
    count: int
    low: float | None
    high: float | None


def mean_of(values: Sequence[float | None]) -> Mean | None:
    """The mean of those that are known, with its percentile bootstrap interval; None: none is.

    The bootstrap (Efron 1979) asks for no bell curve: Dice ends at 1, and errors have tails.
    """
    known = [value for value in values if value is not None]
    if not known:
        return None
    if len(known) == 1:
        return Mean(known[0], 1, None, None)
    chance = random.Random(SEED)  # noqa: S311  (no secret)
    means = sorted(fmean(chance.choices(known, k=len(known))) for _ in range(RESAMPLINGS))
    edge = round(0.025 * RESAMPLINGS)
    return Mean(fmean(known), len(known), means[edge], means[-edge - 1])
