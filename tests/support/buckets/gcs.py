"""Google Cloud Storage buckets over the strict fake, for tests."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage  # type: ignore[import-untyped]

from infra.fake_gcs import FakeGcs
from segrelay.bucket.gcs import GcsBucket

BUCKET = "segrelay"

FIRST_PAUSE = 0.005
"""Seconds before a retry: the fake is never overloaded."""


def make_client(url: str) -> storage.Client:
    """A client of the fake at ``url``, whatever the environment says."""
    return storage.Client(
        project="test",
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": url},
    )


def make_bucket(
    url: str, prefix: str, *, deadline: float = 20.0, answer_limit: float = 20.0
) -> GcsBucket:
    """A bucket of the fake at ``url``."""
    return GcsBucket(
        make_client(url),
        BUCKET,
        prefix,
        deadline=deadline,
        first_pause=FIRST_PAUSE,
        answer_limit=answer_limit,
    )


@contextlib.contextmanager
def fresh_bucket(
    fake: FakeGcs, *, deadline: float = 20.0, answer_limit: float = 20.0
) -> Iterator[GcsBucket]:
    """An empty bucket of a fake that is shared: its own prefix, no faults, an empty log."""
    fake.faults.clear()
    fake.forget_requests()
    prefix = f"queue/{secrets.token_hex(4)}"
    bucket = make_bucket(fake.url, prefix, deadline=deadline, answer_limit=answer_limit)
    try:
        yield bucket
    finally:
        fake.faults.clear()
        bucket.close()
