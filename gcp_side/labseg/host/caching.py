"""Django's cache, as this app uses it: an aid that may be away, and is never needed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from django.core.cache import DEFAULT_CACHE_ALIAS, caches

logger = logging.getLogger(__name__)

LOG_PAUSE_S = 60.0
"""Between two lines about a cache that fails: each page asks many times."""

Answer = TypeVar("Answer")

CACHE_VERSION = 4
"""Raise it when a class in the cache moves or changes: older pickles are then unseen."""


def cache_key(kind: str, *parts: object) -> str:
    """The key of an entry of this app, in the form of this version."""
    return ":".join(("labseg", str(CACHE_VERSION), kind, *map(str, parts)))


class AidCache:
    """An entry of ``CACHES``; what fails there counts as not found and not kept.

    Cache servers are restarted, and some of them take values of few types only.

    Parameters
    ----------
    name:
        The entry's key in ``CACHES``.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._logged_at = -LOG_PAUSE_S

    def get(self, key: str, default: Any = None) -> Any:
        """What is kept under the key, or the default."""
        return self._ask(lambda: caches[self._name].get(key, default), default)

    def set(self, key: str, value: object, timeout: float | None = None) -> None:
        """Keep a value for so many seconds, for ever where none are given."""
        self._ask(lambda: caches[self._name].set(key, value, timeout=timeout), None)

    def add(self, key: str, value: object, timeout: float | None = None) -> bool:
        """Keep a value unless there is one; whether there was none, as far as is known."""
        return self._ask(lambda: caches[self._name].add(key, value, timeout=timeout), True)

    def _ask(self, question: Callable[[], Answer], otherwise: Answer) -> Answer:
        try:
            return question()
        except Exception as error:
            # Each kind of cache has errors of its own.
            if time.monotonic() - self._logged_at >= LOG_PAUSE_S:
                self._logged_at = time.monotonic()
                logger.warning("cache %r not used: %s", self._name, type(error).__name__)
            return otherwise


@lru_cache
def aid_cache(name: str) -> AidCache:
    """The one of this name in this process."""
    return AidCache(name)


default_cache = aid_cache(DEFAULT_CACHE_ALIAS)
"""For what is small."""
