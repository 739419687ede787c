"""A directory as bucket: test mode, the demo, and a shared folder in the lab.

Every change is made under one operating-system lock, so that checks and renames are one
step, on POSIX and NTFS alike (on NTFS a rename follows the open handle and two renames of
one file can both succeed). The lock is released by the system when a process dies. New
content is written aside, fsynced and renamed in: a reader never sees part of a file. A
journaling file system keeps the order of changes of names: what is flushed flushes all that
was renamed before it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from common.bucket import ObjectInfo
from common.durable import describe, is_full, sync_folder
from common.errors import (
    FixConfigurationError,
    ObjectExistsError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreUnavailableError,
)
from common.folder_lock import locked
from common.json_reader import JsonLimits, UnreadableJsonError, read_json_object
from common.sharing import patiently

STALE_TEMPORARY = 3600.0
"""Seconds after which a half-written file of a killed process is swept."""

_TEMPORARY = ".tmp"
_LOCK = ".lock"
_NO_NAMES = {"", ".", "..", _TEMPORARY, _LOCK}
_BEACON_LIMITS = JsonLimits(size_bytes=64 * 1024, depth=2, values=100, text_characters=64 * 1024)
"""Of a heartbeat in its file: one text of at most 8 KiB, its quotation marks escaped."""


class LocalBucket:
    """The bucket protocol over ``root``; creates the directory when missing."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._base = str(self._root)
        self._temporary = os.path.join(self._base, _TEMPORARY)
        try:
            os.makedirs(self._temporary, exist_ok=True)
        except OSError as error:
            if is_full(error):
                raise _disk_full() from error
            raise FixConfigurationError(
                f"The queue directory {root} cannot be used ({describe(error)}).",
                code="bucket-address",
                remedy="Give a directory that this account may write to.",
            ) from error
        self._lock = os.path.join(self._base, _LOCK)
        self._sweep_temporary()

    @property
    def root(self) -> Path:
        """The directory."""
        return self._root

    def describe(self) -> str:
        """``file:///…``."""
        return self._root.as_uri()

    def list(self, prefix: str) -> list[ObjectInfo]:
        """Walk the directory; an object may move while this runs."""
        start, slash, _ = prefix.rpartition("/")
        # By name: while files are renamed, the system may show one of them twice.
        found: dict[str, ObjectInfo] = {}
        with _STORE_ERRORS:
            for name, path in _walk(os.path.join(self._base, start), start + slash):
                info = _info_or_none(name, path) if name.startswith(prefix) else None
                if info is not None:
                    found[name] = info
        return [found[name] for name in sorted(found)]

    def stat(self, name: str) -> ObjectInfo:
        """As the protocol."""
        path = self._path(name)
        with _STORE_ERRORS:
            info = _info_or_none(name, path)
        if info is None:
            raise ObjectNotFoundError(f"There is no object {name}.")
        return info

    def read(self, name: str, *, limit: int) -> bytes:
        """As the protocol."""
        path = self._path(name)
        with _STORE_ERRORS:
            try:
                with patiently(lambda: open(path, "rb")) as file:
                    return file.read(limit + 1)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise ObjectNotFoundError(f"There is no object {name}.") from None

    def create(self, name: str, data: bytes) -> ObjectInfo:
        """As the protocol."""
        path = self._path(name)
        with _STORE_ERRORS, self._aside(data) as aside, self._locked():
            if _exists(path):
                raise ObjectExistsError(f"The object {name} exists already.")
            _rename(aside, path)
            # The folder it comes from needs no flush: what is left there is swept.
            sync_folder(os.path.dirname(path))
            return _info(name, path)

    def replace(self, name: str, data: bytes) -> ObjectInfo:
        """As the protocol."""
        path = self._path(name)
        with _STORE_ERRORS, self._aside(data) as aside, self._locked():
            self._replace(aside, path)
            return _info(name, path)

    def move(self, source: str, destination: str, *, generation: int) -> ObjectInfo:
        """As the protocol: one ``rename``, which keeps the bytes and the times; not flushed.

        A move that a power failure undoes was never made, and is made again; the heartbeat
        that precedes work is flushed, and the claim before it with it.
        """
        old, new = self._path(source), self._path(destination)
        with _STORE_ERRORS, self._locked():
            info = self._require(old, source, generation)
            if _exists(new):
                raise ObjectExistsError(f"The object {destination} exists already.")
            _rename(old, new)
        return replace(info, name=destination)

    def delete(self, name: str, *, generation: int) -> None:
        """As the protocol."""
        path = self._path(name)
        with _STORE_ERRORS, self._locked():
            self._require(path, name, generation)
            patiently(lambda: os.unlink(path))
            sync_folder(os.path.dirname(path))

    def beacon(self, name: str) -> ObjectInfo:
        """As the protocol. Only this reads a beacon: what others wrote can never pose as one."""
        path = self._path(name)
        with _STORE_ERRORS:
            info = _info_or_none(name, path)
            beacon = _read_beacon(path)
        if info is None or beacon is None:
            raise ObjectNotFoundError(f"There is no beacon {name}.")
        return beacon.describe(info)

    def light(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        """As the protocol; a beacon is a small JSON file with its own generation inside."""
        path = self._path(name)
        fresh = secrets.randbits(62) | 1
        with _STORE_ERRORS, self._locked():
            current = self._beacon_generation(path)
            if current != generation:
                raise PreconditionFailedError(f"The beacon {name} is another generation.")
            return self._write_beacon(name, path, _Beacon(fresh, dict(metadata)))

    def beat(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        """As the protocol."""
        path = self._path(name)
        with _STORE_ERRORS, self._locked():
            current = self._beacon_generation(path)
            if current == 0:
                raise ObjectNotFoundError(f"There is no beacon {name}.")
            if current != generation:
                raise PreconditionFailedError(f"The beacon {name} is another generation.")
            return self._write_beacon(name, path, _Beacon(generation, dict(metadata)))

    def _locked(self) -> contextlib.AbstractContextManager[None]:
        return locked(self._lock)

    def _path(self, name: str) -> str:
        if "\\" in name or not _NO_NAMES.isdisjoint(name.split("/")):
            raise ObjectNotFoundError(f"{name!r} cannot name an object.")
        return self._base + os.sep + name.replace("/", os.sep)

    def _require(self, path: str, name: str, generation: int) -> ObjectInfo:
        info = _info_or_none(name, path)
        if info is None:
            raise ObjectNotFoundError(f"There is no object {name}.")
        if info.generation != generation:
            raise PreconditionFailedError(f"The object {name} is another generation.")
        return info

    def _beacon_generation(self, path: str) -> int:
        beacon = _read_beacon(path)
        return 0 if beacon is None else beacon.generation

    def _write_beacon(self, name: str, path: str, beacon: _Beacon) -> ObjectInfo:
        with self._aside(json.dumps(beacon._asdict()).encode()) as aside:
            self._replace(aside, path)
        return beacon.describe(_info(name, path))

    @contextlib.contextmanager
    def _aside(self, data: bytes) -> Iterator[str]:
        """A fsynced temporary file, to be renamed."""
        path = os.path.join(self._temporary, f"{os.getpid()}-{secrets.token_hex(8)}")
        try:
            with open(path, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            yield path
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            raise

    def _replace(self, old: str, new: str) -> None:
        _rename(old, new, os.replace)
        sync_folder(os.path.dirname(new))

    def _sweep_temporary(self) -> None:
        limit = time.time() - STALE_TEMPORARY
        for path in Path(self._temporary).iterdir():
            with contextlib.suppress(FileNotFoundError, PermissionError):
                if path.stat().st_mtime < limit:
                    path.unlink()


class _StoreErrors:
    """Says in the protocol's words what the system refused; around every call, so no generator."""

    def __enter__(self) -> None:
        return

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            if is_full(error):
                raise _disk_full() from error
            raise StoreUnavailableError(
                f"The queue directory did not answer ({describe(error)})."
            ) from error


_STORE_ERRORS = _StoreErrors()


def _disk_full() -> StoreUnavailableError:
    return StoreUnavailableError(
        "The disk of the queue directory is full.",
        code="store-full",
        remedy="Free space on the disk of the queue directory; it is retried by itself.",
    )


class _Beacon(NamedTuple):
    """How a beacon lies on disk; only ever read where the queue keeps beacons."""

    generation: int
    metadata: dict[str, str]

    def describe(self, info: ObjectInfo) -> ObjectInfo:
        return replace(info, generation=self.generation, size=0, metadata=self.metadata)


def _walk(folder: str, prefix: str) -> Iterator[tuple[str, str]]:
    """Name and path of every entry below ``folder``, whose own objects begin with ``prefix``."""
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            if not prefix and entry.name in (_TEMPORARY, _LOCK):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, f"{prefix}{entry.name}/")
            else:
                yield prefix + entry.name, entry.path


def _rename(old: str, new: str, rename: Callable[[str, str], None] = os.rename) -> None:
    """Rename a file into a folder, which is made where it is missing."""
    try:
        patiently(lambda: rename(old, new))
    except FileNotFoundError:
        _make_folder(os.path.dirname(new))
        patiently(lambda: rename(old, new))


def _make_folder(folder: str) -> None:
    """Make a folder that lasts: a file that is flushed into it would else be lost with it."""
    if os.path.isdir(folder):
        return
    parent = os.path.dirname(folder)
    _make_folder(parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder)
    sync_folder(parent)


def _exists(path: str) -> bool:
    # Not os.path.exists: it takes a file that it may not see for none, and that one would be lost.
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _info(name: str, path: str) -> ObjectInfo:
    return _info_from(name, os.stat(path))


def _info_or_none(name: str, path: str) -> ObjectInfo | None:
    # Not what the listing knows: on Windows that may be older than the file.
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _info_from(name, status) if stat.S_ISREG(status.st_mode) else None


def _info_from(name: str, status: os.stat_result) -> ObjectInfo:
    return ObjectInfo(
        name=name,
        generation=status.st_mtime_ns,
        updated=datetime.fromtimestamp(status.st_mtime, timezone.utc),
        size=status.st_size,
    )


def _read_beacon(path: str) -> _Beacon | None:
    try:
        with patiently(lambda: open(path, "rb")) as file:
            data = file.read(_BEACON_LIMITS.size_bytes + 1)
        document = read_json_object(data, _BEACON_LIMITS)
    except (FileNotFoundError, NotADirectoryError, UnreadableJsonError):
        return None
    if set(document) != set(_Beacon._fields):
        return None
    beacon = _Beacon(**document)
    if type(beacon.generation) is not int or not isinstance(beacon.metadata, dict):
        return None
    is_text = all(isinstance(value, str) for value in beacon.metadata.values())
    return beacon if is_text else None
