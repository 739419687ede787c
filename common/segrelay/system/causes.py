"""The causes of an exception."""

from __future__ import annotations

from collections.abc import Iterator

_MOST_CAUSES = 30


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that lies behind it, in whatever way libraries carry it along.

    urllib3 keeps it in ``reason`` or ``args``, Google's client in ``cause``.
    """
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < _MOST_CAUSES:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        behind = (
            current.__cause__,
            current.__context__,
            getattr(current, "reason", None),
            getattr(current, "cause", None),
            *current.args,
        )
        waiting += [item for item in behind if isinstance(item, BaseException)]
