"""Faults that a test orders: the n-th request of a kind goes wrong."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """How a request goes wrong."""

    DROP_BEFORE = "drop-before"
    """The connection closes; nothing was done."""
    DROP_AFTER = "drop-after"
    """It was done; the connection closes before the answer."""
    STATUS = "status"
    """Nothing is done; the answer is ``status``."""
    STATUS_AFTER = "status-after"
    """It was done; the answer is ``status`` all the same."""
    DELAY = "delay"
    """It is done ``seconds`` later."""
    CUT = "cut"
    """It was done; the answer breaks off in the middle of its body."""
    DRIP = "drip"
    """It was done; the answer's body comes one byte every ``seconds``."""
    RESET = "reset"
    """It was done; the connection is reset (TCP RST) before the answer."""
    HANG = "hang"
    """Nothing is done; no answer ever comes, and the connection stays open."""
    HANG_AFTER = "hang-after"
    """It was done; no answer ever comes, and the connection stays open."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One order."""

    kind: FaultKind
    operation: str = ""
    """One of :data:`~infra.fake_gcs.routes.OPERATIONS`; empty for every one."""
    name_contains: str = ""
    """Only requests whose path contains this."""
    skip: int = 0
    """So many matching requests are spared first."""
    times: int = 1
    """So many are hit then."""
    status: int = 503
    seconds: float = 1.0

    def matches(self, operation: str, path: str) -> bool:
        """Whether this order is about such a request."""
        return self.operation in ("", operation) and self.name_contains in path


@dataclass
class _Order:
    """A fault that is still open."""

    fault: Fault
    to_skip: int
    to_hit: int


class Faults:
    """The orders that are still open, and how many they have hit; thread-safe."""

    def __init__(self) -> None:
        self._open: list[_Order] = []
        self._lock = threading.Lock()
        self.hits = 0

    def add(self, fault: Fault) -> None:
        """Order a fault."""
        with self._lock:
            self._open.append(_Order(fault, fault.skip, fault.times))

    def clear(self) -> None:
        """Forget every order."""
        with self._lock:
            self._open.clear()

    def take(self, operation: str, path: str) -> Fault | None:
        """The fault that this request meets, if any; counts it as met."""
        with self._lock:
            for order in self._open:
                if not order.fault.matches(operation, path):
                    continue
                if order.to_skip > 0:
                    order.to_skip -= 1
                elif order.to_hit > 0:
                    order.to_hit -= 1
                    self.hits += 1
                    return order.fault
        return None
