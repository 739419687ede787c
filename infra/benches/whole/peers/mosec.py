"""Mosec on the cloud machine, beside Orthanc, behind a web process that waits for it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import requests

from infra.benches.whole.measure import CLOUD, JobDone, System
from infra.benches.whole.peers.venvs import MOSEC, import_path, program
from infra.benches.whole.process_tree import ProcessTree
from infra.packages.debian import repository_root
from infra.servers.ports import free_port
from infra.servers.processes import ProcessSet
from infra.servers.site_and_agent import DemoError, wait_until_ready

JOB_LIMIT_S = 900
_WEB_THREADS = 16


class Mosec(System):
    """Both of its servers, warm; they end with ``processes``.

    Parameters
    ----------
    orthanc:
        ``BENCH_ORTHANC``, ``BENCH_USER`` and ``BENCH_PASSWORD``.

    Raises
    ------
    DemoError
        One of them did not start.
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
        series: Sequence[str],
    ) -> None:
        self._series = list(series)
        port, web_port = free_port(), free_port()
        service = processes.start(
            "Mosec",
            [program(MOSEC), "-m", "infra.benches.whole.peers.mosec_service"],
            log=folder / "mosec.log",
            environment={
                **import_path(),
                **orthanc,
                "BENCH_PROFILE": str(profile),
                "BENCH_WORK": str(folder),
                "MOSEC_ADDRESS": "127.0.0.1",
                "MOSEC_PORT": str(port),
                "MOSEC_TIMEOUT": str(JOB_LIMIT_S * 1000),
            },
            folder=repository_root(),
        )
        web = processes.start(
            "web process before Mosec",
            [
                *(sys.executable, "-m", "gunicorn", "--workers", "1", "--timeout", "0"),
                *("--threads", str(_WEB_THREADS), "--bind", f"127.0.0.1:{web_port}"),
                "infra.benches.whole.peers.mosec_web",
            ],
            log=folder / "mosec-web.log",
            environment={
                **import_path(),
                "BENCH_MOSEC": f"http://127.0.0.1:{port}/inference",
            },
            folder=repository_root(),
        )
        self._url = f"http://127.0.0.1:{web_port}/"
        self.trees = {CLOUD: ProcessTree([service.process.pid, web.process.pid])}
        wait_until_ready(service, lambda: _answers(f"http://127.0.0.1:{port}/metrics"))
        wait_until_ready(web, lambda: _listens(self._url))

    def job(self) -> JobDone:
        """One request; the answer comes when the SEG is in Orthanc."""
        answer = requests.post(self._url, json={"series": self._series}, timeout=JOB_LIMIT_S)
        if answer.status_code != 200:
            raise DemoError(f"Mosec answered HTTP {answer.status_code}: {answer.text[:200]}")
        return JobDone(steps=answer.json())


def _answers(address: str) -> bool:
    """Whether Mosec's workers are ready: before, it answers 503."""
    with contextlib.suppress(requests.RequestException):
        return requests.get(address, timeout=5).ok
    return False


def _listens(address: str) -> bool:
    with contextlib.suppress(requests.RequestException):
        requests.head(address, timeout=5)
        return True
    return False
