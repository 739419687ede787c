"""A private nginx on loopback before an Orthanc: TLS as a hospital would have it.

Rootless, with its files in a folder of its own; what it writes of errors is in ``log``.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from infra.packages.debian import nginx_program
from infra.servers.certificates import Identity
from infra.servers.ports import free_port
from infra.servers.processes import LoopbackServer
from segrelay.errors import FixConfigurationError

START_LIMIT_S = 30.0
"""nginx answers within a tenth of a second; more means that the machine is overloaded."""

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


class NginxServer(LoopbackServer):
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
        super().__init__("nginx")
        self._target = target
        self._identity = identity
        self._options = options or NginxOptions()
        self._port, self._plain_port = free_port(), free_port()

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

    def start(self) -> None:
        """Start and wait until it serves.

        Raises
        ------
        FixConfigurationError
            It ended, or did not answer in time.
        """
        program, environment = nginx_program()
        configuration = self._folder / "nginx.conf"
        # It holds the login at Orthanc.
        configuration.touch(mode=0o600)
        configuration.write_text(self._configuration())
        log = str(self._folder / "error.log")
        command = [str(program), "-p", str(self._folder), "-c", str(configuration), "-e", log]
        if not self._launch(command, environment, self._answers, START_LIMIT_S):
            raise FixConfigurationError(
                f"nginx did not start: {self._last_line('error.log')}",
                code="nginx-did-not-start",
                remedy="On an overloaded machine, or where a port was taken, try again.",
            )

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

    def _configuration(self) -> str:
        behind = urlsplit(self._target)
        temporary = "\n".join(f"  {name}_temp_path {self._folder}/{name};" for name in _TEMPORARY)
        return f"""\
daemon off;
master_process off;
pid {self._folder}/pid;
events {{ worker_connections 1024; }}
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
