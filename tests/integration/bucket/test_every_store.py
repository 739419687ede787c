"""The queue keeps its promises wherever it is, whatever operation, request or answer is lost.

The transition tests and the tests with a fault at every operation are those of the directory.
What lies below a client's own retry comes on top: a request that is carried out and whose answer a
proxy swallows is repeated, and must not be taken for another one's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.fake_gcs import FakeGcs, FaultKind
from infra.servers.postgres import find_programs, private_postgres
from infra.servers.redis import RedisServer
from lab_side.conformance import PROMISES, Outcome, try_promises
from segrelay.bucket import Bucket
from segrelay.errors import StoreUnavailableError
from segrelay.manifest import JobManifest
from segrelay.queue import SiteQueue
from tests.support.buckets.directories import Fresh, fresh_directory
from tests.support.buckets.every_store import (
    FreshBreakable,
    breakable_at_site,
    breakable_in_cloud,
    breakable_in_redis,
    fresh_at_site,
    fresh_in_cloud,
    fresh_in_redis,
)
from tests.support.buckets.faulty_bucket import Fault
from tests.support.buckets.gcs import BUCKET
from tests.support.jobs import make_manifest
from tests.support.site.site_process import SiteProcess
from tests.unit.common.queue import test_queue as transitions
from tests.unit.common.queue import test_queue_crashes as crashes

MOST_REQUESTS = 80
"""More than any way below needs; reaching it means that the loop never ended."""

Way = Callable[[Bucket, JobManifest], None]
WAYS: list[tuple[Way, bool, bool]] = [
    (crashes.serve, True, False),
    (crashes.submit, False, True),
    (crashes.cancel, True, True),
]
"""The way, whether the job is submitted before it, whether its user repeats it."""

LOUD_FAULTS = {
    "cloud": (
        FaultKind.DROP_AFTER,
        FaultKind.DROP_BEFORE,
        FaultKind.STATUS,
        FaultKind.STATUS_AFTER,
        FaultKind.CUT,
    ),
    "redis": (FaultKind.DROP_AFTER, FaultKind.DROP_BEFORE),
}
"""Of each store; ``--long`` for all but the first, which is a swallowed answer."""
LOUD_FAULTS |= {"site": LOUD_FAULTS["cloud"], "site-sqlite": LOUD_FAULTS["cloud"]}

# The tests and fixtures of the directory's queue; they ask for the fixture ``bucket`` below.
globals().update(
    {
        name: value
        for name, value in vars(transitions).items()
        if name.startswith("test_") or name in ("site", "lab")
    }
)


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeGcs]:
    with FakeGcs([BUCKET]) as fake:
        yield fake


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    # The faults here are the client's; the server is not killed.
    with RedisServer({"appendfsync": "no"}) as server:
        yield server


@pytest.fixture(params=["cloud", "redis", "site"])
def store(request: pytest.FixtureRequest) -> str:
    """A store that the tests of the directory do not know."""
    return str(request.param)


@pytest.fixture
def fresh(request: pytest.FixtureRequest, store: str, tmp_path: Path) -> Fresh:
    """Empty queues in this store."""
    if store == "directory":
        return fresh_directory(tmp_path)
    if store == "site":
        return fresh_at_site
    if store == "redis":
        return fresh_in_redis(request.getfixturevalue("redis"))
    return fresh_in_cloud(request.getfixturevalue("fake"))


@pytest.fixture
def bucket(fresh: Fresh) -> Iterator[Bucket]:
    with fresh() as bucket:
        yield bucket


@pytest.fixture(scope="module")
def site_on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreshBreakable]:
    with contextlib.closing(SiteProcess(tmp_path_factory.mktemp("site"))) as process:
        process.start()
        yield breakable_at_site(process)


@pytest.fixture(scope="module")
def site_on_postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreshBreakable]:
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed (Debian: postgresql)")
    pytest.importorskip("psycopg")
    folder = tmp_path_factory.mktemp("site")
    with (
        private_postgres(programs) as database,
        contextlib.closing(SiteProcess(folder, database=database)) as process,
    ):
        process.start()
        yield breakable_at_site(process)


@pytest.fixture
def fresh_breakable(request: pytest.FixtureRequest, where: str) -> FreshBreakable:
    """Empty queues whose requests go wrong; ``where`` is a parameter of the test."""
    if where == "cloud":
        return breakable_in_cloud(request.getfixturevalue("fake"))
    if where == "redis":
        return breakable_in_redis(request.getfixturevalue("redis"))
    name = "site_on_postgresql" if where == "site" else "site_on_sqlite"
    fresh: FreshBreakable = request.getfixturevalue(name)
    return fresh


@pytest.mark.parametrize("store", ["directory", "cloud", "redis", "site"], indirect=True)
def test_every_promise_is_kept(bucket: Bucket) -> None:
    results = list(try_promises(bucket))
    assert [result for result in results if result.outcome is not Outcome.OK] == []
    assert len(results) == len(PROMISES)
    assert bucket.list("") == []


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize(
    ("way", "submitted", "repeat"), WAYS, ids=lambda v: getattr(v, "__name__", "")
)
def test_i1_i3_whatever_operation_breaks_the_job_ends_once(
    fresh: Fresh, fault: Fault, way: Way, submitted: bool, repeat: bool
) -> None:
    crashes.run_with_faults(fresh, fault, way, submitted=submitted, repeat=repeat)


def _broken_requests() -> list[object]:
    return [
        pytest.param(
            where,
            kind,
            id=f"{where}-{kind.name.lower()}",
            # The site is slower, and its requests are those of the other database as well.
            marks=pytest.mark.long if kind is not kinds[0] or where == "site-sqlite" else (),
        )
        for where, kinds in LOUD_FAULTS.items()
        for kind in kinds
    ]


@pytest.mark.parametrize(("where", "kind"), _broken_requests())
@pytest.mark.parametrize(
    ("way", "submitted", "repeat"), WAYS, ids=lambda v: getattr(v, "__name__", "")
)
def test_i1_i3_whatever_request_breaks_the_job_ends_once(
    fresh_breakable: FreshBreakable,
    where: str,
    kind: FaultKind,
    way: Way,
    submitted: bool,
    repeat: bool,
) -> None:
    """The fault lies below the client's retry, which repeats what has already been done."""
    for at in range(MOST_REQUESTS):
        with fresh_breakable() as queue:
            manifest = make_manifest()
            if submitted:
                SiteQueue(queue.near).submit(manifest)
            queue.break_next(kind, at)
            with contextlib.suppress(StoreUnavailableError):
                way(queue.far, manifest)
            was_hit = queue.clear()
            if repeat:
                way(queue.near, manifest)
            crashes.Life(queue.near).work()
            crashes.Life(queue.near).work()
            crashes.assert_settled(queue.near, manifest)
        if not was_hit:
            assert at > 0
            return
    pytest.fail("the way never ran through")
