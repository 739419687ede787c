"""A private nginx on loopback before an Orthanc: TLS as a hospital would have it.

Rootless, with its files in a folder of its own; what it writes of errors is in ``log``.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from infra.packages.debian import nginx_program
from infra.servers.certificates import Identity
from infra.servers.ports import free_port
from infra.servers.processes import stop_process
from segrelay.errors import FixConfigurationError

START_LIMIT_S = 30.0
"""nginx answers within a tenth of a second; more means that the machine is overloaded."""

STOP_GRACE_S = 5.0

_POLL_S = 0.02
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(frozen=True, kw_only=True)
class NginxOptions:
    """What an operator may have written into its configuration."""

    client_authority: Path | None = None
    """Ask for a client certificate of this authority."""
    token: str = ""
    """Let in who sends ``Authorization: Bearer`` with it, and be ``orthanc_login`` to Orthanc."""
    orthanc_login: str = ""
    """A whole ``Authorization`` header."""
    largest_body: str = "1m"
    """``client_max_body_size``; this is the default of nginx."""
    protocols: str = "TLSv1.2 TLSv1.3"
    ciphers: str = "DEFAULT"


class NginxServer:
    """One nginx process; a context manager that starts it and throws its files away.

    Parameters
    ----------
    target:
        Address of the server behind.
    identity:
        The certificate that it shows, and its key.
    """

    def __init__(
        self, target: str, identity: Identity, options: NginxOptions | None = None
    ) -> None:
        self._target = target
        self._identity = identity
        self._options = options or NginxOptions()
        self._port, self._plain_port = free_port(), free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="segrelay-nginx-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """``https://127.0.0.1:port``."""
        return f"https://127.0.0.1:{self._port}"

    @property
    def redirecting_url(self) -> str:
        """A plain http address that only leads to the other one."""
        return f"http://127.0.0.1:{self._plain_port}"

    @property
    def log(self) -> str:
        """What it wrote so far."""
        path = self._folder / "error.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def __enter__(self) -> NginxServer:
        try:
            self._start()
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

    def _start(self) -> None:
        program, environment = nginx_program()
        configuration = self._folder / "nginx.conf"
        # It holds the login at Orthanc.
        configuration.touch(mode=0o600)
        configuration.write_text(self._configuration())
        log = str(self._folder / "error.log")
        self._process = subprocess.Popen(
            [str(program), "-p", str(self._folder), "-c", str(configuration), "-e", log],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        deadline = time.monotonic() + START_LIMIT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                lines = self.log.strip().splitlines() or ["no output"]
                raise FixConfigurationError(
                    f"nginx did not start: {lines[-1]}",
                    code="nginx-did-not-start",
                    remedy="On an overloaded machine, or where a port was taken, try again.",
                )
            time.sleep(_POLL_S)

    def _answers(self) -> bool:
        """Whether ours serves: it does so only once it has all its ports."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(START_LIMIT_S)
            try:
                line.connect(str(self._folder / "ready"))
                line.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return bool(line.recv(1))
            except OSError:
                return False

    def _discard(self) -> None:
        if self._process is not None:
            stop_process(self._process, grace_s=STOP_GRACE_S)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _configuration(self) -> str:
        behind = urlsplit(self._target)
        temporary = "\n".join(f"  {name}_temp_path {self._folder}/{name};" for name in _TEMPORARY)
        return f"""\
daemon off;
master_process off;
pid {self._folder}/pid;
events {{ worker_connections 256; }}
http {{
  access_log off;
{temporary}
  upstream orthanc {{ server {behind.netloc}; keepalive 32; }}
  server {{
    listen 127.0.0.1:{self._port} ssl;
    ssl_certificate {self._identity.certificate};
    ssl_certificate_key {self._identity.key};
    ssl_protocols {self._options.protocols};
    ssl_ciphers {self._options.ciphers};
{self._client_check()}
    client_max_body_size {self._options.largest_body};
    location / {{
{self._token_check()}
      proxy_pass http://orthanc;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }}
  }}
  server {{
    listen 127.0.0.1:{self._plain_port};
    return 301 {self.url}$request_uri;
  }}
  server {{
    listen unix:{self._folder}/ready;
    return 204;
  }}
}}
"""

    def _client_check(self) -> str:
        authority = self._options.client_authority
        if authority is None:
            return ""
        return f"    ssl_client_certificate {authority};\n    ssl_verify_client on;"

    def _token_check(self) -> str:
        if not self._options.token:
            return ""
        expected = f'"Bearer {self._options.token}"'
        return (
            f"      if ($http_authorization != {expected}) {{ return 401; }}\n"
            f'      proxy_set_header Authorization "{self._options.orthanc_login}";'
        )
