"""What an operator does with a job, over Google's client and the strict fake.

The tests are those of the directory; they ask for the fixtures ``bucket`` and ``new_bucket``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from infra.fake_gcs import FakeGcs
from segrelay.bucket import Bucket
from tests.support.buckets.gcs import BUCKET, fresh_bucket
from tests.unit.common.queue import test_queue_operator as operator

globals().update(
    {
        name: value
        for name, value in vars(operator).items()
        if name.startswith(("test_", "Test")) or name == "bucket"
    }
)


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeGcs]:
    with FakeGcs([BUCKET]) as fake:
        yield fake


@pytest.fixture
def new_bucket(fake: FakeGcs) -> Iterator[operator.NewBucket]:
    with contextlib.ExitStack() as stack:

        def make() -> Bucket:
            return stack.enter_context(fresh_bucket(fake))

        yield make
