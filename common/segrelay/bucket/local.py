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
import errno
import json
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, NamedTuple

from segrelay import names
from segrelay.bucket import ObjectInfo
from segrelay.bucket.address import directory_address
from segrelay.bucket.folder_lock import locked
from segrelay.errors import (
    FixConfigurationError,
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectRefusedError,
    PreconditionFailedError,
    StoreUnavailableError,
)
from segrelay.parsing.json_reader import JsonLimits, UnreadableJsonError, read_json_object
from segrelay.system.durable import describe, is_full, sync_folder
from segrelay.system.private_files import share
from segrelay.system.sharing_violation import retry_sharing_violation
from segrelay.system.system_limits import raise_if_limit, reached_limit

STALE_TEMPORARY = 3600.0
"""Seconds after which a half-written file of a killed process is swept."""

_FILE = ".json"
"""How the names of all documents end."""

_TEMPORARY = ".tmp"
_LOCK = ".lock"
_NO_NAMES = {"", ".", "..", _TEMPORARY, _LOCK}
_BEACON_LIMITS = JsonLimits(size_bytes=64 * 1024, depth=2, values=100, text_characters=64 * 1024)
"""Of a heartbeat in its file: one text of at most 8 KiB, its quotation marks escaped."""

_OF_ONE_OBJECT = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EISDIR,
        errno.ENOTDIR,
        errno.ENOTEMPTY,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EILSEQ,
        errno.EINVAL,
        errno.EBUSY,
        errno.ETXTBSY,
        errno.ENXIO,
        errno.EXDEV,
    }
)
"""What the system says of one name, and not of the disk or the server behind it."""

_NO_RIGHTS = (errno.EACCES, errno.EPERM)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 24 * 3600
_TIMES = (-62135596800 + _DAY, 253402300799 - _DAY)
"""Seconds since 1970 that a datetime can hold in every time zone; files of NTFS can have others."""


