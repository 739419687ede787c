"""Processes of Windows that claim from one queue: every job has exactly one winner."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from segrelay.bucket.local import LocalBucket
from segrelay.queue import SiteQueue, scan
from tests.conftest import Tell
from tests.support.jobs import make_manifest
from tests.support.lab.windows import Windows, in_windows

pytestmark = pytest.mark.long

CLAIMERS = 4
JOBS = 2000

CLAIM = """
import json, sys
from pathlib import Path
from tests.support.races import race_in_directory
print(json.dumps(race_in_directory(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
"""


def test_many_processes_one_winner_each(windows: Windows, tmp_path: Path, tell: Tell) -> None:
    bucket = LocalBucket(tmp_path)
    submitted = [make_manifest() for _ in range(JOBS)]
    for manifest in submitted:
        SiteQueue(bucket).submit(manifest)

    def claim(number: int) -> list[str]:
        done = windows.run("-c", CLAIM, in_windows(tmp_path), str(number), str(CLAIMERS))
        won: list[str] = json.loads(done.stdout.splitlines()[-1])
        return won

    with ThreadPoolExecutor(CLAIMERS) as pool:
        wins = list(pool.map(claim, range(CLAIMERS)))
    claimed = [job_id for won in wins for job_id in won]
    assert sorted(claimed) == sorted(manifest.job_id for manifest in submitted)
    assert sum(1 for won in wins if won) > 1, "only one process ever won: nobody raced"
    view = scan(bucket)
    assert (len(view.pending), len(view.claimed)) == (0, JOBS)
    shares = ", ".join(str(len(won)) for won in wins)
    tell(f"{JOBS} jobs, {CLAIMERS} processes of Windows won {shares}")
