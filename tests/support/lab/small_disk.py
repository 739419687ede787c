"""A real file system of a few megabytes, which a test can fill."""

from __future__ import annotations

import errno
import json
import mmap
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.servers.orthanc import OrthancServer

SIZE = 8 * 2**20
"""Bytes."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Where it is mounted; the test is skipped where nothing can be."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "segrelay-test", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, pages: int) -> Path:
    """A file that leaves room for so many pages."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        while (excess := _free(disk) - pages * mmap.PAGESIZE) > 0:
            # A server at work may take some of the room in between: then look again.
            with _full_disk_allowed():
                file.write(bytes(excess))
    return filler


def _free(disk: Path) -> int:
    """Bytes."""
    state = os.statvfs(disk)
    return state.f_bavail * state.f_frsize


@contextmanager
def _full_disk_allowed() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


def put_storage_on(orthanc: OrthancServer, disk: Path, *, index_too: bool = False) -> None:
    """Let an empty Orthanc keep its files on another disk."""
    orthanc.stop()
    storage = orthanc._folder / "storage"
    if index_too:
        shutil.move(storage, disk / "storage")
        storage.symlink_to(disk / "storage")
    else:
        # It sorts files into folders of two hexadecimal digits, and the index beside them.
        for number in range(256):
            (disk / f"{number:02x}").mkdir()
            (storage / f"{number:02x}").symlink_to(disk / f"{number:02x}")
    orthanc.start()


class ForgetfulOrthanc(OrthancServer):
    """Answers with what is on its disk, never with what it remembers of it."""

    def _write_configuration(self, port: int, plugins: Sequence[Path]) -> Path:
        path = super()._write_configuration(port, plugins)
        settings = json.loads(path.read_bytes())
        path.write_text(json.dumps({**settings, "MaximumStorageCacheSize": 0}))
        return path
