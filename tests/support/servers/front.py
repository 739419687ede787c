"""nginx with the template of ``infra/compose`` before a site of this machine: TLS as delivered."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import requests

from infra.packages.debian import nginx_program
from infra.servers.certificates import Authority
from infra.servers.ports import free_port
from infra.servers.processes import stop_process
from tests.support.servers import compose

START_LIMIT_S = 60.0


class Front:
    """One nginx, with a certificate for ``localhost``; the caller starts and stops it.

    Parameters
    ----------
    folder:
        Of its configuration, its logs and the files of its authority.
    site, orthanc:
        ``host:port`` of the servers behind.
    secrets:
        The folder in which the template looks for certificate and key.
    """

    def __init__(
        self, folder: Path, site: str, *, secrets: Path, orthanc: str = "127.0.0.1:9"
    ) -> None:
        secrets.mkdir(parents=True, exist_ok=True)
        authority = Authority(folder)
        self.authority = authority.certificate
        """For those who trust it."""
        identity = authority.issue("nginx")
        for name, path in (("tls-certificate", identity.certificate), ("tls-key", identity.key)):
            (secrets / name).unlink(missing_ok=True)
            (secrets / name).write_bytes(path.read_bytes())
        tls, plain, self._alive = free_port(), free_port(), free_port()
        self.url, self.plain = f"https://localhost:{tls}", f"http://localhost:{plain}"
        self._folder = folder
        self._configuration = compose.nginx_configuration(
            folder,
            {
                "set $site site:8000": f"set $site {site}",
                "set $orthanc orthanc:8042": f"set $orthanc {orthanc}",
                "listen 80": f"listen 127.0.0.1:{plain}",
                "listen 443": f"listen 127.0.0.1:{tls}",
                "listen 127.0.0.1:8080": f"listen 127.0.0.1:{self._alive}",
            },
            static=folder / "static",
            secrets=secrets,
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        program, environment = nginx_program()
        place = ["-p", str(self._folder), "-e", str(self._folder / "error.log")]
        self._process = subprocess.Popen(
            [str(program), *place, "-c", str(self._configuration)],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        limit = time.monotonic() + START_LIMIT_S
        while not self._answers():
            assert time.monotonic() < limit, (self._folder / "error.log").read_text()[-2000:]
            time.sleep(0.05)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            stop_process(self._process, grace_s=5.0)
            self._process = None

    def _answers(self) -> bool:
        try:
            alive = f"http://127.0.0.1:{self._alive}/alive"
            return requests.get(alive, timeout=5).status_code == 204
        except requests.RequestException:
            return False
