"""Share one computation among requests that ask for it at once; a few run at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakValueDictionary

from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.host.caching import aid_cache

MADE_AT_ONCE = 2
"""Segmentations in memory at the same time, in a process."""

LARGEST_KEPT_BYTES = 4 * 1024 * 1024
"""Of one answer in Django's cache; usual ones have a megabyte."""

Made = TypeVar("Made")


class KeyedLocks:
    """A lock for each key that is in use; thread-safe."""

    def __init__(self) -> None:
        # A lock is forgotten with the last thread that holds it or waits for it.
        self._locks: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        self._guard = threading.Lock()

    def of(self, key: str) -> threading.Lock:
        """The lock of ``key``, the same for all who ask while one of them uses it."""
        with self._guard:
            return self._locks.setdefault(key, threading.Lock())


def shared(key: str, make: Callable[[], Made], *, size: Callable[[Made], int]) -> Made:
    """Cached value under ``key``; made and stored where the cache has none.

    Parameters
    ----------
    size:
        Bytes of what was made; above :data:`LARGEST_KEPT_BYTES` it is not kept.

    Raises
    ------
    Exception
        What ``make`` raises; then nothing is kept.
    """
    conf = get_conf()
    cache = aid_cache(conf.cache)
    found: Made | None = cache.get(key)
    if found is not None:
        return found
    with _locks.of(key), _makers:
        # Another request may have made it meanwhile.
        found = cache.get(key)
        if found is None:
            found = make()
            if size(found) <= LARGEST_KEPT_BYTES:
                cache.set(key, found, timeout=conf.frames_cache_seconds)
    return found


_locks = KeyedLocks()
_makers = threading.BoundedSemaphore(MADE_AT_ONCE)