class LocalBucket:
    """The bucket protocol over ``root``; creates the directory when missing."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._base = str(self._root)
        self._temporary = os.path.join(self._base, _TEMPORARY)
        try:
            _make_folder(self._temporary)
        except OSError as error:
            if is_full(error):
                raise _disk_full() from error
            raise_if_limit(error)
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
        return directory_address(self._root)

    def list(self, prefix: str) -> list[ObjectInfo]:
        """Walk the directory; an object may move while this runs."""
        start, slash, _ = prefix.rpartition("/")
        # By name: while files are renamed, the system may show one of them twice.
        found: dict[str, ObjectInfo] = {}
        with _StoreErrors(prefix):
            for name, path, problem in _walk(os.path.join(self._base, start), start + slash):
                if not name.startswith(prefix):
                    continue
                info = _unusable(name, problem) if problem else _listed(name, path)
                if info is not None:
                    found[name] = info
        return [found[name] for name in sorted(found)]

    def stat(self, name: str) -> ObjectInfo:
        """See the protocol."""
        path = self._path(name)
        with _StoreErrors(name):
            info = _info_or_none(name, path)
            if info is None and _is_folder_for_file(name, path):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if info is None:
            raise ObjectNotFoundError(f"There is no object {name}.")
        return info

    def read(self, name: str, *, limit: int) -> bytes:
        """See the protocol."""
        path = self._path(name)
        with _StoreErrors(name):
            try:
                with retry_sharing_violation(lambda: _open(path)) as file:
                    return file.read(limit + 1)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                if _is_folder_for_file(name, path):
                    raise
                raise ObjectNotFoundError(f"There is no object {name}.") from None

    def create(self, name: str, data: bytes) -> ObjectInfo:
        """See the protocol."""
        path = self._path(name)
        with _StoreErrors(name), self._aside(data) as aside, self._locked():
            if _exists(path):
                raise ObjectExistsError(f"The object {name} exists already.")
            _rename(aside, path)
            # The folder it comes from needs no flush: what is left there is swept.
            sync_folder(os.path.dirname(path))
            return _info(name, path)

    def replace(self, name: str, data: bytes) -> ObjectInfo:
        """See the protocol."""
        path = self._path(name)
        with _StoreErrors(name), self._aside(data) as aside, self._locked():
            self._replace(aside, path)
            return _info(name, path)

    def move(self, source: str, destination: str, *, generation: int) -> ObjectInfo:
        """See the protocol: one ``rename``, which keeps the bytes and the times; not flushed.

        A move that a power failure undoes was never made, and is made again; the heartbeat
        that precedes work is flushed, and the claim before it with it.
        """
        old, new = self._path(source), self._path(destination)
        with _StoreErrors(source), self._locked():
            info = self._require(old, source, generation)
            if _exists(new):
                raise ObjectExistsError(f"The object {destination} exists already.")
            _rename(old, new)
        return replace(info, name=destination)

    def delete(self, name: str, *, generation: int) -> None:
        """See the protocol."""
        path = self._path(name)
        with _StoreErrors(name), self._locked():
            self._require(path, name, generation)
            retry_sharing_violation(lambda: os.unlink(path))
            sync_folder(os.path.dirname(path))

    def read_heartbeat(self, name: str) -> ObjectInfo:
        """See the protocol. Only this reads one: what others wrote can never pose as one."""
        path = self._path(name)
        with _StoreErrors(name):
            info = _info_or_none(name, path)
            heartbeat = _read_heartbeat(path)
        if info is None or heartbeat is None:
            raise ObjectNotFoundError(f"There is no heartbeat object {name}.")
        return heartbeat.describe(info)

    def take_over(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        """See the protocol; it is a small JSON file with its own generation inside."""
        path = self._path(name)
        fresh = secrets.randbits(62) | 1
        with _StoreErrors(name), self._locked():
            current = self._heartbeat_generation(path)
            if current != generation:
                raise PreconditionFailedError(f"The heartbeat object {name} is another generation.")
            return self._write_heartbeat(name, path, _Heartbeat(fresh, dict(metadata)))

    def refresh(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        """See the protocol."""
        path = self._path(name)
        with _StoreErrors(name), self._locked():
            current = self._heartbeat_generation(path)
            if current == 0:
                raise ObjectNotFoundError(f"There is no heartbeat object {name}.")
            if current != generation:
                raise PreconditionFailedError(f"The heartbeat object {name} is another generation.")
            return self._write_heartbeat(name, path, _Heartbeat(generation, dict(metadata)))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(self._lock))
            except OSError as error:
                # The lock is everybody's: no single object is to blame.
                raise _no_answer(error) from error
            yield

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

    def _heartbeat_generation(self, path: str) -> int:
        heartbeat = _read_heartbeat(path)
        return 0 if heartbeat is None else heartbeat.generation

    def _write_heartbeat(self, name: str, path: str, heartbeat: _Heartbeat) -> ObjectInfo:
        with self._aside(json.dumps(heartbeat._asdict()).encode()) as aside:
            self._replace(aside, path)
        return heartbeat.describe(_info(name, path))

    @contextlib.contextmanager
    def _aside(self, data: bytes) -> Iterator[str]:
        """A fsynced temporary file, to be renamed."""
        path = os.path.join(self._temporary, f"{os.getpid()}-{secrets.token_hex(8)}")
        try:
            try:
                with open(path, "xb") as file:
                    share(file.fileno())
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise _no_answer(error) from error
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
            # Whatever else lies there does no harm.
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < limit:
                    path.unlink()


class _StoreErrors:
    """Says in the protocol's words what the system refused; around every call, so no generator."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if not isinstance(error, OSError):
            return
        if error.errno in _OF_ONE_OBJECT:
            raise ObjectRefusedError(
                f"The queue directory refuses {names.as_shown(self._name)} ({describe(error)})."
            ) from error
        raise _no_answer(error) from error


def _no_answer(error: OSError) -> StoreUnavailableError:
    if is_full(error):
        return _disk_full()
    limit = reached_limit(error)
    if limit is not None:
        return StoreUnavailableError(limit.message, code="limit-reached", remedy=limit.remedy)
    if error.errno == errno.EROFS:
        return StoreUnavailableError(
            "The queue directory is on a file system that is mounted read-only.",
            remedy="Mount it so that it can be written to; it is retried automatically.",
        )
    if error.errno in _NO_RIGHTS:
        return StoreUnavailableError(
            f"The queue directory refuses this account ({describe(error)}).",
            remedy="Let the accounts of the site and of every agent write to the directory and "
            "all that is in it: one group for all, chgrp -R, chmod -R g+rwX, and umask 002.",
        )
    return StoreUnavailableError(f"The queue directory did not answer ({describe(error)}).")


