"""A progress bar on a terminal; silence elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

STAGES = {
    "load": "Loading the model",
    "fetch": "Fetching the series",
    "read": "Reading the images",
    "register": "Aligning the series",
    "preprocess": "Preparing the volumes",
    "infer": "Segmenting",
    "restore": "Placing the mask",
    "seg": "Writing the SEG",
    "upload": "Uploading to Orthanc",
}
"""Stage names as a person reads them, in order."""


@contextlib.contextmanager
def progress_bar() -> Iterator[Callable[[str, float], None]]:
    """Yield a function that is told the stage and its finished share, 0..1."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:<22}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, fraction: float) -> None:
            for name, task in tasks.items():
                if name != stage:
                    bars.update(task, completed=1.0)
            if stage not in tasks:
                tasks[stage] = bars.add_task(STAGES.get(stage, stage), total=1.0)
            bars.update(tasks[stage], completed=fraction)

        yield show
        for task in tasks.values():
            bars.update(task, completed=1.0)
