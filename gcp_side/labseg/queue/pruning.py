"""Removes what is too old from the queue that the site keeps, as a bucket's lifecycle does."""

from __future__ import annotations

from django.db.models.functions import Now

from gcp_side.labseg.queue.rows import QueueObject
from segrelay.bucket.lifetimes import LIFETIMES

AT_ONCE = 1000
"""Objects of a prefix that one call removes at most: a request waits for it."""


def prune() -> int:
    """Remove objects that are older than their lifetimes; returns how many."""
    removed = 0
    for prefix, age in LIFETIMES.items():
        # "0" follows "/", with which every prefix ends.
        rows = QueueObject.objects.filter(name__gte=prefix, name__lt=prefix[:-1] + "0")
        old = rows.filter(updated__lt=Now() - age)
        ids = list(old.values_list("pk", flat=True)[:AT_ONCE])
        if ids:
            removed += old.filter(pk__in=ids).delete()[0]
    return removed
