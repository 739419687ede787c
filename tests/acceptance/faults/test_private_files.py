"""What an agent that is started by hand leaves on the disk, while it works and afterwards."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.fake_gcs import Fault, FaultKind
from tests.support.lab.lab import DEADLINE, Lab
from tests.support.servers.fault_proxy import fault_proxy

NOT_NOW = 75
OTHERS = 0o077


class Watch:
    """Looks at every file below a folder again and again."""

    def __init__(self, folder: Path) -> None:
        self.seen: set[str] = set()
        self.open: set[tuple[str, str]] = set()
        self._folder = folder
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def look(self) -> None:
        for base, folders, files in os.walk(self._folder):
            for path in (Path(base), *(Path(base) / name for name in (*folders, *files))):
                try:
                    found = path.lstat()
                except OSError:
                    continue
                self.seen.add(path.name)
                if found.st_mode & OTHERS and not stat.S_ISLNK(found.st_mode):
                    self.open.add((str(path), oct(stat.S_IMODE(found.st_mode))))

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            self.look()

    @contextmanager
    def watching(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()
            self.look()


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.long
@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077], ids=oct)
def test_images_segs_and_drafts_are_for_the_agents_account_alone(lab: Lab, mask: int) -> None:
    # As an earlier version left it.
    with umask(0):
        (lab.home / "outbox").mkdir(parents=True)
        (lab.home / "old").write_bytes(b"")
    watch = Watch(lab.home)
    name = lab.submit()
    with umask(mask), fault_proxy(lab.orthanc.url) as line:
        line.faults.add(
            Fault(
                kind=FaultKind.DROP_BEFORE, operation="POST", name_contains="/instances", times=99
            )
        )
        agent = lab.start_agent("once", SEGRELAY_ORTHANC_URL=line.url)
        while not (lab.home / "logs").exists():
            assert agent.poll() is None
        with watch.watching():
            assert agent.wait(timeout=DEADLINE) in (0, NOT_NOW)
    assert {"seg.dcm", "draft.json", "logs", "jobs", "series"} <= watch.seen
    assert watch.open == set()
    # The site, under another account, reads the queue.
    attempts = [path for path in lab.bucket.root.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in attempts} <= {0o666 & ~mask, 0o644, 0o666}
    assert name.job_id in "".join(map(str, attempts))
