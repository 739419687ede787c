"""The demo's own hospital site and lab agent, on loopback, with random credentials.

Everything that is secret reaches the processes by their environment.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from infra.packages.debian import repository_root
from infra.servers.orthanc import OrthancServer
from infra.servers.ports import free_port
from infra.servers.processes import Child, ProcessSet
from segrelay.errors import FixConfigurationError, SegRelayError

START_LIMIT_S = 120.0
"""The agent loads torch and the weights: some seconds, more on a busy machine."""

COMMAND_LIMIT_S = 120.0
_POLL_S = 0.2

AGENT_IS_READY = "Listening for jobs"
"""What the agent logs when its model is loaded and it looks at the queue."""

_MANAGE = "gcp_side/manage.py"


ServerCommand = Callable[[str], Sequence[str]]
"""The command of a server that listens at ``host:port``."""


def development_server(address: str) -> Sequence[str]:
    """Django's own."""
    # --insecure serves the static files as well, which only matters on a private address.
    return [sys.executable, _MANAGE, "runserver", "--noreload", "--insecure", address]


class DemoError(SegRelayError):
    """A part of the demo did not do its work."""

    code = "demo"
    remedy = "Read the log files in the demo's output folder."


@dataclass(frozen=True)
class Folders:
    """Where the demo writes."""

    state: Path
    """Queue, database, the agent's work folder: thrown away at the end."""
    logs: Path


class DemoServers:
    """Django and the agent; ends with the :class:`ProcessSet` that it was given.

    ``queue`` are the variables that lead both to their queue.
    """

    def __init__(
        self,
        processes: ProcessSet,
        orthanc: OrthancServer,
        folders: Folders,
        *,
        profile: str,
        queue: Mapping[str, str],
    ) -> None:
        self._processes = processes
        self._folders = folders
        self._environment = {**demo_environment(orthanc, folders.state, profile), **queue}
        self.user = "demo"
        self.password = secrets.token_urlsafe(12)
        self.url = f"http://127.0.0.1:{free_port()}"
        self._session = requests.Session()
        self._session.trust_env = False
        self._agent: Child | None = None

    def make_database(self) -> None:
        """Make the site's tables and its user; raises DemoError where that fails."""
        self._make_database()

    def make_database_and_token(self) -> tuple[str, str]:
        """The same, and a token for the agent: the address of the site's queue, and the token."""
        made = json.loads(self._make_database("--agent", self._environment["SEGRELAY_AGENT_ID"]))
        return f"{self.url}{urlsplit(made['address']).path}", made["token"]

    def start_site(self, command: ServerCommand = development_server) -> Child:
        """Start the site on its database, wait until it answers, and log in; its process."""
        child = self._start("site", command(self.url.removeprefix("http://")))
        wait_until_ready(child, self._answers)
        self._log_in()
        return child

    def start_sync(self) -> None:
        """Keep all jobs up to date, whether or not anybody looks at their pages."""
        self._start("sync", [sys.executable, _MANAGE, "labseg", "sync", "--watch"])

    def start_agent(self, queue: Mapping[str, str] | None = None) -> None:
        """Start the lab agent as a process of its own, which loads its model from now on.

        ``queue``: variables that lead it to its queue, where they are not the site's.
        """
        program = Path(sys.executable).parent / "lab-agent"
        self._agent = self._start("agent", [str(program), "--log", "json", "run"], queue)

    def wait_for_agent(self) -> None:
        """Wait until the agent that was started takes jobs.

        Raises
        ------
        RuntimeError
            It was not started.
        DemoError
            It ended, or was not ready in time.
        """
        agent = self._agent
        if agent is None:
            raise RuntimeError("start the agent first")
        wait_until_ready(agent, lambda: AGENT_IS_READY in agent.log.read_text(errors="replace"))

    def get(self, path: str) -> Any:
        """A JSON answer of the site's segmentation API, as its page gets it.

        Raises
        ------
        DemoError
            It answered with an error, or not at all.
        """
        return self.answer(path).json()

    def answer(self, path: str) -> requests.Response:
        """The same, with its headers and whatever it is; raises as :meth:`get`."""
        return self._asked("GET", path)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON answer to a JSON body, as its page sends it; raises as :meth:`get`."""
        # Each login and each logout changes the cookie.
        headers = {"X-CSRFToken": self._session.cookies.get("csrftoken") or ""}
        return self._asked("POST", path, json=dict(body), headers=headers).json()

    def _asked(self, method: str, path: str, **more: Any) -> requests.Response:
        address = f"{self.url}/api/mri/segmentation/{path}"
        try:
            answer = self._session.request(method, address, timeout=60, **more)
        except requests.RequestException as error:
            self.check_alive()
            raise DemoError(f"The site does not answer ({type(error).__name__}).") from None
        if not answer.ok:
            raise DemoError(f"The site answered HTTP {answer.status_code} to {path}")
        return answer

    def labseg(self, *arguments: str) -> Any:
        """``manage.py labseg … --json``, its answer decoded.

        Raises
        ------
        DemoError
            It failed, or its answer is not JSON.
        """
        output = run_command(self._environment, "labseg", *arguments, "--json")
        try:
            return json.loads(output)
        except ValueError:
            raise DemoError(f"`labseg {arguments[0]}` did not answer in JSON.") from None

    def check_alive(self) -> None:
        """Raise DemoError where a server has ended unasked, with the end of its log."""
        for child in self._processes.dead():
            raise DemoError(
                f"The {child.name} ended with exit code {child.process.returncode}: "
                f"{last_words(child.log_tail())}"
            )

    def _start(
        self, name: str, command: Sequence[str], extra: Mapping[str, str] | None = None
    ) -> Child:
        return self._processes.start(
            name,
            command,
            log=self._folders.logs / f"{name}.log",
            environment={**self._environment, **(extra or {})},
            folder=repository_root(),
        )

    def _make_database(self, *options: str) -> str:
        environment = {**self._environment, "DJANGO_SUPERUSER_PASSWORD": self.password}
        return _run_python(environment, "-m", "infra.servers.site_database", self.user, *options)

    def _answers(self) -> bool:
        try:
            self._session.get(self._login, timeout=5)
        except requests.RequestException:
            return False
        return True

    def _log_in(self) -> None:
        """As a browser does: a session costs one slow password check, not one a request."""
        token = self._session.cookies.get("csrftoken")
        form = {
            "username": self.user,
            "password": self.password,
            "csrfmiddlewaretoken": token,
            "next": "/segmentation/",
        }
        answer = self._session.post(
            self._login, data=form, headers={"Referer": self._login}, timeout=60
        )
        if answer.status_code != 200 or "sessionid" not in self._session.cookies:
            raise DemoError(f"The site does not let its user in (HTTP {answer.status_code}).")

    @property
    def _login(self) -> str:
        return f"{self.url}/segmentation/login/"


def demo_environment(orthanc: OrthancServer, state: Path, profile: str) -> dict[str, str]:
    """The settings of site and agent without the queue's, as environment variables."""
    return {
        "DJANGO_SETTINGS_MODULE": "gcp_side.site.settings",
        # Not the settings of an agent that is installed on this machine.
        "SEGRELAY_CONFIG": "",
        "SEGRELAY_ORTHANC_URL": orthanc.url,
        "SEGRELAY_ORTHANC_USER": orthanc.user,
        "SEGRELAY_ORTHANC_PASSWORD": orthanc.password,
        "SEGRELAY_AGENT_ID": "demo-lab",
        "SEGRELAY_WORK_DIR": str(state / "agent"),
        "SEGRELAY_PROFILES": profile,
        "SEGRELAY_PROFILES_DIR": str(state / "profiles"),
        "SEGRELAY_DEFAULT_PROFILE": profile,
        "SEGRELAY_DATABASE": str(state / "site.sqlite3"),
        "SEGRELAY_SECRET_KEY": secrets.token_urlsafe(50),
        "SEGRELAY_ALLOWED_HOSTS": "127.0.0.1",
        "SEGRELAY_HTTPS": "0",
        # As a process of its own, where it is wanted: a measured site has nothing beside it.
        "SEGRELAY_SYNC": "0",
        "PYTHONUNBUFFERED": "1",
    }


