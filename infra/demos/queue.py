"""The demo's queue: a directory, the site's database, a Redis, or a bucket of the strict fake.

Site and agent learn from their environment alone which one it is; with the fake of Google Cloud
Storage they use Google's own client, as with a real bucket.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage  # type: ignore[import-untyped]

from infra.packages.debian import repository_root
from infra.servers.processes import ProcessSet
from infra.servers.site_and_agent import DemoError, last_words, wait_until_ready
from segrelay.bucket import Bucket
from segrelay.bucket.address import DATABASE
from segrelay.bucket.gcs import GcsBucket
from segrelay.bucket.site import SiteBucket
from segrelay.names import VERSION

if TYPE_CHECKING:
    from segrelay.bucket.redis import RedisBucket

BUCKET = "segrelay-demo"
PREFIX = "queue"

GSUTIL_LIMIT_S = 120.0
"""A listing takes some seconds, most of them for the program's own start."""

_NO_PROXY = dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost")
"""Everything in the demo is on this machine; curl's spelling and everybody else's."""

_SERVED_AT = re.compile(
    r"STORAGE_EMULATOR_HOST=(?P<url>\S+)\n# https on port (?P<port>\d+), certificate (?P<file>.+)\n"
)
"""What the fake prints once it serves."""


class ClosableBucket(Bucket, Protocol):
    """A bucket with connections."""

    def close(self) -> None:
        """Close them."""
        ...


class WatchedQueue(Protocol):
    """A queue in which the job is watched while it runs."""

    def open(self) -> ClosableBucket:
        """The queue as the demo itself looks at it."""
        ...

    @property
    def in_words(self) -> tuple[str, ...]:
        """What it is, and how to look at it; a line each."""
        ...


@dataclass(frozen=True)
class DirectoryQueue:
    """A queue in a directory of this machine."""

    folder: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """What leads site and agent to it."""
        return {"SEGRELAY_BUCKET": self.folder.as_uri()}


@dataclass(frozen=True)
class Listing:
    """What gsutil printed."""

    root: str
    """``gs://bucket/prefix``"""
    text: str

    @property
    def names(self) -> set[str]:
        """The objects, named from the queue's root."""
        lines = (line for line in self.text.splitlines() if not line.endswith(":"))
        return {line.removeprefix(f"{self.root}/") for line in lines if line}


