"""What makes the order of the parts of a series doubtful, though no key contradicts."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from segrelay.parts.keys import PartKey, Phases


class PartDoubt(StrEnum):
    """Why the order of the phases may be another one."""

    ONE_KEY = "one-key"
    """Nothing else in the images confirms the key."""
    OTHER_ORDER = "other-order"
    """Nothing else confirms it, and the instance numbers count the phases in another order."""


def doubt_of(
    key: PartKey | None, phases: Sequence[Phases], *, is_confirmed: bool, declared: set[int | None]
) -> PartDoubt | None:
    """What is doubtful of the order of these phases; None where nothing is.

    Parameters
    ----------
    phases:
        Of each stack.
    is_confirmed:
        Another key gives the same phases.
    declared:
        Numbers of Temporal Positions in the images.
    """
    if key is None or is_confirmed:
        return None
    orders = {_order_by_number(found) for found in phases}
    if len(orders) == 1 and None not in orders:
        order = orders.pop() or ()
        return None if order == tuple(range(len(order))) else PartDoubt.OTHER_ORDER
    is_counted = key is PartKey.TEMPORAL_POSITION and declared == {len(phases[0])}
    return None if is_counted else PartDoubt.ONE_KEY


def _order_by_number(phases: Phases) -> tuple[int, ...] | None:
    """The phases as the instance numbers count them; None where places differ, or some have none.

    Frames of several instances are counted in each of them.
    """
    images = [image for phase in phases for image in phase]
    has_frames = any(image.frame is not None for image in images)
    if has_frames and len({image.instance for image in images}) > 1:
        return None
    orders = set()
    for place in zip(*phases, strict=True):
        numbers = [image.number for image in place if image.number is not None]
        if len(set(numbers)) < len(phases):
            return None
        orders.add(tuple(sorted(range(len(numbers)), key=numbers.__getitem__)))
    return orders.pop() if len(orders) == 1 else None
