"""Mosec's program: ``python -m infra.benches.whole.peers.mosec_service``, in Mosec's venv.

One worker with the model warm. A job is one request: ``{"series": [Orthanc ids]}``; the worker
fetches the images over one connection from the Orthanc beside it, runs MONAI's chain with
MONAI's network, writes a SEG by highdicom without empty frames, stores it, and answers with the
seconds of its steps. Everything else is in the environment: ``BENCH_PROFILE``, ``BENCH_ORTHANC``,
``BENCH_USER``, ``BENCH_PASSWORD``, ``BENCH_WORK``, and Mosec's own variables.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import requests
import safetensors.torch
import torch
from mosec import Server, Worker  # type: ignore[import-not-found]

from infra.benches.infer.chain import run_chain
from infra.benches.infer.plain import seg_bytes
from lab_side.models.networks import build_network
from segrelay.profiles import load_profile

JOB_LIMIT_S = 900


class Segmenter(Worker):  # type: ignore[misc]
    """The whole job in one worker."""

    def __init__(self) -> None:
        super().__init__()
        folder = Path(os.environ["BENCH_PROFILE"])
        self.profile = load_profile(folder)
        self.network = build_network(self.profile)
        weights = safetensors.torch.load_file(folder / str(self.profile.weights.file))
        self.network.load_state_dict(weights)
        with torch.inference_mode():
            self.network(torch.zeros(1, len(self.profile.inputs), *self.profile.inference.window))
        self.url = os.environ["BENCH_ORTHANC"]
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.auth = (os.environ["BENCH_USER"], os.environ["BENCH_PASSWORD"])

    def forward(self, data: dict[str, Any]) -> dict[str, float]:
        """One job; seconds by step."""
        with tempfile.TemporaryDirectory(dir=os.environ["BENCH_WORK"]) as work:
            return self._job(data["series"], Path(work))

    def _job(self, series: list[str], work: Path) -> dict[str, float]:
        start = time.perf_counter()
        pairs = zip(self.profile.roles, series, strict=True)
        folders = {role: self._fetch(one, work / role) for role, one in pairs}
        fetched = time.perf_counter()
        settings = self.profile.inference
        result = run_chain(
            folders,
            self.profile,
            self.network,
            window=settings.window,
            overlap=settings.overlap,
        )
        computed = time.perf_counter()
        files = sorted(folders[self.profile.reference_role].iterdir())
        seg = seg_bytes(files, result.mask[0].numpy(), is_whole=False)
        written = time.perf_counter()
        self.session.post(f"{self.url}/instances", data=seg).raise_for_status()
        return {
            "fetch": fetched - start,
            "prepare": result.prepare_s,
            "network": result.network_s,
            "restore": result.restore_s,
            "seg": written - computed,
            "upload": time.perf_counter() - written,
        }

    def _fetch(self, series: str, folder: Path) -> Path:
        folder.mkdir()
        for instance in self.session.get(f"{self.url}/series/{series}").json()["Instances"]:
            answer = self.session.get(f"{self.url}/instances/{instance}/file")
            answer.raise_for_status()
            (folder / f"{instance}.dcm").write_bytes(answer.content)
        return folder


if __name__ == "__main__":
    server = Server()
    server.append_worker(Segmenter, num=1, timeout=JOB_LIMIT_S)
    server.run()
