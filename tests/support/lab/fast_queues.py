"""Every kind of queue for the agents of a fast lab: what leads them there, and what can be killed.

==================  =======================================================================
``directory``       a directory
``gcs``             the strict fake of Google Cloud Storage, over Google's client
``site``            the site's database, as delivered: nginx with TLS, gunicorn, PostgreSQL
``site-sqlite``     the same over SQLite
``redis``           a Redis that writes each change to its disk, with a user and a password
``rediss``          the same by TLS
==================  =======================================================================
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest

from infra.fake_gcs import FakeGcs
from infra.fake_gcs.api import Api
from infra.fake_gcs.faults import Faults
from infra.fake_gcs.http import Service
from infra.servers.certificates import Authority
from infra.servers.postgres import find_programs, private_postgres
from infra.servers.redis import RedisServer
from segrelay.bucket import Bucket
from segrelay.bucket.local import LocalBucket
from segrelay.bucket.site import SiteBucket
from tests.support.buckets.gcs import BUCKET, make_bucket
from tests.support.buckets.redis import redis_bucket
from tests.support.servers.serving import serving
from tests.support.site.site_process import SiteProcess

AGENTS = ("lab-1", "lab-2")
"""Whom a queue that asks for tokens lets in."""

OBSERVER = "tests"
"""The agent as which a test looks into a queue that asks for a token."""

PATIENCE_S = 180.0
"""For which a test's own requests are repeated: the server is away, or limits their number."""


class Killable(Protocol):
    """A server that is killed and started again; its data stay."""

    def kill(self) -> None:
        """``kill -9``."""
        ...

    def start(self) -> None:
        """Start it, and wait until it answers."""
        ...


@dataclass(frozen=True, kw_only=True)
class Queue:
    """Where the jobs are, and how a process gets there."""

    address: str
    bucket: Bucket
    environment: dict[str, str] = field(default_factory=dict)
    own_environment: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What one agent has besides, by agent."""
    look_every_s: float = 0.05
    """How often a test may look into it while it waits."""
    server: Killable | None = None
    """Where the queue is, unless it is a directory or the cloud."""
    fake: FakeGcs | None = None
    """Takes orders for faults, which only the agents meet."""

    def environment_of(self, agent: str) -> dict[str, str]:
        """Variables that lead an agent to the queue."""
        return {**self.environment, **self.own_environment.get(agent, {})}


@contextlib.contextmanager
def directory_queue(folder: Path, agents: Sequence[str] = AGENTS) -> Iterator[Queue]:
    """A queue in a directory."""
    yield Queue(address=folder.as_uri(), bucket=LocalBucket(folder))


@contextlib.contextmanager
def gcs_queue(folder: Path, agents: Sequence[str] = AGENTS) -> Iterator[Queue]:
    """A queue over the strict fake GCS, with the real client."""
    prefix = f"queue/{secrets.token_hex(4)}"
    with FakeGcs() as fake, clean_door(fake) as door:
        bucket = make_bucket(door, prefix)
        try:
            yield Queue(
                address=f"gs://{BUCKET}/{prefix}",
                bucket=bucket,
                environment={"STORAGE_EMULATOR_HOST": fake.url},
                fake=fake,
            )
        finally:
            bucket.close()


@contextlib.contextmanager
def clean_door(fake: FakeGcs) -> Iterator[str]:
    """Another address of the same store, which knows no faults."""
    with serving(Service(Api(fake.store), Faults())) as url:
        yield url


@contextlib.contextmanager
def site_queue(folder: Path, agents: Sequence[str] = AGENTS) -> Iterator[Queue]:
    """The site's queue over PostgreSQL."""
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed (Debian: postgresql)")
    pytest.importorskip("psycopg")
    with private_postgres(programs) as database, _at_site(folder, database, agents) as queue:
        yield queue


@contextlib.contextmanager
def site_sqlite_queue(folder: Path, agents: Sequence[str] = AGENTS) -> Iterator[Queue]:
    """The site's queue over SQLite."""
    with _at_site(folder, "", agents) as queue:
        yield queue


@contextlib.contextmanager
def _at_site(folder: Path, database: str, agents: Sequence[str]) -> Iterator[Queue]:
    with closing(SiteProcess(folder, database=database, behind_nginx=True)) as site:
        site.start()
        address, own = site.token(OBSERVER)
        tokens = site.tokens(agents)
        ca_file = None if site.front is None else site.front.authority
        with closing(
            SiteBucket(address, lambda: own, deadline=PATIENCE_S, ca_file=ca_file)
        ) as bucket:
            yield Queue(
                address=address,
                bucket=bucket,
                environment=site.trust,
                own_environment={
                    agent: {"SEGRELAY_QUEUE_TOKEN": token} for agent, token in tokens.items()
                },
                # The site limits the requests of each token.
                look_every_s=0.25,
                server=site,
            )


@contextlib.contextmanager
def redis_queue(folder: Path, agents: Sequence[str] = AGENTS) -> Iterator[Queue]:
    """The queue in a Redis that loses nothing that it has acknowledged."""
    with _in_redis(None) as queue:
        yield queue


@contextlib.contextmanager
def rediss_queue(folder: Path, agents: Sequence[str] = AGENTS) -> Iterator[Queue]:
    """The same by TLS, with a certificate of an authority that only its users trust."""
    folder.mkdir()
    with _in_redis(Authority(folder)) as queue:
        yield queue


@contextlib.contextmanager
def _in_redis(authority: Authority | None) -> Iterator[Queue]:
    password = secrets.token_hex(8)
    user = f"lab on >{password} ~segrelay:* &segrelay:* +@all"
    identity = None if authority is None else authority.issue("redis")
    ca_file = None if authority is None else authority.certificate
    trust = {} if ca_file is None else {"SEGRELAY_QUEUE_CA_FILE": str(ca_file)}
    with (
        RedisServer({"user": user}, identity=identity, authority=authority) as server,
        closing(redis_bucket(server.address, deadline=PATIENCE_S, ca_file=ca_file)) as bucket,
    ):
        yield Queue(
            address=server.address.replace("//", "//lab@"),
            bucket=bucket,
            environment={"SEGRELAY_REDIS_PASSWORD": password, **trust},
            server=server,
        )


QUEUES = {
    "directory": directory_queue,
    "gcs": gcs_queue,
    "site": site_queue,
    "site-sqlite": site_sqlite_queue,
    "redis": redis_queue,
    "rediss": rediss_queue,
}
