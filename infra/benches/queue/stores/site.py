"""A site that keeps the queue: nginx with TLS, gunicorn, PostgreSQL that flushes each commit.

Where no PostgreSQL is installed the database is SQLite, and the report names it.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests

from infra.benches.queue.stores.access import Access
from infra.benches.queue.stores.site_limits import THREADS, WORKERS
from infra.packages.debian import repository_root
from infra.servers.certificates import Authority
from infra.servers.nginx import NginxServer
from infra.servers.ports import free_port
from infra.servers.postgres import find_programs, private_postgres
from infra.servers.processes import ProcessSet
from infra.servers.site_and_agent import run_command, wait_until_ready

PATH = "/api/mri/segmentation/queue"

_NEW_TOKENS = """
import json, sys
from gcp_side.labseg.queue.tokens import add_token
print(json.dumps({agent: add_token(agent) for agent in AGENTS}))
"""


@dataclass(frozen=True)
class QueueSite:
    """A site that runs."""

    access: Access
    """Leads a process to its queue, as agent and as site."""
    is_postgresql: bool
    log: Path
    """A line for each request."""
    _roots: Sequence[int]
    _data: Path | None
    """Of PostgreSQL."""

    def accesses(self, agents: Sequence[str]) -> list[Access]:
        """Lead further agents to its queue, each with a token of its own."""
        code = _NEW_TOKENS.replace("AGENTS", repr(list(agents)))
        tokens = json.loads(run_command(self.access.environment, "shell", "-v", "0", "-c", code))
        return [self.access.of(agent, tokens[agent]) for agent in agents]

    def requests(self) -> int:
        """How many requests of agents it has answered."""
        return self.log.read_text(errors="replace").count(f"{PATH}/")

    def cpu_seconds(self) -> float:
        """Processor time that all its processes have used."""
        roots = [psutil.Process(pid) for pid in self._roots]
        if self._data is not None:
            postmaster = int((self._data / "postmaster.pid").read_text().split()[0])
            roots.append(psutil.Process(postmaster))
        used = 0.0
        for process in [each for root in roots for each in (root, *root.children(recursive=True))]:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                # Those of children that have ended as well: PostgreSQL's connections.
                used += sum(times[:4]) if process in roots else times.user + times.system
        return used


@contextlib.contextmanager
def queue_site(folder: Path) -> Iterator[QueueSite]:
    """A site until the block ends; ``folder`` is for its files.

    Raises
    ------
    DemoError
        It did not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        programs = find_programs()
        database = str(folder / "site.sqlite3")
        if programs is not None:
            database = stack.enter_context(private_postgres(programs, is_durable=True))
        port = free_port()
        environment = _environment(database, port)
        run_command(environment, "migrate", "--verbosity", "0")
        gunicorn = stack.enter_context(_gunicorn(folder, environment, port))
        authority = Authority(folder)
        identity = authority.issue("127.0.0.1")
        nginx = stack.enter_context(NginxServer(f"http://127.0.0.1:{port}", identity))
        access = Access(
            address=f"{nginx.url}{PATH}",
            environment={**environment, "REQUESTS_CA_BUNDLE": str(authority.certificate)},
        )
        server = database.partition("?host=")[2]
        site = QueueSite(
            access=access,
            is_postgresql=programs is not None,
            log=folder / "site.log",
            _roots=(gunicorn, nginx.pid),
            _data=Path(server) / "data" if server else None,
        )
        (first,) = site.accesses(["lab-1"])
        yield QueueSite(first, site.is_postgresql, site.log, site._roots, site._data)


@contextlib.contextmanager
def _gunicorn(folder: Path, environment: Mapping[str, str], port: int) -> Iterator[int]:
    command = [
        *(sys.executable, "-m", "gunicorn", "-c", "python:gcp_side.site.gunicorn"),
        *("--workers", str(WORKERS), "--threads", str(THREADS), "--bind", f"127.0.0.1:{port}"),
        "gcp_side.site.wsgi",
    ]
    with ProcessSet() as processes:
        child = processes.start(
            "site",
            command,
            log=folder / "site.log",
            environment=environment,
            folder=repository_root(),
        )
        wait_until_ready(child, lambda: _answers(port))
        yield child.process.pid


def _answers(port: int) -> bool:
    with contextlib.suppress(requests.RequestException):
        address = f"http://127.0.0.1:{port}/segmentation/login/"
        return requests.get(address, timeout=5).ok
    return False


def _environment(database: str, port: int) -> dict[str, str]:
    return {
        "DJANGO_SETTINGS_MODULE": "infra.benches.queue.stores.settings",
        "SEGRELAY_BUCKET": "database:",
        "SEGRELAY_DATABASE": database,
        # Nothing asks an Orthanc here.
        "SEGRELAY_ORTHANC_URL": f"http://127.0.0.1:{port}",
        "SEGRELAY_ORTHANC_USER": "bench",
        "SEGRELAY_ORTHANC_PASSWORD": secrets.token_urlsafe(12),
        "SEGRELAY_SECRET_KEY": secrets.token_urlsafe(50),
        # nginx asks with the name of its group of servers.
        "SEGRELAY_ALLOWED_HOSTS": "127.0.0.1,orthanc",
        "SEGRELAY_HTTPS": "0",
        "SEGRELAY_SYNC": "0",
        "PYTHONUNBUFFERED": "1",
    }
