"""A progress bar on a terminal; silence elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from segrelay.stages import Stage


@contextlib.contextmanager
def progress_bar() -> Iterator[Callable[[str, float], None]]:
    """Yield a function that takes the stage and its finished share, 0..1."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:<22}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, fraction: float) -> None:
            for name, task in tasks.items():
                if name != stage:
                    bars.update(task, completed=1.0)
            if stage not in tasks:
                text = Stage(stage).sentence
                tasks[stage] = bars.add_task(text[:1].upper() + text[1:], total=1.0)
            bars.update(tasks[stage], completed=fraction)

        yield show
        for task in tasks.values():
            bars.update(task, completed=1.0)
