"""Tables for a person: columns as wide as their widest cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(heading: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str = "") -> str:
    """A heading and its rows; ``empty`` in place of a table without rows."""
    lines = [heading, *([printable(cell) for cell in row] for row in rows)]
    if len(lines) == 1:
        return empty
    widths = [max(len(line[column]) for line in lines) for column in range(len(heading))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def span(seconds: float) -> str:
    """A time in the largest unit that leaves two digits."""
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


def size(bytes_: int) -> str:
    """A number of bytes in the unit that leaves three digits."""
    for limit, unit_bytes, unit in ((10**6, 10**3, "kB"), (10**9, 10**6, "MB")):
        if bytes_ < limit:
            return f"{bytes_ / unit_bytes:.0f} {unit}"
    return f"{bytes_ / 10**9:.1f} GB"


def printable(text: str) -> str:
    """``text`` without control characters.

    Whoever may write to the bucket must not move the cursor of whoever reads.
    """
    return "".join(character if character.isprintable() else "?" for character in text)
