"""Many processes, one queue in a directory: every job has exactly one winner."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from segrelay.bucket.local import LocalBucket
from segrelay.queue import SiteQueue, scan
from tests.support.jobs import make_manifest
from tests.support.races import race_in_directory

CLAIMERS = 8
JOBS = 1000


def test_many_processes_one_winner_each(fast_folder: Path) -> None:
    bucket = LocalBucket(fast_folder)
    submitted = [make_manifest() for _ in range(JOBS)]
    for manifest in submitted:
        SiteQueue(bucket).submit(manifest)
    tasks = [(fast_folder, number, CLAIMERS) for number in range(CLAIMERS)]
    with multiprocessing.get_context("spawn").Pool(CLAIMERS) as pool:
        wins = pool.starmap(race_in_directory, tasks, chunksize=1)
    claimed = [job_id for won in wins for job_id in won]
    assert sorted(claimed) == sorted(manifest.job_id for manifest in submitted)
    assert sum(1 for won in wins if won) > 1, "only one process ever won: nobody raced"
    view = scan(bucket)
    assert (len(view.pending), len(view.claimed)) == (0, JOBS)
