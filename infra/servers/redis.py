"""A private Redis on loopback that writes each change to its disk before it acknowledges it."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from infra.packages.debian import redis_programs
from infra.servers.certificates import Authority, Identity
from infra.servers.ports import free_port
from infra.servers.processes import LoopbackServer
from segrelay.errors import FixConfigurationError

START_LIMIT_S = 30.0
"""It answers within a tenth of a second; more means that the machine is overloaded."""

SAFE = {"appendonly": "yes", "appendfsync": "always", "save": '""', "maxmemory": "0"}
"""Settings with which nothing that was acknowledged is lost."""


_ASKED = re.compile(r"\d+\.\d+ \[\d+ (?!lua\])")
"""A line of ``MONITOR`` with a client's command."""


class RedisServer(LoopbackServer):
    """One Redis process; a context manager that starts it and throws its files away.

    Parameters
    ----------
    settings:
        Of ``redis.conf``, in place of :data:`SAFE` or beside it.
    identity, authority:
        Speak TLS alone, with this certificate.
    """

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        identity: Identity | None = None,
        authority: Authority | None = None,
    ) -> None:
        super().__init__("redis")
        self._settings = {**SAFE, **(settings or {})}
        self._identity = identity
        self._authority = authority
        self.port = free_port()

    @property
    def address(self) -> str:
        """Of a queue in it."""
        scheme = "redis" if self._identity is None else "rediss"
        return f"{scheme}://127.0.0.1:{self.port}/0/segrelay"

    def client(self) -> redis.Redis:
        """A client of its default user; the caller closes it."""
        is_tls = self._identity is not None
        return redis.Redis(
            port=self.port,
            ssl=is_tls,
            ssl_ca_certs=str(self._authority.certificate) if self._authority else None,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )

    def command(self, *arguments: str) -> str:
        """What ``redis-cli`` prints."""
        _, console, environment = redis_programs()
        done = subprocess.run(
            [console, "-p", str(self.port), *arguments],
            env=environment,
            capture_output=True,
            check=True,
            text=True,
            timeout=START_LIMIT_S,
        )
        return done.stdout

    @contextlib.contextmanager
    def watched(self) -> Iterator[Callable[[], int]]:
        """Count what clients ask, until the block ends; gives how much so far.

        A script counts once, whatever commands it runs.
        """
        _, console, environment = redis_programs()
        path = self._folder / "asked"
        with path.open("w") as output:
            process = subprocess.Popen(
                [console, "-p", str(self.port), "monitor"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
            )
        try:
            yield lambda: sum(
                _ASKED.match(line) is not None for line in path.read_text().splitlines()
            )
        finally:
            process.kill()
            process.wait()

    def start(self) -> None:
        """Start and wait until it has loaded its data.

        Raises
        ------
        FixConfigurationError
            It ended, or did not answer in time.
        """
        program, _, environment = redis_programs()
        configuration = self._folder / "redis.conf"
        configuration.write_text(self._configuration())
        command = [str(program), str(configuration)]
        if not self._launch(command, environment, self._answers, START_LIMIT_S):
            raise FixConfigurationError(
                f"Redis did not start: {self._last_line()}",
                code="redis-did-not-start",
                remedy="On an overloaded machine, or where the port was taken, try again.",
            )

    def _answers(self) -> bool:
        client = self.client()
        try:
            info: Mapping[str, object] = client.info("server")
            return self._process is not None and info["process_id"] == self._process.pid
        except redis.RedisError:
            return False
        finally:
            client.close()

    def _configuration(self) -> str:
        lines = [f"dir {self._folder}", "bind 127.0.0.1", "daemonize no", "loglevel warning"]
        if self._identity is None:
            lines.append(f"port {self.port}")
        else:
            lines += ["port 0", f"tls-port {self.port}", "tls-auth-clients no"]
            lines += [f"tls-cert-file {self._identity.certificate}"]
            lines += [f"tls-key-file {self._identity.key}"]
        lines += [f"{name} {value}" for name, value in self._settings.items()]
        return "\n".join(lines) + "\n"
