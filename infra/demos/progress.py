"""Following one job with a progress bar, or line by line where there is no terminal."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from infra.servers.site_and_agent import DemoError, DemoServers

JOB_LIMIT_S = 3600.0
"""A job takes about a minute on a CPU; an hour means that something hangs."""

_LOOK_S = 1.0
"""The site looks into the queue once a second at most."""


def follow(servers: DemoServers, job_id: str, console: Console) -> None:
    """Ask the site where the job is, and show it, until the job has ended in whatever way.

    Raises
    ------
    DemoError
        The site or the agent ended, or the job took longer than :data:`JOB_LIMIT_S`.
    """
    columns = (TextColumn("{task.description:<28}"), BarColumn(), TimeElapsedColumn())
    deadline = time.monotonic() + JOB_LIMIT_S
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("submitted", total=100)
        shown = ""
        while not (status := servers.get(f"status/{job_id}/"))["finished"]:
            if (where := _where(status)) != shown:
                shown = where
                progress.reset(bar, description=shown)
                if not console.is_terminal:
                    console.print(f"job {job_id}: {shown}")
            progress.update(bar, completed=status["percent"] or 0)
            servers.check_alive()
            if time.monotonic() > deadline:
                raise DemoError(f"The job has not ended after {JOB_LIMIT_S:.0f} s.")
            time.sleep(_LOOK_S)
        progress.update(bar, description=str(status["status_text"]), completed=100)


def _where(status: dict[str, Any]) -> str:
    return str(status["stage"] or status["status_text"])
