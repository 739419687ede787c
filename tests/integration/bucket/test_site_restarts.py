"""The site is restarted in the middle of each call to its queue: nothing is lost, nor done twice.

A call is in the middle while the database lets it wait for a lock that the test holds; the one that
waits for jobs is held by the site itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto

import pytest

from infra.servers.postgres import find_programs, private_postgres
from segrelay import names
from segrelay.bucket import ObjectInfo
from segrelay.bucket.site import SiteBucket
from segrelay.errors import ObjectExistsError, ObjectNotFoundError, StoreUnavailableError
from tests.support.site.site_process import SiteProcess

psycopg = pytest.importorskip("psycopg")

JOB, CLAIM = f"{names.PENDING}5-01.json", f"{names.CLAIMED}lab-1/5-01.json"
BEAT, PROGRESS = names.agent_object("lab-1"), f"{names.PROGRESS}01.json"
OLD, NEW = {"beat": "old"}, {"beat": "new"}

LIMIT_S = 120.0
"""For a call to come through; a site starts within two seconds."""

LATER_S = 0.3
"""From the signal to the end of the lock, or of a call's beginning to the signal."""


class Restart(Enum):
    """How the site ends."""

    HUP = auto()
    """gunicorn replaces its processes, as after an update."""
    TERM = auto()
    """It is stopped, as a service is, and started again."""
    KILL = auto()
    """``kill -9`` of all its processes, and a start."""


@dataclass(frozen=True)
class Scene:
    """The queue before the call."""

    bucket: SiteBucket
    job: ObjectInfo
    beat: ObjectInfo
    change: str


def _list(scene: Scene) -> None:
    assert scene.bucket.list("v1/") == [scene.beat, scene.job]


def _stat(scene: Scene) -> None:
    assert scene.bucket.stat(JOB) == scene.job


def _read(scene: Scene) -> None:
    assert scene.bucket.read(JOB, limit=9) == b"{}"


def _read_heartbeat(scene: Scene) -> None:
    assert scene.bucket.read_heartbeat(BEAT) == scene.beat


def _create(scene: Scene) -> None:
    name = names.result_object("01")
    made = scene.bucket.create(name, b"1")
    assert scene.bucket.stat(name) == made
    with pytest.raises(ObjectExistsError):
        scene.bucket.create(name, b"2")


def _replace(scene: Scene) -> None:
    made = scene.bucket.replace(PROGRESS, b"1")
    assert scene.bucket.read(PROGRESS, limit=9) == b"1"
    assert scene.bucket.stat(PROGRESS) == made


def _move(scene: Scene) -> None:
    moved = scene.bucket.move(JOB, CLAIM, generation=scene.job.generation)
    assert scene.bucket.list(names.JOBS) == [scene.beat, moved]
    assert scene.bucket.read(CLAIM, limit=9) == b"{}"


def _delete(scene: Scene) -> None:
    # What is repeated finds nothing left to do.
    with suppress(ObjectNotFoundError):
        scene.bucket.delete(JOB, generation=scene.job.generation)
    assert scene.bucket.list(names.PENDING) == []


def _take_over(scene: Scene) -> None:
    taken = scene.bucket.take_over(BEAT, NEW, generation=scene.beat.generation)
    assert (taken.metadata, taken.generation != scene.beat.generation) == (NEW, True)
    assert scene.bucket.read_heartbeat(BEAT) == taken


def _refresh(scene: Scene) -> None:
    beaten = scene.bucket.refresh(BEAT, NEW, generation=scene.beat.generation)
    seen = scene.bucket.read_heartbeat(BEAT)
    assert (seen.metadata, seen.generation) == (NEW, beaten.generation)


def _wait(scene: Scene) -> None:
    # It is asked once: the agent scans, and asks again.
    with suppress(StoreUnavailableError):
        scene.bucket.wait(scene.change, 5.0)
    scene.bucket.create(f"{names.PENDING}5-02.json", b"{}")
    limit = time.monotonic() + LIMIT_S
    while time.monotonic() < limit:
        with suppress(StoreUnavailableError):
            newest, _ = scene.bucket.wait(scene.change, 0.0)
            assert newest != scene.change
            return
    pytest.fail("the site has not come back")


CALLS: tuple[Callable[[Scene], None], ...] = (
    _list,
    _stat,
    _read,
    _read_heartbeat,
    _create,
    _replace,
    _move,
    _delete,
    _take_over,
    _refresh,
    _wait,
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteProcess]:
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed (Debian: postgresql)")
    folder = tmp_path_factory.mktemp("site")
    with (
        private_postgres(programs) as database,
        closing(SiteProcess(folder, database=database)) as site,
    ):
        site.start()
        yield site


@pytest.fixture(scope="module")
def bucket(site: SiteProcess) -> Iterator[SiteBucket]:
    """The queue as lab-1 reaches it."""
    address, token = site.token("lab-1")
    with closing(SiteBucket(address, lambda: token, deadline=LIMIT_S)) as bucket:
        yield bucket


@contextmanager
def held(site: SiteProcess) -> Iterator[Callable[[], bool]]:
    """Let every call wait until the block ends; gives whether one does."""
    tables = "labseg_queueobject, labseg_queuechange"
    with psycopg.connect(site.database) as holder, psycopg.connect(site.database) as looker:
        looker.autocommit = True
        holder.execute(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")

        def is_waiting() -> bool:
            (count,) = looker.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
            return bool(count)

        yield is_waiting


def signal(site: SiteProcess, restart: Restart) -> None:
    """Begin to end the site."""
    if restart is Restart.HUP:
        site.reload()
    elif restart is Restart.TERM:
        site.terminate()
    else:
        site.kill()


@pytest.mark.parametrize(
    ("call", "restart"),
    [
        pytest.param(
            call,
            restart,
            id=f"{call.__name__[1:]}-{restart.name}",
            marks=() if (call, restart) == (_move, Restart.KILL) else pytest.mark.long,
        )
        for call in CALLS
        for restart in Restart
    ],
)
def test_a_restart_in_the_middle_of_a_call(
    site: SiteProcess, bucket: SiteBucket, call: Callable[[Scene], None], restart: Restart
) -> None:
    site.empty_queue()
    job = bucket.create(JOB, b"{}")
    beat = bucket.take_over(BEAT, OLD, generation=0)
    scene = Scene(bucket, job, beat, bucket.wait("", 0.0)[0])
    with ThreadPoolExecutor(1) as pool:
        if call is _wait:
            done = pool.submit(call, scene)
            time.sleep(LATER_S)
            signal(site, restart)
        else:
            with held(site) as is_waiting:
                done = pool.submit(call, scene)
                limit = time.monotonic() + LIMIT_S
                while not is_waiting():
                    assert time.monotonic() < limit, "the call has not come to the database"
                    time.sleep(0.01)
                signal(site, restart)
                time.sleep(LATER_S)
                assert not done.done()
        if restart is not Restart.HUP:
            site.stop()
            site.start()
        done.result(LIMIT_S)
