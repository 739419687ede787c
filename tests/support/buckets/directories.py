"""Empty queues in directories, one after another."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from segrelay.bucket import Bucket
from segrelay.bucket.local import LocalBucket

Fresh = Callable[[], contextlib.AbstractContextManager[Bucket]]
"""Opens an empty queue until the block ends."""


def fresh_directory(folder: Path) -> Fresh:
    """Queues in folders of a folder."""
    numbers = itertools.count()

    @contextlib.contextmanager
    def fresh() -> Iterator[Bucket]:
        yield LocalBucket(folder / str(next(numbers)))

    return fresh
