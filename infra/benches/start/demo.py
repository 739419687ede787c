"""Phase: the demo's servers, from nothing until the agent takes jobs."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from statistics import median

import psutil
from rich.console import RenderableType

from infra.benches.harness import Plan, Report, Scene
from infra.benches.report import figure_table
from infra.demos.model import PHANTOM_PROFILE, prepare_profile
from infra.demos.starting import started_servers
from infra.servers.site_and_agent import Folders


def demo(scene: Scene[Plan]) -> Report:
    """Start and end them once a round; the queue is a directory."""
    rounds = [_start(scene) for _ in range(scene.plan.rounds)]
    return {
        "demo_start_s": round(median(row["s"] for row in rounds), 2),
        "demo_start_cpu_s": round(median(row["cpu_s"] for row in rounds), 2),
        "starts": rounds,
    }


def tables(report: Report) -> Iterator[RenderableType]:
    """One line a round."""
    rows = {str(number): row for number, row in enumerate(report["starts"], 1)}
    yield figure_table("start", {"seconds": "s:.2f", "processor seconds": "cpu_s:.2f"}, rows)


def _start(scene: Scene[Plan]) -> dict[str, float]:
    state, logs = scene.new_folder(), scene.new_folder()
    profile, _ = prepare_profile(PHANTOM_PROFILE, None, state / "profiles")
    before, start = _processor_seconds(), time.monotonic()
    with started_servers("local", profile.name, Folders(state, logs)):
        return {"s": time.monotonic() - start, "cpu_s": _processor_seconds() - before}


def _processor_seconds() -> float:
    """Return the seconds of all processes that this one started, ended or running."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = ended.ru_utime + ended.ru_stime
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            seconds += sum(child.cpu_times()[:4])
    return seconds
