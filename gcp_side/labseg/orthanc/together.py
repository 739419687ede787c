"""Several questions to Orthanc at the same time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def ask_together(
    ask: Callable[[Item], Answer], items: Sequence[Item], *, at_once: int
) -> list[Answer]:
    """The answers, in the order of the items; the first error is raised.

    ``ask`` runs in other threads: it may use neither the database nor Django's cache.
    """
    if len(items) < 2:
        return [ask(item) for item in items]
    with ThreadPoolExecutor(min(at_once, len(items)), thread_name_prefix="orthanc") as pool:
        return list(pool.map(ask, items))
