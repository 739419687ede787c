"""A private Orthanc on loopback, for tests and the demo.

Own storage folder, free port, random name and password, no DICOM listener, no overwriting of
instances. It is stopped and started again on the same storage and port with :meth:`stop` and
:meth:`start`, so that a test can take Orthanc away from a running agent.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

import requests

from infra.packages.debian import debian_programs, gdcm_plugin
from infra.servers.ports import free_port
from infra.servers.processes import LoopbackServer
from segrelay.errors import FixConfigurationError

START_LIMIT_S = 30.0
"""Orthanc answers within half a second; more means that the machine is overloaded."""

_PORT_TRIES = 3
_LIBRARIES = "LD_LIBRARY_PATH"


class OrthancServer(LoopbackServer):
    """One Orthanc process; a context manager that starts it and throws its storage away.

    Parameters
    ----------
    http_compression:
        Orthanc's ``HttpCompressionEnabled``: answers are deflated where the client allows it.
    http_threads:
        Orthanc's ``HttpThreadsCount``; a kept-alive connection occupies one.
    settings:
        Further settings of Orthanc's configuration file.
    has_gdcm:
        Whether it has its plugin GDCM, which decodes JPEG 2000 as well.
    """

    def __init__(
        self,
        *,
        http_compression: bool = False,
        http_threads: int = 50,
        settings: Mapping[str, object] | None = None,
        has_gdcm: bool = False,
    ) -> None:
        super().__init__("orthanc")
        self.name = f"segrelay-{secrets.token_hex(8)}"
        self.user = "lab"
        self.password = secrets.token_urlsafe(18)
        self._port: int | None = None
        self._http_compression = http_compression
        self._http_threads = http_threads
        self._settings = dict(settings or {})
        self._has_gdcm = has_gdcm

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
    def pid(self) -> int:
        """The process id of Orthanc.

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
            if self._launch_on(port):
                self._port = port
                return
            if attempt == tries:
                raise FixConfigurationError(
                    f"Orthanc did not start: {self._last_line()}",
                    code="orthanc-did-not-start",
                    remedy="Run `python -m infra.packages.debian` to check its libraries; on an "
                    "overloaded machine try again.",
                )

    def _launch_on(self, port: int) -> bool:
        """Start on ``port``; False where the process ended, say because the port is taken."""
        programs = debian_programs()
        plugins, environment = [programs.dicomweb_plugin], programs.environment
        if self._has_gdcm:
            plugin, needed = gdcm_plugin()
            plugins.append(plugin)
            libraries = (one.get(_LIBRARIES) for one in (environment, needed))
            environment = {**needed, **environment, _LIBRARIES: ":".join(filter(None, libraries))}
        configuration = self._write_configuration(port, plugins)
        command = [str(programs.orthanc), str(configuration)]
        with self.session() as session:
            return self._launch(
                command, environment, lambda: self._answers(session, port), START_LIMIT_S
            )

    def _answers(self, session: requests.Session, port: int) -> bool:
        """Whether the server on ``port`` is ours: another Orthanc has another name."""
        try:
            answer = session.get(f"http://127.0.0.1:{port}/system", timeout=5)
        except requests.RequestException:
            return False
        return answer.status_code == 200 and answer.json().get("Name") == self.name

    def _write_configuration(self, port: int, plugins: Sequence[Path]) -> Path:
        storage = str(self._folder / "storage")
        settings: dict[str, object] = {
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
            "Plugins": [str(plugin) for plugin in plugins],
            **self._settings,
        }
        path = self._folder / "orthanc.json"
        # The password lies in this file: nobody else may read it, not even for a moment.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as handle:
            json.dump(settings, handle)
        return path
