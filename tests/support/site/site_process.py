"""A real site that keeps the queue: gunicorn as delivered, which may be killed at any moment."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from gcp_side.site.alive import is_alive
from infra.servers.ports import free_port
from infra.servers.processes import stop_process
from tests.support.paths import ROOT
from tests.support.servers import compose
from tests.support.servers.front import Front

START_LIMIT_S = 180.0
"""On a very busy machine; it takes two seconds."""
HOST = "localhost"
PATH = "/api/mri/segmentation/queue"

_EMPTY = "DELETE FROM labseg_queueobject"

_WORDS = ("ALLOWED_HOSTS", "TRUSTED_ORIGINS", "BEHIND_PROXY", "SYNC")
"""Settings of the site in ``infra/docker-compose.yml`` that hold on any machine."""


class SiteProcess:
    """One site, started and ended as often as a test likes; its data stay.

    Parameters
    ----------
    folder:
        Of the log, and of the database where none is given.
    database:
        As ``SEGRELAY_DATABASE`` takes it; empty for SQLite.
    behind_nginx:
        Reached by TLS through nginx with the template of ``infra/compose``.
    """

    def __init__(self, folder: Path, *, database: str = "", behind_nginx: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._place = f"127.0.0.1:{free_port()}"
        self.front = (
            Front(folder, self._place, secrets=folder / "secrets") if behind_nginx else None
        )
        self.url = self.direct_url if self.front is None else self.front.url
        self.log = folder / "site.log"
        self.database = database or str(folder / "site.sqlite3")
        self._process: subprocess.Popen[bytes] | None = None
        given = compose.load({**compose.GIVEN, "SEGRELAY_HOST": f"{HOST},127.0.0.1"})
        values = given["services"]["site"]["environment"]
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("SEGRELAY")},
            **{f"SEGRELAY_{word}": values[f"SEGRELAY_{word}"] for word in _WORDS},
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "common"))),
            "DJANGO_SETTINGS_MODULE": "gcp_side.site.settings",
            "SEGRELAY_TRUSTED_ORIGINS": f"https://{HOST}",
            "SEGRELAY_SECRET_KEY": "the-same-in-all-workers-" * 3,
            "SEGRELAY_DATABASE": self.database,
            "SEGRELAY_BUCKET": "database:",
            "SEGRELAY_ORTHANC_URL": "http://127.0.0.1:9",
        }
        if not behind_nginx:
            self._environment |= {"SEGRELAY_BEHIND_PROXY": "0", "SEGRELAY_HTTPS": "0"}
        self.manage("migrate", "--verbosity", "0")
        if self.front is not None:
            self.front.start()

    @property
    def direct_url(self) -> str:
        """Where gunicorn listens, whatever is before it."""
        return f"http://{self._place}"

    @property
    def trust(self) -> dict[str, str]:
        """Variables of an agent that must reach it."""
        return {} if self.front is None else {"SEGRELAY_QUEUE_CA_FILE": str(self.front.authority)}

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

    def tokens(self, agents: Sequence[str]) -> dict[str, str]:
        """Make new tokens of many agents at once, by agent."""
        program = (
            "import json; from gcp_side.labseg.queue.tokens import add_token; "
            f"print(json.dumps({{agent: add_token(agent) for agent in {list(agents)}}}))"
        )
        made: dict[str, str] = json.loads(self.manage("shell", "--no-imports", "-c", program))
        return made

    def empty_queue(self) -> None:
        """Remove every object of the queue, behind the site's back."""
        if "://" in self.database:
            import psycopg

            with psycopg.connect(self.database) as postgres:
                postgres.execute(_EMPTY)
        else:
            with contextlib.closing(sqlite3.connect(self.database, timeout=20)) as sqlite, sqlite:
                sqlite.execute(_EMPTY)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = compose.load()["services"]["site"]["command"]
        assert command[0] == "gunicorn"
        words = [self._place if word == "0.0.0.0:8000" else word for word in command]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *words],
                env=self._environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Its workers die with it.
                start_new_session=True,
            )
        limit = time.monotonic() + START_LIMIT_S
        while not is_alive(self._place, HOST):
            if self._process.poll() is not None or time.monotonic() > limit:
                raise AssertionError(self.log.read_text()[-2000:])
            time.sleep(0.1)

    def kill(self) -> None:
        """``kill -9`` of all its processes."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def kill_worker(self, chance: random.Random) -> None:
        """``kill -9`` of one of the processes that answer; gunicorn starts another one."""
        assert self._process is not None
        if workers := psutil.Process(self._process.pid).children():
            chance.choice(workers).kill()

    def reload(self) -> None:
        """SIGHUP: gunicorn replaces the processes that answer, as after an update."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def terminate(self) -> None:
        """SIGTERM, as a service manager does; requests under way may end."""
        assert self._process is not None
        self._process.terminate()

    def stop(self) -> None:
        """SIGTERM, and wait until it has ended."""
        if self._process is not None:
            stop_process(self._process, grace_s=60.0)
            self._process = None

    def close(self) -> None:
        """End it, and what is before it."""
        self.kill()
        if self.front is not None:
            self.front.stop()
