"""Many processes, one queue in a directory: every job has exactly one winner."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from segrelay.bucket.local import LocalBucket
from segrelay.queue import SiteQueue, scan
from tests.support.jobs import make_manifest
from tests.support.races import race_in_directory

FEW, MANY = (3, 200), (8, 1000)
"""Processes, and the jobs that all of them want."""


@pytest.mark.parametrize(("claimers", "jobs"), [FEW, pytest.param(*MANY, marks=pytest.mark.long)])
def test_many_processes_one_winner_each(fast_folder: Path, claimers: int, jobs: int) -> None:
    bucket = LocalBucket(fast_folder)
    submitted = [make_manifest() for _ in range(jobs)]
    for manifest in submitted:
        SiteQueue(bucket).submit(manifest)
    tasks = [(fast_folder, number, claimers) for number in range(claimers)]
    with multiprocessing.get_context("spawn").Pool(claimers) as pool:
        wins = pool.starmap(race_in_directory, tasks, chunksize=1)
    claimed = [job_id for won in wins for job_id in won]
    assert sorted(claimed) == sorted(manifest.job_id for manifest in submitted)
    assert sum(1 for won in wins if won) > 1, "only one process ever won: nobody raced"
    view = scan(bucket)
    assert (len(view.pending), len(view.claimed)) == (0, jobs)
