"""The site's settings for the bench: no limit of requests, and calls held for many agents."""

from __future__ import annotations

from gcp_side.site.settings import *  # noqa: F403
from gcp_side.site.settings import SEGRELAY as _OF_PROJECT
from infra.benches.queue.stores.site_limits import WAITING

SEGRELAY = {
    **_OF_PROJECT,
    "QUEUE_RATE": "1000000/min",
    "QUEUE_WAITING_CALLS": WAITING,  # type: ignore[dict-item]
}
