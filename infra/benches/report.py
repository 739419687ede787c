"""A bench's report for the terminal: headlines, tables, the machine, progress."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, RenderableType
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


def print_report(
    report: Mapping[str, Any], also_shown: Sequence[str], tables: Iterable[RenderableType]
) -> None:
    """Print where and when, the headline figures, and the tables; as wide as the terminal."""
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    console.print(_machine_line(report), markup=False)
    held = {**report["as_expected"], **dict.fromkeys(also_shown)}
    words = {True: "yes", False: "NO", None: "-"}
    rows = {name: {"measured": str(report.get(name)), "held": words[held[name]]} for name in held}
    console.print(figure_table("figure", {"measured": "measured", "as expected": "held"}, rows))
    for table in tables:
        console.print(table, markup=False)


def figure_table(
    title: str,
    columns: Mapping[str, str],
    rows: Mapping[str, Mapping[str, Any]],
    *,
    left: Collection[str] = (),
) -> Table:
    """One line a row; a column is ``key:format`` of the row's figure, ``-`` where it is None.

    Columns in ``left`` hold words.
    """
    table = Table(title_justify="left")
    table.add_column(title)
    for header in columns:
        table.add_column(header, justify="left" if header in left else "right")
    for label, row in rows.items():
        table.add_row(label, *(_cell(row, column) for column in columns.values()))
    return table


def _cell(row: Mapping[str, Any], column: str) -> str:
    key, _, form = column.partition(":")
    value = row.get(key)
    return "-" if value is None else format(value, form)


def _machine_line(report: Mapping[str, Any]) -> str:
    machine = report["machine"]
    return (
        f"{report['date']}, seed {report['seed']}: {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_gb']} GB, {machine['filesystem']}, Python {machine['python']}, "
        f"load {machine['load_before']} at the start and {machine['load_after']} at the end"
    )


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Print on stderr what runs, and how long it took."""
    start = time.monotonic()
    sys.stderr.write(f"bench: {name} …\n")
    yield
    sys.stderr.write(f"bench: {name}: {time.monotonic() - start:.0f} s\n")
