"""The naive script as a process that is there already: ``python -m … PROFILE_FOLDER WORK URL``.

Imports are done before the first job, as in a script that watches a folder; all else is done for
each job: one request an image, the weights, MONAI's chain, a SEG of all frames, one POST.
User and password are in the environment. A request is ``{"series": [Orthanc ids]}``; the answer
has the seconds of its steps, and ``imports``.
"""

from __future__ import annotations

import sys
import tempfile
import time

BEGAN = time.perf_counter()

# The tests' packages bring it, and MONAI would spend seconds on importing it.
sys.modules["transformers"] = None  # type: ignore[assignment]

from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from infra.benches.answering import answer_lines  # noqa: E402
from infra.benches.infer.plain import run_job  # noqa: E402

IMPORTS_S = time.perf_counter() - BEGAN


def _answer(request: dict[str, Any]) -> dict[str, float]:
    profile, work, url = sys.argv[1:]
    if not request["series"]:
        return {"imports": IMPORTS_S}
    with tempfile.TemporaryDirectory(dir=work) as folder:
        return run_job(Path(profile), Path(folder), url, request["series"])


if __name__ == "__main__":
    answer_lines(_answer)