def _disk_full() -> StoreUnavailableError:
    return StoreUnavailableError(
        "The disk of the queue directory is full.",
        code="store-full",
        remedy="Free space on the disk of the queue directory; it is retried automatically.",
    )


class _Heartbeat(NamedTuple):
    """A heartbeat object on disk; only ever read where the queue keeps them."""

    generation: int
    metadata: dict[str, str]

    def describe(self, info: ObjectInfo) -> ObjectInfo:
        return replace(info, generation=self.generation, size=0, metadata=self.metadata)


def _walk(folder: str, prefix: str) -> Iterator[tuple[str, str, str]]:
    """Name, path and problem of every entry below ``folder``, whose objects begin with ``prefix``.

    A folder is an entry only where it has a problem.
    """
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        if error.errno not in _OF_ONE_OBJECT or not prefix:
            raise
        yield prefix, folder, f"the folder cannot be read: {describe(error)}"
        return
    with entries:
        for entry in entries:
            if not prefix and entry.name in (_TEMPORARY, _LOCK):
                continue
            name = prefix + entry.name
            if not entry.is_dir(follow_symlinks=False):
                yield name, entry.path, ""
                continue
            if entry.name.endswith(_FILE):
                yield name, entry.path, "a folder is where a file belongs"
            yield from _walk(entry.path, f"{name}/")


def _listed(name: str, path: str) -> ObjectInfo | None:
    """One entry of a listing; None where it has moved meanwhile."""
    try:
        info = _info_or_none(name, path)
        if info is not None or not os.path.lexists(path):
            return info
        return _unusable(name, "it is not a file, or a link to nothing")
    except OSError as error:
        if error.errno not in _OF_ONE_OBJECT:
            raise
        return _unusable(name, describe(error))


def _unusable(name: str, problem: str) -> ObjectInfo:
    return ObjectInfo(name=name, generation=0, updated=_EPOCH, size=0, problem=problem)


def _is_folder_for_file(name: str, path: str) -> bool:
    return name.endswith(_FILE) and os.path.isdir(path)


def _open(path: str) -> BinaryIO:
    # A pipe without a writer would not answer: what is no file is refused below.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise IsADirectoryError(errno.EISDIR, "not a file")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _rename(old: str, new: str, rename: Callable[[str, str], None] = os.rename) -> None:
    """Rename a file into a folder, which is made where it is missing."""
    try:
        retry_sharing_violation(lambda: rename(old, new))
    except FileNotFoundError:
        _make_folder(os.path.dirname(new))
        retry_sharing_violation(lambda: rename(old, new))


def _make_folder(folder: str) -> None:
    """Make a folder that lasts: a file that is flushed into it would else be lost with it."""
    if os.path.isdir(folder):
        return
    parent = os.path.dirname(folder)
    _make_folder(parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder)
        share(folder)
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
        updated=_time_of(status.st_mtime),
        size=status.st_size,
        # The inode's change (POSIX); Windows has the file's creation there.
        renamed=_time_of(status.st_ctime) if os.name == "posix" else None,
    )


def _time_of(seconds: float) -> datetime:
    """A file's time, the nearest that can be said where it lies outside of the calendar."""
    first, last = _TIMES
    return _EPOCH + timedelta(seconds=min(max(seconds, first), last))


def _read_heartbeat(path: str) -> _Heartbeat | None:
    try:
        with retry_sharing_violation(lambda: _open(path)) as file:
            data = file.read(_BEACON_LIMITS.size_bytes + 1)
        document = read_json_object(data, _BEACON_LIMITS)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, UnreadableJsonError):
        return None
    if set(document) != set(_Heartbeat._fields):
        return None
    heartbeat = _Heartbeat(**document)
    if type(heartbeat.generation) is not int or not isinstance(heartbeat.metadata, dict):
        return None
    is_text = all(isinstance(value, str) for value in heartbeat.metadata.values())
    return heartbeat if is_text else None