@dataclass(frozen=True)
class CloudQueue:
    """A queue in a bucket of the running fake."""

    url: str
    """Its plain http address, for clients."""
    tls_port: int
    """Its https port, for gsutil."""
    certificate: Path
    """What gsutil must trust, PEM."""
    gsutil: str | None
    """The program, or None where it is not installed."""

    @property
    def address(self) -> str:
        """``gs://bucket/prefix``."""
        return f"gs://{BUCKET}/{PREFIX}"

    @property
    def environment(self) -> Mapping[str, str]:
        """What leads site and agent to it."""
        return {
            "SEGRELAY_BUCKET": self.address,
            "STORAGE_EMULATOR_HOST": self.url,
            **_NO_PROXY,
        }

    @property
    def plain_command(self) -> str:
        """The shell command that lists a real bucket of this name."""
        return shlex.join(["gsutil", *self._listing])

    @property
    def command(self) -> str:
        """The shell command that lists this queue, from any folder of this machine."""
        options = [
            "Credentials:gs_json_host=localhost",
            f"Credentials:gs_json_port={self.tls_port}",
            f"Boto:ca_certificates_file={self.certificate}",
            # Or it goes on asking for minutes once the fake has gone.
            "Boto:num_retries=1",
        ]
        given = [word for option in options for word in ("-o", option)]
        # The user's own settings may hold credentials, which are not meant for a fake.
        program = shlex.join([self.gsutil or "gsutil", *given, *self._listing])
        return f"BOTO_CONFIG={os.devnull} {program}"

    def list_with_gsutil(self) -> Listing:
        """Run :attr:`command` as it is printed.

        Raises
        ------
        DemoError
            It failed, or did not end in :data:`GSUTIL_LIMIT_S`.
        """
        try:
            result = subprocess.run(
                ["bash", "-c", self.command],
                # It keeps notes in the home folder; these go away with the fake.
                env={**os.environ, **_NO_PROXY, "HOME": str(self.certificate.parent)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=GSUTIL_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DemoError(f"gsutil did not end in {GSUTIL_LIMIT_S:.0f} s.") from None
        if result.returncode != 0:
            raise DemoError(f"gsutil failed: {last_words(result.stderr)}")
        return Listing(self.address, result.stdout)

    def open(self) -> GcsBucket:
        """The queue as the demo itself looks at it, whatever this program's environment says."""
        client = storage.Client(
            project="demo",
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            client_options={"api_endpoint": self.url},
        )
        # A proxy for the world outside does not know this machine's ports.
        client._http.trust_env = False
        return GcsBucket(client, BUCKET, PREFIX)

    @property
    def in_words(self) -> tuple[str, ...]:
        """What it is, and how to look at it; a line each."""
        return (
            f"The queue is {self.address}, in a fake of Google Cloud Storage at {self.url}.",
            f"A real bucket is listed by: {self.plain_command}",
            "This one, while the demo runs, by:",
            self.command,
        )

    @property
    def _listing(self) -> list[str]:
        return ["ls", "-r", f"{self.address}/{VERSION}/"]


AT_SITE = {"SEGRELAY_BUCKET": DATABASE}
"""What leads the site to the queue that it keeps itself; the agent's address comes later."""


@dataclass(frozen=True)
class QueueAtSite:
    """A queue that the site keeps in its database; the agent has its address and a token."""

    address: str
    token: str = field(repr=False)

    @property
    def environment(self) -> Mapping[str, str]:
        """What leads the agent to it."""
        return {
            "SEGRELAY_BUCKET": self.address,
            "SEGRELAY_QUEUE_TOKEN": self.token,
            **_NO_PROXY,
        }

    def open(self) -> SiteBucket:
        """The queue as the demo itself looks at it, with the agent's token."""
        return SiteBucket(self.address, lambda: self.token)

    @property
    def in_words(self) -> tuple[str, ...]:
        """What it is, and how to look at it; a line each."""
        return (
            f"The queue is in the site's database; the agent reached it at {self.address}",
            "with a token, and with nothing else. Its objects are listed in the admin, under "
            "Objects in the queue; tokens by: manage.py labseg agent-token list",
        )


@dataclass(frozen=True)
class RedisQueue:
    """A queue in a private Redis."""

    address: str

    @property
    def environment(self) -> Mapping[str, str]:
        """What leads site and agent to it."""
        return {"SEGRELAY_BUCKET": self.address}

    def open(self) -> RedisBucket:
        """The queue as the demo itself looks at it."""
        # Imported here: the package is an extra.
        from segrelay.bucket.address import RedisAddress, parse_address
        from segrelay.bucket.redis import open_redis_bucket

        where = parse_address(self.address)
        if not isinstance(where, RedisAddress):
            raise DemoError(f"{self.address} is no address of a Redis.")
        return open_redis_bucket(where, str)

    @property
    def in_words(self) -> tuple[str, ...]:
        """What it is, and how to look at it; a line each."""
        server, _, _ = self.address.removeprefix("redis://").partition("/")
        _, _, port = server.partition(":")
        return (
            f"The queue is {self.address}, in a Redis of the demo's own.",
            f"Its keys, while the demo runs: redis-cli -p {port} --scan",
        )


def make_directory_queue(folder: Path) -> DirectoryQueue:
    """An empty queue in a new directory."""
    folder.mkdir(parents=True)
    return DirectoryQueue(folder)


def start_cloud_queue(processes: ProcessSet, logs: Path) -> CloudQueue:
    """Start the fake with one empty bucket, over http and https; it ends with ``processes``.

    Raises
    ------
    DemoError
        It did not start.
    """
    log = logs / "gcs.log"
    command = [sys.executable, "-m", "infra.fake_gcs", "--tls", "--bucket", BUCKET]
    fake = processes.start("fake of Cloud Storage", command, log=log, folder=repository_root())
    wait_until_ready(fake, lambda: _SERVED_AT.search(log.read_text()) is not None)
    served = _SERVED_AT.search(log.read_text())
    if served is None:
        raise DemoError("The fake of Cloud Storage does not say where it is.")
    return CloudQueue(served["url"], int(served["port"]), Path(served["file"]), find_gsutil())


def find_gsutil() -> str | None:
    """The program that ``infra/setup`` installed, else the user's own, else None."""
    installed = repository_root() / ".cache" / "gsutil" / "bin" / "gsutil"
    return str(installed) if installed.exists() else shutil.which("gsutil")
