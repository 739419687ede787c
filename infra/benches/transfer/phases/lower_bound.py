"""The folder alone: what it costs to write a download's files, whichever client downloads them.

The others keep contents in memory; SegRelay writes files, because another process reads them.
"""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path
from statistics import median

from infra.benches.harness import Report
from infra.benches.study import MATRIX, SERIES
from infra.benches.transfer.scene import TransferScene

RUNS = 5

_FILE = bytes(2 * math.prod(MATRIX))
"""An instance's pixels."""


def folder_alone(scene: TransferScene) -> Report:
    """Seconds for as many files as a study has, and for the same bytes in one file; no flush."""
    count = SERIES * scene.plan.instances
    return {
        "folder_alone": {
            "files": count,
            "files_s": round(median(_write(scene.folder, count, 1) for _ in range(RUNS)), 4),
            "one_file_s": round(median(_write(scene.folder, 1, count) for _ in range(RUNS)), 4),
        }
    }


def _write(parent: Path, files: int, pieces: int) -> float:
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        start = time.perf_counter()
        for number in range(files):
            with Path(folder, str(number)).open("wb", buffering=0) as file:
                for _ in range(pieces):
                    file.write(_FILE)
        return time.perf_counter() - start
