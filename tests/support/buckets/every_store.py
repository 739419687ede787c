"""Empty queues in every kind of store, one after another; and requests that go wrong on their way.

==========  =====================================================================
``cloud``   the strict fake of Google Cloud Storage, over Google's client
``redis``   a Redis
``site``    the tables of the site's database: the one of the tests' settings
==========  =====================================================================

Directories are in :mod:`tests.support.buckets.directories`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gcp_side.labseg.queue.rows import QueueChange, QueueObject
from gcp_side.labseg.queue.store import DatabaseBucket
from infra.fake_gcs import FakeGcs, FaultKind
from infra.fake_gcs.faults import Fault
from infra.servers.redis import RedisServer
from segrelay.bucket import Bucket
from segrelay.bucket.site import SiteBucket
from tests.support.buckets.directories import Fresh
from tests.support.buckets.gcs import FIRST_PAUSE, fresh_bucket
from tests.support.buckets.redis import fresh_address, redis_bucket
from tests.support.servers.fault_proxy import fault_proxy
from tests.support.servers.reply_proxy import Loss, reply_proxy
from tests.support.site.site_process import SiteProcess


def fresh_in_cloud(fake: FakeGcs) -> Fresh:
    """Queues below prefixes of the fake's bucket."""
    return lambda: fresh_bucket(fake)


def fresh_in_redis(server: RedisServer) -> Fresh:
    """Queues below prefixes of a Redis."""

    @contextlib.contextmanager
    def fresh() -> Iterator[Bucket]:
        with contextlib.closing(redis_bucket(fresh_address(server.address))) as bucket:
            yield bucket

    return fresh


@contextlib.contextmanager
def fresh_at_site() -> Iterator[Bucket]:
    """The queue of this site, emptied first."""
    QueueObject.objects.all().delete()
    QueueChange.objects.all().delete()
    yield DatabaseBucket()


@dataclass(frozen=True)
class Breakable:
    """An empty queue, and a way to it on which a request goes wrong."""

    near: Bucket
    """The way on which nothing does."""
    far: Bucket
    break_next: Callable[[FaultKind, int], None]
    """Orders a fault of this kind for one request, after so many others."""
    clear: Callable[[], bool]
    """Takes the order back; returns whether a request has met the fault."""


FreshBreakable = Callable[[], contextlib.AbstractContextManager[Breakable]]
"""Opens an empty queue until the block ends."""


def breakable_in_cloud(fake: FakeGcs) -> FreshBreakable:
    """Requests to the fake."""

    @contextlib.contextmanager
    def fresh() -> Iterator[Breakable]:
        with fresh_bucket(fake) as bucket:
            before = fake.faults.hits

            def clear() -> bool:
                fake.faults.clear()
                return fake.faults.hits > before

            yield Breakable(
                bucket, bucket, lambda kind, skip: fake.break_next(kind, skip=skip), clear
            )

    return fresh


def breakable_in_redis(server: RedisServer) -> FreshBreakable:
    """Scripts on their way to a Redis, or their answers."""

    @contextlib.contextmanager
    def fresh() -> Iterator[Breakable]:
        address = fresh_address(server.address)
        with (
            reply_proxy(server.port) as proxy,
            contextlib.closing(redis_bucket(address)) as near,
            contextlib.closing(
                redis_bucket(address.replace(f":{server.port}/", f":{proxy.port}/"))
            ) as far,
        ):
            far.list("")
            yield Breakable(
                near,
                far,
                lambda kind, skip: proxy.lose_next(_LOSSES[kind], skip=skip),
                lambda: proxy.lost > 0,
            )

    return fresh


_LOSSES = {FaultKind.DROP_BEFORE: Loss.BEFORE, FaultKind.DROP_AFTER: Loss.AFTER}


def breakable_at_site(site: SiteProcess) -> FreshBreakable:
    """Requests to the site under gunicorn; the agent is lab-1."""
    address, token = site.token("lab-1")

    def reach(url: str) -> contextlib.closing[SiteBucket]:
        return contextlib.closing(SiteBucket(url, lambda: token, first_pause=FIRST_PAUSE))

    @contextlib.contextmanager
    def fresh() -> Iterator[Breakable]:
        site.empty_queue()
        with (
            fault_proxy(site.url) as proxy,
            reach(address) as near,
            reach(address.replace(site.url, proxy.url)) as far,
        ):
            yield Breakable(
                near,
                far,
                lambda kind, skip: proxy.faults.add(Fault(kind=kind, skip=skip)),
                lambda: proxy.faults.hits > 0,
            )

    return fresh
