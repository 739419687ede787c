"""A limit of the computer is called by its name, wherever it is met; it is never final."""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import urllib3
from pydantic import SecretStr

from lab_side.agent.delivery.outbox import Outbox
from lab_side.agent.reporting.unexpected import unexpected
from lab_side.model_files import sha256_of
from lab_side.worker.client import WorkerProcess
from segrelay.bucket import open_bucket
from segrelay.bucket.local import LocalBucket
from segrelay.errors import (
    LimitReachedError,
    OrthancUnavailableError,
    SegRelayError,
    StoreUnavailableError,
    TransientError,
)
from segrelay.orthanc import OrthancClient, OrthancSettings
from segrelay.orthanc.failures import no_answer
from segrelay.profiles import load_profile
from segrelay.system.durable import disk_error, is_disk_failure
from segrelay.system.system_limits import raise_if_limit, raise_open_files_limit, reached_limit
from segrelay.transient import Finality, finality_of
from tests.support.paths import ROOT

posix = pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")


def system(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (system(errno.EMFILE), "LimitNOFILE"),
        (system(errno.ENFILE), "fs.file-max"),
        (system(errno.ENOMEM), "MemoryMax"),
        (system(errno.EFBIG), "LimitFSIZE"),
        (MemoryError(), "MemoryMax"),
        (RuntimeError("can't start new thread"), "TasksMax"),
    ],
)
def test_each_limit_names_the_setting_that_raises_it(error: Exception, word: str) -> None:
    with pytest.raises(LimitReachedError) as caught:
        raise_if_limit(error)
    assert word in caught.value.remedy
    assert "disk" not in caught.value.message
    assert finality_of(caught.value) is Finality.TRANSIENT
    seen = unexpected(error)
    assert isinstance(seen, TransientError)
    assert seen.code == "limit-reached"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO, errno.ECONNREFUSED])
def test_what_is_no_limit_is_none(number: int) -> None:
    raise_if_limit(system(number))
    raise_if_limit(RuntimeError("another"))


def test_no_more_processes_is_one_only_where_one_was_to_be_started() -> None:
    assert reached_limit(system(errno.EAGAIN)) is None
    limit = reached_limit(system(errno.EAGAIN), starts_process=True)
    assert limit is not None
    assert "ulimit -u" in limit.remedy


def test_the_disk_is_not_blamed_for_open_files() -> None:
    error = disk_error("The outbox refused a SEG", system(errno.EMFILE))
    assert isinstance(error, LimitReachedError)
    assert "ulimit -n" in error.remedy
    assert is_disk_failure(system(errno.EMFILE))


def test_the_network_is_not_blamed_for_open_files() -> None:
    wrapped = urllib3.exceptions.NewConnectionError(
        urllib3.connection.HTTPConnection("host"), "Failed: [Errno 24] Too many open files"
    )
    wrapped.__cause__ = system(errno.EMFILE)
    error = no_answer(
        urllib3.exceptions.MaxRetryError(urllib3.HTTPConnectionPool("host"), "/", wrapped)
    )
    assert isinstance(error, OrthancUnavailableError)
    assert error.code == "limit-reached"
    assert "LimitNOFILE" in error.remedy


@pytest.fixture
def no_more_files() -> Iterator[Callable[[], None]]:
    """A function after which this process can open nothing more, until the test ends."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def forbid() -> None:
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))
        for number in range(highest):
            try:
                os.fstat(number)
            except OSError:
                held.append(os.open(os.devnull, os.O_RDONLY))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, before[1]))

    held: list[int] = []
    yield forbid
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
    for number in held:
        os.close(number)


def code_of(action: Callable[[], object]) -> str:
    try:
        action()
    except TransientError as error:
        return error.code if "LimitNOFILE" in error.remedy else error.remedy
    except SegRelayError as error:
        return f"final: {error.code}"
    return "no error"


@posix
@pytest.mark.process
def test_every_way_to_a_file_or_a_server_says_so(
    tmp_path: Path, no_more_files: Callable[[], None]
) -> None:
    bucket = LocalBucket(tmp_path / "queue")
    info = bucket.create("v1/a.json", b"{}")
    outbox = Outbox(tmp_path)
    settings = OrthancSettings(url="http://127.0.0.1:9", user="u", password=SecretStr("p"))
    client = OrthancClient(settings)
    worker = WorkerProcess(hang_seconds=3, most_bytes=10**12)
    profiles = ROOT / "lab_side" / "profiles"
    actions: dict[str, Callable[[], object]] = {
        "list": lambda: bucket.list("v1/"),
        "read": lambda: bucket.read("v1/a.json", limit=10),
        "create": lambda: bucket.create("v1/b.json", b"{}"),
        "replace": lambda: bucket.replace("v1/b.json", b"{}"),
        "move": lambda: bucket.move("v1/a.json", "v1/c.json", generation=info.generation),
        "delete": lambda: bucket.delete("v1/a.json", generation=info.generation),
        "light": lambda: bucket.take_over("v1/beat.json", {}, generation=0),
        "open": lambda: open_bucket((tmp_path / "other").as_uri()),
        "outbox": outbox.entries,
        "orthanc": client.system,
        "worker": worker.make_ready,
        "profile": lambda: load_profile(profiles / "demo"),
        "weights": lambda: sha256_of(profiles / "demo" / "weights.safetensors"),
    }
    no_more_files()
    assert {name: code_of(action) for name, action in actions.items()} == dict.fromkeys(
        actions, "limit-reached"
    )


@posix
def test_an_outbox_that_cannot_be_read_is_not_an_empty_one(
    tmp_path: Path, no_more_files: Callable[[], None]
) -> None:
    outbox = Outbox(tmp_path)
    (tmp_path / "outbox" / "job-1").mkdir()
    no_more_files()
    with pytest.raises(LimitReachedError):
        outbox.entries()


@pytest.mark.process
def test_no_more_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    worker = WorkerProcess(hang_seconds=3, most_bytes=10**12)
    with pytest.raises(LimitReachedError, match="processes and threads"):
        worker.make_ready()
    assert worker.pid is None


@pytest.mark.parametrize(
    ("number", "words", "remedy"),
    [
        (errno.EACCES, "refuses this account", "umask 002"),
        (errno.EPERM, "refuses this account", "umask 002"),
        (errno.EROFS, "read-only", "Mount it"),
    ],
)
def test_a_queue_that_may_not_be_written_is_no_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str, remedy: str
) -> None:
    bucket = LocalBucket(tmp_path / "queue")

    def refuse(*_arguments: object) -> None:
        raise system(number)

    monkeypatch.setattr("segrelay.bucket.folder_lock.os.open", refuse)
    with pytest.raises(StoreUnavailableError, match=words) as caught:
        bucket.create("v1/a.json", b"{}")
    assert remedy in caught.value.remedy


@posix
def test_the_soft_limit_of_open_files_is_raised() -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, before[1]))
        raise_open_files_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(4096, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
