"""What the benches' reports have in common: headlines, tables, the machine, progress."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

WIDTH = 118
"""Characters in a line where no terminal says how wide it is."""

Expected = Mapping[str, tuple[str, float]]
"""By figure: ``at least`` or ``at most``, and the limit."""


def as_expected(expected: Expected, figures: Mapping[str, float | None]) -> dict[str, bool | None]:
    """Whether each expected figure is what is expected; None where it was not measured."""
    return {name: _holds(*expected[name], figures.get(name)) for name in expected}


def _holds(direction: str, limit: float, value: float | None) -> bool | None:
    if value is None:
        return None
    return value >= limit if direction == "at least" else value <= limit


def make_console() -> Console:
    """One whose width follows the terminal."""
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    return console


def make_table(first: str, *others: str, left: Collection[str] = ()) -> Table:
    """Columns of figures, but for the first and those in ``left``."""
    table = Table(title_justify="left")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="left" if name in left else "right")
    return table


def headline_table(report: Mapping[str, Any]) -> Table:
    """The figures that something is expected of."""
    table = make_table("figure", "measured", "as expected")
    for name, held in report["as_expected"].items():
        table.add_row(name, str(report.get(name)), {True: "yes", False: "NO", None: "-"}[held])
    return table


def machine_line(report: Mapping[str, Any]) -> str:
    """Where and when."""
    machine = report["machine"]
    return (
        f"{report['date']}, seed {report['seed']}: {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_gb']} GB, {machine['filesystem']}, Python {machine['python']}, "
        f"load {machine['load_before']} at the start and {machine['load_after']} at the end"
    )


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Say on stderr what runs, and how long it took."""
    start = time.monotonic()
    sys.stderr.write(f"bench: {name} …\n")
    yield
    sys.stderr.write(f"bench: {name}: {time.monotonic() - start:.0f} s\n")
