"""A private Orthanc on loopback, for tests and the demo.

Own storage folder, free port, random name and password, no DICOM listener, no overwriting of
instances. It is stopped and started again on the same storage and port with :meth:`stop` and
:meth:`start`, so that a test can take Orthanc away from a running agent.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

import requests

from infra.packages.debian import debian_programs
from infra.servers.ports import free_port
from infra.servers.processes import stop_process
from segrelay.errors import FixConfigurationError

START_LIMIT_S = 30.0
"""Orthanc answers within half a second; more means that the machine is overloaded."""

STOP_GRACE_S = 10.0
"""Orthanc needs 2 to 4 seconds to close its index after SIGTERM."""

_PORT_TRIES = 3
_POLL_S = 0.05


class OrthancServer:
    """One Orthanc process; a context manager that starts it and throws its storage away.

    Parameters
    ----------
    http_compression:
        Orthanc's ``HttpCompressionEnabled``: answers are deflated where the client allows it.
    http_threads:
        Orthanc's ``HttpThreadsCount``; a kept-alive connection occupies one.
    """

    def __init__(self, *, http_compression: bool = False, http_threads: int = 50) -> None:
        self.name = f"segrelay-{secrets.token_hex(8)}"
        self.user = "lab"
        self.password = secrets.token_urlsafe(18)
        self._port: int | None = None
        self._http_compression = http_compression
        self._http_threads = http_threads
        self._folder = Path(tempfile.mkdtemp(prefix="segrelay-orthanc-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address of its REST API, without a closing slash; the same after a restart.

        Raises
        ------
        RuntimeError
            It was never started, so it has no port yet.
        """
        if self._port is None:
            raise RuntimeError("start Orthanc before asking for its address")
        return f"http://127.0.0.1:{self._port}"

    @property
    def running(self) -> bool:
        """Whether our process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process.

        Raises
        ------
        RuntimeError
            It does not run.
        """
        if self._process is None:
            raise RuntimeError("Orthanc does not run")
        return self._process.pid

    def session(self) -> requests.Session:
        """A session with the right password, deaf to proxy settings of the machine."""
        session = requests.Session()
        session.trust_env = False
        session.auth = (self.user, self.password)
        return session

    def __enter__(self) -> OrthancServer:
        try:
            self.start()
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._discard()

    def start(self) -> None:
        """Start and wait until our own process answers.

        The port of the first start is kept for all later ones.

        Raises
        ------
        FixConfigurationError
            It ended at once, or never answered; the message has the last line of its log.
        """
        if self.running:
            return
        tries = 1 if self._port is not None else _PORT_TRIES
        for attempt in range(1, tries + 1):
            port = self._port if self._port is not None else free_port()
            if self._launch(port):
                self._port = port
                return
            if attempt == tries:
                raise self._start_error()

    def stop(self) -> None:
        """Close it properly; what it stored is kept for the next :meth:`start`."""
        if self._process is not None:
            stop_process(self._process, grace_s=STOP_GRACE_S)
            self._process = None

    def kill(self) -> None:
        """SIGKILL, as a power cut would; acknowledged instances are kept."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _discard(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _launch(self, port: int) -> bool:
        """Start on ``port``; False where the process ended, say because the port is taken."""
        programs = debian_programs()
        configuration = self._write_configuration(port, programs.dicomweb_plugin)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(programs.orthanc), str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **programs.environment},
                start_new_session=True,
            )
        return self._wait_until_ours_answers(port)

    def _wait_until_ours_answers(self, port: int) -> bool:
        deadline = time.monotonic() + START_LIMIT_S
        with self.session() as session:
            while self.running and time.monotonic() < deadline:
                if self._answers(session, port):
                    return True
                time.sleep(_POLL_S)
        self.kill()
        return False

    def _answers(self, session: requests.Session, port: int) -> bool:
        """Whether the server on ``port`` is ours: another Orthanc has another name."""
        try:
            answer = session.get(f"http://127.0.0.1:{port}/system", timeout=5)
        except requests.RequestException:
            return False
        return answer.status_code == 200 and answer.json().get("Name") == self.name

    def _write_configuration(self, port: int, plugin: Path) -> Path:
        storage = str(self._folder / "storage")
        settings = {
            "Name": self.name,
            "StorageDirectory": storage,
            "IndexDirectory": storage,
            "HttpPort": port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {self.user: self.password},
            "DicomServerEnabled": False,
            "OverwriteInstances": False,
            "HttpCompressionEnabled": self._http_compression,
            "HttpThreadsCount": self._http_threads,
            "KeepAlive": True,
            "TcpNoDelay": True,
            "StableAge": 1,
            "Plugins": [str(plugin)],
        }
        path = self._folder / "orthanc.json"
        # The password lies in this file: nobody else may read it, not even for a moment.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as handle:
            json.dump(settings, handle)
        return path

    @property
    def _log(self) -> Path:
        return self._folder / "orthanc.log"

    def _start_error(self) -> FixConfigurationError:
        lines = self._log.read_text(errors="replace").strip().splitlines() or ["no output"]
        return FixConfigurationError(
            f"Orthanc did not start: {lines[-1]}",
            code="orthanc-did-not-start",
            remedy="Run `python -m infra.packages.debian` to check its libraries; on an overloaded "
            "machine try again.",
        )
