"""How long an object of the queue lasts after its last change.

A bucket of Google Cloud Storage has a lifecycle that says the same (``infra/gcs``); the stores
without one remove what is older themselves.
"""

from __future__ import annotations

from datetime import timedelta

from segrelay import names

LIFETIMES = {
    names.PROBE: timedelta(days=1),
    names.PROGRESS: timedelta(days=7),
    names.REJECTED: timedelta(days=90),
    names.ATTEMPTS: timedelta(days=365),
    names.DONE: timedelta(days=365),
    names.FAILED: timedelta(days=365),
    names.RESULTS: timedelta(days=365),
}
"""By prefix; the others last."""

PRUNE_EVERY = 3600.0
"""Seconds between two removals of what is too old."""
