"""MONAI Label's server, with Orthanc as its datastore over DICOMweb."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import requests
import safetensors.torch
import torch

from infra.benches.whole.measure import JobDone, System
from infra.benches.whole.peers.venvs import MONAILABEL, program
from infra.benches.whole.process_tree import ProcessTree
from infra.servers.ports import free_port
from infra.servers.processes import ProcessSet
from infra.servers.site_and_agent import DemoError, wait_until_ready

SERVER = "server"

JOB_LIMIT_S = 900

_OFF = ("TRAIN", "STRATEGY", "SCORING", "BATCH_INFER")


class MonaiLabel(System):
    """The server, warm; it ends with ``processes``.

    Parameters
    ----------
    orthanc:
        ``BENCH_ORTHANC``, ``BENCH_USER`` and ``BENCH_PASSWORD``.
    series_uids, reference:
        Of the series, in channel order; which of them the SEG is on.

    Raises
    ------
    DemoError
        It did not start.
    FixConfigurationError
        ``bench-tools-missing``.
    """

    def __init__(
        self,
        processes: ProcessSet,
        folder: Path,
        *,
        profile: Path,
        orthanc: Mapping[str, str],
        series_uids: Sequence[str],
        reference: int,
    ) -> None:
        app, self._kept = folder / "app", folder / "kept"
        app.mkdir(parents=True)
        shutil.copy(Path(__file__).with_name("monailabel_app.py"), app / "main.py")
        weights = folder / "weights.pt"
        (file,) = profile.glob("*.safetensors")
        torch.save({"model": safetensors.torch.load_file(file)}, weights)
        self._series, self._reference = list(series_uids), reference
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        server = processes.start(
            "MONAI Label",
            [
                *(program(MONAILABEL, "python"), "-m", "monailabel.main", "start_server"),
                *("--app", str(app), "--studies", f"{orthanc['BENCH_ORTHANC']}/dicom-web"),
                *("--host", "127.0.0.1", "--port", str(port)),
            ],
            log=folder / "monailabel.log",
            environment={
                **_settings(orthanc, self._kept),
                "BENCH_PROFILE": str(profile),
                "BENCH_WEIGHTS": str(weights),
                # Its program that writes a SEG is in its venv.
                "PATH": f"{Path(program(MONAILABEL)).parent}{os.pathsep}{os.environ['PATH']}",
                "HOME": str(folder),
            },
            folder=folder,
        )
        self.trees = {SERVER: ProcessTree([server.process.pid])}
        wait_until_ready(server, self._answers)

    def job(self) -> JobDone:
        """Inference, and the SEG saved into Orthanc; it has kept nothing of an earlier job."""
        for item in self._kept.glob("*/*"):
            shutil.rmtree(item, ignore_errors=True)
            item.unlink(missing_ok=True)
        answer = requests.post(
            f"{self._url}/infer/breast",
            params={"image": self._series[self._reference], "output": "json"},
            data={
                "params": json.dumps(
                    {"series": self._series, "save_label": True, "label_tag": "final"}
                )
            },
            timeout=JOB_LIMIT_S,
        )
        if answer.status_code != 200:
            raise DemoError(f"MONAI Label answered HTTP {answer.status_code}: {answer.text[:200]}")
        found = answer.json()["latencies"]
        return JobDone(steps={name: found[name] for name in ("pre", "infer", "post", "write")})

    def _answers(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self._url}/info/", timeout=5).ok
        return False


def _settings(orthanc: Mapping[str, str], kept: Path) -> dict[str, str]:
    return {
        **{f"MONAI_LABEL_TASKS_{name}": "false" for name in _OFF},
        "MONAI_LABEL_DICOMWEB_USERNAME": orthanc["BENCH_USER"],
        "MONAI_LABEL_DICOMWEB_PASSWORD": orthanc["BENCH_PASSWORD"],
        "MONAI_LABEL_DICOMWEB_CACHE_PATH": str(kept),
        "MONAI_LABEL_DICOMWEB_SEARCH_FILTER": '{"Modality": "MR"}',
    }
