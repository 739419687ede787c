"""The compose project under a name of its own, and what a person or an agent outside does with it.

It is changed in three things only, by a second compose file: nginx is published on an address of
loopback, the queue is a folder that is mounted (a bucket at Google cannot be had here), and the
site's containers run as a user id that has no account.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from pydantic import SecretStr

from infra.containers.engine import Engine
from infra.packages.debian import repository_root
from segrelay.orthanc import OrthancClient, OrthancSettings

PROJECT = "segrelay-trial"
HOST = "seg.hospital.example"
ADDRESS = "127.77.0.1"
"""Of loopback: where nginx is published, and what :data:`HOST` leads to."""

USER_ID = 54321
"""No passwd file knows it."""

SITE = ("migrate", "site", "sync")
QUEUE = "/srv/queue"
PROFILE = "demo"
ADMINISTRATOR = "operator"
WAIT_S = 180.0
_READ_ALL = "+dac_read_search"


class TrialError(Exception):
    """Something was not as it must be; the text says what."""


@dataclass(frozen=True)
class Hospital:
    """One run of the compose project; ``folder`` holds its queue, secrets and logs."""

    engine: Engine
    folder: Path
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    """Of the site's administrator."""

    def prepare(self) -> None:
        """The folder, the secrets and the second compose file."""
        queue = self.folder / "queue"
        queue.mkdir()
        shutil.chown(queue, USER_ID, 0)
        make_secrets = repository_root() / "infra" / "compose" / "make-secrets"
        subprocess.run([make_secrets, HOST, self.secrets], check=True, capture_output=True)
        self.override(USER_ID)

    def open_queue(self) -> None:
        """Let another user id go on with the queue's folder: a bucket has no owner."""
        queue = self.folder / "queue"
        for path in [queue, *queue.rglob("*")]:
            path.chmod(0o777 if path.is_dir() else 0o666)

    @property
    def secrets(self) -> Path:
        """Where the files of secrets are."""
        return self.folder / "secrets"

    @property
    def authority(self) -> Path:
        """The certificate that a client outside trusts, PEM."""
        return self.secrets / "tls-certificate"

    def override(self, user_id: int) -> None:
        """Write the second compose file, with the site's containers as ``user_id``, group 0."""
        site = {
            "user": f"{user_id}:0",
            "volumes": [f"{self.folder / 'queue'}:{QUEUE}"],
        }
        services: dict[str, Any] = dict.fromkeys(SITE, site)
        services["nginx"] = {"ports": [f"{ADDRESS}:80:80", f"{ADDRESS}:443:443"]}
        files = {
            path.name: {"file": str(path)}
            for path in self.secrets.iterdir()
            if path.name != "orthanc-lab-password"
        }
        text = json.dumps({"services": services, "secrets": files}, indent=1)
        # JSON is YAML; a list of ports is added to the first file's unless it says otherwise.
        text = text.replace('"ports": ', '"ports": !override ')
        (self.folder / "override.yml").write_text(text)

    def compose(self, *words: str) -> str:
        """Run ``docker compose …`` and return its standard output."""
        return self.engine.docker(*self._compose, *words, given=self._given)

    def code(self, *words: str) -> int:
        """The exit code of ``docker compose …``."""
        return self.engine.attempt(*self._compose, *words, given=self._given).returncode

    @property
    def _compose(self) -> tuple[str, ...]:
        files = ("infra/docker-compose.yml", str(self.folder / "override.yml"))
        return ("compose", "--project-name", PROJECT, *(w for f in files for w in ("--file", f)))

    @property
    def _given(self) -> Mapping[str, str]:
        return {
            "SEGRELAY_HOST": HOST,
            "SEGRELAY_BUCKET": f"file://{QUEUE}",
            "SEGRELAY_CA_FILE": "/run/secrets/tls-certificate",
        }

    def containers(self, service: str) -> list[str]:
        """Ids of a service's containers, those that have ended too."""
        return self.compose("ps", "--all", "--quiet", service).split()

    def inspect(self, service: str) -> dict[str, Any]:
        """What docker knows of a service's first container."""
        found: list[dict[str, Any]] = json.loads(
            self.engine.docker("inspect", self.containers(service)[0])
        )
        return found[0]

    def manage(self, *words: str) -> str:
        """``manage.py …`` in the site's container."""
        return self.compose("exec", "-T", "site", "python", "gcp_side/manage.py", *words)

    def make_administrator(self) -> None:
        """As infra/OPERATIONS.md says, but without questions."""
        self.compose(
            *("exec", "-T", "--env", f"DJANGO_SUPERUSER_PASSWORD={self.password}", "site"),
            *("python", "gcp_side/manage.py", "createsuperuser", "--noinput"),
            *("--username", ADMINISTRATOR, "--email", "operator@hospital.example"),
        )

    def browser(self) -> requests.Session:
        """A session that is logged in through nginx."""
        session = requests.Session()
        session.trust_env = False
        session.verify = str(self.authority)
        page = f"https://{HOST}/segmentation/login/"
        session.headers["Referer"] = page
        session.get(page, timeout=60).raise_for_status()
        form = {
            "username": ADMINISTRATOR,
            "password": self.password,
            "csrfmiddlewaretoken": session.cookies.get("csrftoken"),
        }
        session.post(page, data=form, timeout=60).raise_for_status()
        must("sessionid" in session.cookies, "the site does not let its administrator in")
        return session

    def lab(self) -> OrthancClient:
        """Orthanc as the lab reaches it: through nginx, with the lab's own password."""
        return OrthancClient(
            OrthancSettings(
                url=f"https://{HOST}/orthanc",
                user="lab",
                password=SecretStr(self._lab_password),
                ca_file=self.authority,
            )
        )

    @property
    def _lab_password(self) -> str:
        return (self.secrets / "orthanc-lab-password").read_text().strip()

    def agent_command(self) -> list[str]:
        """The lab's agent, as the same user id: it shares the queue's folder.

        It may read everything, as this checkout and its Python may be root's own.
        """
        return [
            *("setpriv", f"--reuid={USER_ID}", "--regid=0", "--clear-groups"),
            *("--inh-caps", _READ_ALL, "--ambient-caps", _READ_ALL),
            *(str(Path(sys.executable).parent / "lab-agent"), "run"),
        ]

    def agent_environment(self) -> dict[str, str]:
        """The agent's settings as environment variables."""
        work = self.folder / "agent"
        work.mkdir(exist_ok=True)
        shutil.chown(work, USER_ID, 0)
        return {
            "HOME": "/nonexistent",
            "SEGRELAY_BUCKET": (self.folder / "queue").as_uri(),
            "SEGRELAY_AGENT_ID": "trial-lab",
            "SEGRELAY_WORK_DIR": str(work),
            "SEGRELAY_PROFILES": PROFILE,
            "SEGRELAY_DEVICE": "cpu",
            "SEGRELAY_ORTHANC_URL": f"https://{HOST}/orthanc",
            "SEGRELAY_ORTHANC_USER": "lab",
            "SEGRELAY_ORTHANC_PASSWORD": self._lab_password,
            "SEGRELAY_ORTHANC_CA_FILE": str(self.authority),
        }


def must(is_so: bool, what_is_wrong: object) -> None:
    """Raise :class:`TrialError` unless it is so."""
    if not is_so:
        raise TrialError(str(what_is_wrong))


def wait_until(is_so: Callable[[], bool], what: str, limit_s: float = WAIT_S) -> float:
    """Ask until it is so; the seconds that it took.

    Raises
    ------
    TrialError
        It was not so within ``limit_s`` seconds.
    """
    began = time.monotonic()
    while not is_so():
        must(time.monotonic() - began < limit_s, f"not within {limit_s:.0f} s: {what}")
        time.sleep(0.5)
    return time.monotonic() - began
