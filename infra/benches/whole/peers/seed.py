"""The naive script, started once and given one job after the other."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.benches.whole.measure import JobDone, System
from infra.benches.whole.process_tree import ProcessTree
from infra.servers.json_process import JsonProcess

SCRIPT = "script"


class Seed(System):
    """See :mod:`infra.benches.whole.peers.seed_script`; close it at the end.

    Parameters
    ----------
    orthanc:
        ``BENCH_ORTHANC``, ``BENCH_USER`` and ``BENCH_PASSWORD``.
    """

    def __init__(
        self, folder: Path, *, profile: Path, orthanc: Mapping[str, str], series: Sequence[str]
    ) -> None:
        self._series = list(series)
        # Inherited; the password must not be among the arguments.
        os.environ.update(orthanc)
        arguments = [str(profile), str(folder), orthanc["BENCH_ORTHANC"]]
        module = "infra.benches.whole.peers.seed_script"
        self._process = JsonProcess("the naive script", [sys.executable, "-m", module, *arguments])
        self.imports_s: float = self._process.ask({"series": []})["imports"]
        self.trees = {SCRIPT: ProcessTree([self._process.pid])}

    def job(self) -> JobDone:
        """One job, the weights loaded for it."""
        return JobDone(steps=self._process.ask({"series": self._series}))

    def close(self) -> None:
        """End it."""
        self._process.close()