def wait_until_ready(child: Child, is_ready: Callable[[], bool]) -> None:
    """Wait until a child that was just started is ready.

    Raises
    ------
    DemoError
        It ended, or was not ready after :data:`START_LIMIT_S`; with its last words.
    """
    deadline = time.monotonic() + START_LIMIT_S
    while not is_ready():
        if child.process.poll() is not None or time.monotonic() > deadline:
            raise DemoError(f"The {child.name} did not start: {last_words(child.log_tail())}")
        time.sleep(_POLL_S)


def fresh_folder(path: Path, *old: str) -> Path:
    """Make an output folder and remove the ``old`` files of an earlier run.

    Raises
    ------
    FixConfigurationError
        That is not possible there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        for name in old:
            (path / name).unlink(missing_ok=True)
    except OSError as error:
        raise FixConfigurationError(
            f"The folder {path} cannot be used ({error.strerror}).",
            remedy="Give another one with --out.",
        ) from None
    return path


def run_command(environment: Mapping[str, str], *arguments: str) -> str:
    """Run a management command of the reference site and return what it printed.

    Raises
    ------
    DemoError
        It failed; the message has its last words.
    """
    return _run_python(environment, _MANAGE, *arguments)


def _run_python(environment: Mapping[str, str], program: str, *arguments: str) -> str:
    """Run a program of the repository; returns and raises as :func:`run_command`."""
    result = subprocess.run(
        [sys.executable, program, *arguments],
        cwd=repository_root(),
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_LIMIT_S,
        check=False,
    )
    if result.returncode != 0:
        raise DemoError(
            f"`{Path(program).name} {arguments[0]}` failed: {last_words(result.stderr)}"
        )
    return result.stdout


def last_words(text: str) -> str:
    """The last two lines: our programs end with what was wrong and its remedy."""
    return " ".join(text.strip().splitlines()[-2:]) or "it wrote nothing"
