"""Files for one account alone: a program that holds patients' images says so once, at its start.

Every file and folder that it and its children make from then on is closed to others, whatever the
umask it was started with. What is shared by design, a queue in a directory, is given the rights
that it would have had without. On Windows the rights of a folder are those of its parent, and
nothing here changes them.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

PRIVATE_UMASK = 0o077

_OTHERS = 0o077
_SHARED_FILE, _SHARED_FOLDER = 0o666, 0o777

_inherited: int | None = None
"""The umask that the process was started with, while its files are private."""


@contextlib.contextmanager
def private_files() -> Iterator[None]:
    """Within the block, what this process makes is for its account alone (0600, 0700)."""
    global _inherited
    before, was = os.umask(PRIVATE_UMASK), _inherited
    _inherited = before if was is None else was
    try:
        yield
    finally:
        _inherited = was
        os.umask(before)


def share(path: str | Path | int) -> None:
    """Give a file or folder that was just made the rights that the umask at the start allows.

    Rights are only added: those of the parent folder's default access control list stay. ``path``
    may be an open file.

    Raises
    ------
    OSError
        The system refuses.
    """
    if os.name != "posix" or _inherited is None:
        return
    mode = stat.S_IMODE(os.stat(path).st_mode)
    is_folder = stat.S_ISDIR(os.stat(path).st_mode)
    wanted = (_SHARED_FOLDER if is_folder else _SHARED_FILE) & ~_inherited
    if mode & wanted != wanted:
        os.chmod(path, mode | wanted)


def close_to_others(path: Path, *, but: Path | None = None) -> None:
    """Take the rights of others from a file, or from a folder and all that is in it.

    Links are not followed, and what belongs to another account, is gone meanwhile or is refused
    is left as it is, as is the folder ``but``. A path where nothing is is no error.
    """
    if os.name != "posix" or path == but:
        return
    _close(path)
    for base, folders, files in os.walk(path):
        folders[:] = [name for name in folders if Path(base) / name != but]
        for name in (*folders, *files):
            _close(Path(base) / name)


def _close(path: Path) -> None:
    with contextlib.suppress(OSError):
        found = path.lstat()
        is_plain = stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)
        if is_plain and found.st_uid == os.geteuid() and found.st_mode & _OTHERS:
            # Opened without following a link that may have come in its place meanwhile.
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                os.fchmod(handle, stat.S_IMODE(found.st_mode) & ~_OTHERS)
            finally:
                os.close(handle)
