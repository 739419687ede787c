"""The faults that are still open, and how far each connection is from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from infra.line.profile import Direction, LineFault


@dataclass
class _Order:
    fault: LineFault
    left: int | None
    passed: dict[int, int] = field(default_factory=dict)
    """Bytes since the order, by connection."""
    struck: set[int] = field(default_factory=set)

    def threatens(self, connection: int, direction: Direction) -> bool:
        return (
            self.fault.direction == direction and self.left != 0 and connection not in self.struck
        )

    def distance(self, connection: int) -> int:
        return self.fault.after - self.passed.get(connection, 0)


class OpenFaults:
    """The orders of one line."""

    def __init__(self, faults: Sequence[LineFault] = ()) -> None:
        self._orders: list[_Order] = []
        self.hits = 0
        for fault in faults:
            self.add(fault)

    def add(self, fault: LineFault) -> None:
        """Order a fault; bytes are counted from now on."""
        self._orders.append(_Order(fault, fault.times))

    def clear(self) -> None:
        """Forget every order; connections that were struck stay so."""
        self._orders.clear()

    def due(self, connection: int, direction: Direction) -> LineFault | None:
        """A fault that strikes the connection's next byte; counts it as struck."""
        for order in self._orders:
            if order.threatens(connection, direction) and order.distance(connection) <= 0:
                order.struck.add(connection)
                if order.left is not None:
                    order.left -= 1
                self.hits += 1
                return order.fault
        return None

    def spare(self, connection: int, direction: Direction, wanted: int) -> int:
        """How many of the next ``wanted`` bytes no fault strikes, once none is due."""
        for order in self._orders:
            if order.threatens(connection, direction):
                wanted = min(wanted, order.distance(connection))
        return wanted

    def passed(self, connection: int, direction: Direction, count: int) -> None:
        """``count`` more bytes went through."""
        for order in self._orders:
            if order.fault.direction == direction:
                order.passed[connection] = order.passed.get(connection, 0) + count
