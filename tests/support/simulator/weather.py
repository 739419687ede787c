"""What goes wrong between a process and its servers, drawn from the history's seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from enum import Enum
from typing import TypeVar

from segrelay.errors import SegRelayError

T = TypeVar("T")


class Mishap(Enum):
    """How one operation goes wrong."""

    LOST_REQUEST = "it never arrived"
    LOST_ANSWER = "it was done, but the answer was lost"
    REPEATED = "it was done, the answer was lost, and the transport repeated it"


class Weather:
    """Draws mishaps; ``rate`` is the share of operations that meet one."""

    def __init__(self, chance: random.Random, rate: float) -> None:
        self.chance = chance
        self.rate = rate

    def strikes(self) -> bool:
        """Whether the next operation meets a mishap."""
        return self.rate > 0 and self.chance.random() < self.rate

    def run(
        self, operation: Callable[[], T], failure: type[SegRelayError], *, lost: Callable[[], None]
    ) -> T:
        """Run an operation in this weather; ``lost`` is told when its answer does not arrive."""
        mishap = self.chance.choice(list(Mishap)) if self.strikes() else None
        if mishap is Mishap.LOST_REQUEST:
            raise failure("lost request")
        if mishap is Mishap.REPEATED:
            try:
                operation()
            except SegRelayError:
                return operation()
        answer = operation()
        if mishap is Mishap.LOST_ANSWER:
            lost()
            raise failure("lost answer")
        return answer
