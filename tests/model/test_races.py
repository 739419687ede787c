"""Many processes, one queue: every job has exactly one winner, wherever the queue is."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from segrelay.queue import SiteQueue, scan
from tests.support.jobs import make_manifest
from tests.support.lab.fast_queues import QUEUES
from tests.support.races import race
from tests.support.repetition import at_length

FEW, MANY = (3, 60), (8, 1000)
"""Processes, and the jobs that all of them want."""


@pytest.mark.parametrize(("racers", "jobs"), [FEW, pytest.param(*MANY, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", ["directory", "gcs", "site", *at_length("site-sqlite"), "redis"])
def test_many_processes_one_winner_each(
    fast_folder: Path, kind: str, racers: int, jobs: int
) -> None:
    agents = [f"lab-{number}" for number in range(racers)]
    with QUEUES[kind](fast_folder / "queue", agents) as queue:
        submitted = [make_manifest() for _ in range(jobs)]
        for manifest in submitted:
            SiteQueue(queue.bucket).submit(manifest)
        tasks = [(queue.address, queue.environment_of(agent), agent, racers) for agent in agents]
        with multiprocessing.get_context("spawn").Pool(racers) as pool:
            wins = pool.starmap(race, tasks, chunksize=1)
        claimed = [job_id for won in wins for job_id in won]
        assert sorted(claimed) == sorted(manifest.job_id for manifest in submitted)
        assert all(wins), "a process never won: it has not raced"
        view = scan(queue.bucket)
        assert (len(view.pending), len(view.claimed)) == (0, jobs)
