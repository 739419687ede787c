"""Log objects of the queue that are passed over: each once an hour, whichever process looks."""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Iterable

from gcp_side.labseg.host.caching import cache_key, default_cache

MOST_NAMED = 50
"""Lines that are looked at in one pass; whatever comes after them is not named."""

PAUSE = 3600
"""Seconds before the same line is logged again."""

logger = logging.getLogger(__name__)


def log_unusable(lines: Iterable[str]) -> None:
    """Log each line, unless it was logged within the last hour."""
    for line in itertools.islice(lines, MOST_NAMED):
        digest = hashlib.sha256(line.encode(errors="replace")).hexdigest()[:16]
        if default_cache.add(cache_key("odd", digest), True, timeout=PAUSE):
            logger.warning("queue object ignored: %s", line)
