"""The queue's bucket, as the settings name it."""

from __future__ import annotations

from functools import lru_cache

from django.core.signals import setting_changed

from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.queue.store import DatabaseBucket
from gcp_side.labseg.queue.waiting import WaitingCalls
from segrelay.bucket import Bucket, open_bucket
from segrelay.bucket.address import DatabaseAddress, parse_address


@lru_cache(maxsize=1)
def get_bucket() -> Bucket:
    """Return the queue's bucket, opened once in a process.

    Raises
    ------
    FixConfigurationError
        It cannot be used.
    """
    conf = get_conf()
    return conf.sealed(own_bucket() or open_bucket(conf.bucket, password=conf.read_redis_password))


@lru_cache(maxsize=1)
def own_bucket() -> DatabaseBucket | None:
    """Return the queue that this site keeps itself, as agents write to it; None for another one."""
    is_own = isinstance(parse_address(get_conf().bucket), DatabaseAddress)
    return DatabaseBucket() if is_own else None


@lru_cache(maxsize=1)
def waiting_calls(bucket: DatabaseBucket) -> WaitingCalls:
    """Return the calls for new jobs that this process holds."""
    return WaitingCalls(bucket.change)


def _forget(*, setting: str, **_: object) -> None:
    if setting == "SEGRELAY":
        get_bucket.cache_clear()
        own_bucket.cache_clear()
        waiting_calls.cache_clear()


setting_changed.connect(_forget)
