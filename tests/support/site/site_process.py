"""A real site that keeps the queue: gunicorn over SQLite, which may be killed at any moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import requests

from infra.servers.ports import free_port
from tests.support.paths import ROOT

START_LIMIT_S = 60.0


class SiteProcess:
    """One site, started and ended as often as a test likes; its data stay.

    Parameters
    ----------
    folder:
        Of the database and the log.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = folder / "site.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("SEGRELAY")},
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "common"))),
            "DJANGO_SETTINGS_MODULE": "gcp_side.site.settings",
            "SEGRELAY_DEBUG": "1",
            "SEGRELAY_SYNC": "0",
            "SEGRELAY_SECRET_KEY": "the-same-in-all-workers-" * 3,
            "SEGRELAY_DATABASE": str(folder / "site.sqlite3"),
            "SEGRELAY_BUCKET": "database:",
            "SEGRELAY_ORTHANC_URL": "http://127.0.0.1:9",
        }
        self.manage("migrate", "--verbosity", "0")

    def manage(self, *arguments: str) -> str:
        """Run a management command; returns what it printed."""
        done = subprocess.run(
            [sys.executable, "gcp_side/manage.py", *arguments],
            env=self._environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def token(self, agent: str) -> tuple[str, str]:
        """The address of the queue, and a new token of an agent."""
        made = json.loads(self.manage("labseg", "agent-token", "add", agent, "--json"))
        return f"{self.url}{urlsplit(made['address']).path}", made["token"]

    def start(self) -> None:
        """Start it, and wait until it answers."""
        gunicorn = [sys.executable, "-m", "gunicorn", "-c", "python:gcp_side.site.gunicorn"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*gunicorn, "gcp_side.site.wsgi", "--bind", self.url.removeprefix("http://")],
                env=self._environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Its workers die with it.
                start_new_session=True,
            )
        limit = time.monotonic() + START_LIMIT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > limit:
                raise AssertionError(self.log.read_text()[-2000:])
            time.sleep(0.1)

    def kill(self) -> None:
        """``kill -9`` of all its processes."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/admin/login/", timeout=30).status_code == 200
        except requests.ConnectionError:
            return False
