"""The agent's log on disk: written by the running agent, read by ``lab-agent logs``.

::

    <agent>.log, <agent>.log.1, <agent>.log.2, …    the newest first; JSON lines, of bounded size

A disk that refuses a line costs that line and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from datetime import datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from lab_side.log import JsonFormatter, log_event
from lab_side.settings.config import LocalConfig
from segrelay.system.durable import describe

MEGABYTE = 10**6

logger = logging.getLogger("segrelay.log")


class LogFile(RotatingFileHandler):
    """Appends to the newest file, and begins another one when that is full."""

    def doRollover(self) -> None:  # noqa: N802 (the base class's name)
        """Rotate; where the system refuses (Windows, while it is read), go on as before."""
        try:
            super().doRollover()
        except OSError:
            if self.stream is None:
                self.stream = self._open()


def keep_log(config: LocalConfig) -> None:
    """From now on, also write every line into the files; without, where the disk refuses."""
    try:
        config.log_path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log_event(logger, logging.WARNING, "log file not kept", why=describe(error))
        return
    handler = LogFile(
        config.log_path,
        maxBytes=round(config.log_megabytes * MEGABYTE),
        backupCount=config.log_files - 1,
        encoding="utf-8",
        # Opened with the first line: a disk that refuses it then costs that line alone.
        delay=True,
    )
    handler.setFormatter(JsonFormatter())
    logging.getLogger().addHandler(handler)


class LogReader:
    """Reads the files from the oldest line on, and then what is added; they are never kept open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._file: int | None = None
        """Which file the offset belongs to: its number on the disk."""

    def read(self) -> Iterator[dict[str, Any]]:
        """The lines since the last call; those that are torn or no JSON objects are left out."""
        files = _files(self._path)
        numbers = [number for _, number in files]
        begin = numbers.index(self._file) if self._file in numbers else 0
        for path, number in files[begin:]:
            data = self._rest_of(path, number)
            if data is None:
                # Rotated in this moment: the next call sees which is which.
                return
            yield from _parse(data)

    def _rest_of(self, path: Path, number: int) -> bytes | None:
        """The whole lines of a file that were not read yet; None where it is another file now."""
        try:
            with path.open("rb") as file:
                found = os.fstat(file.fileno())
                if found.st_ino != number:
                    return None
                is_known = number == self._file and self._offset <= found.st_size
                begin = self._offset if is_known else 0
                file.seek(begin)
                data = file.read()
        except OSError:
            return None
        # A line that is just being written is read next time.
        data = data[: data.rfind(b"\n") + 1]
        self._file, self._offset = number, begin + len(data)
        return data


def time_of(line: dict[str, Any]) -> datetime | None:
    """Return when a line was written; None where it does not say."""
    with contextlib.suppress(KeyError, TypeError, ValueError):
        moment = datetime.fromisoformat(line["time"])
        return moment if moment.tzinfo else None
    return None


def _files(path: Path) -> list[tuple[Path, int]]:
    """The files that are there with their numbers on the disk, oldest first."""
    older = [found for found in path.parent.glob(f"{path.name}.*") if found.suffix[1:].isdigit()]
    older.sort(key=lambda found: int(found.suffix[1:]), reverse=True)
    files = []
    for found in (*older, path):
        with contextlib.suppress(OSError):
            files.append((found, found.stat().st_ino))
    return files


def _parse(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.split(b"\n"):
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(line)
            if isinstance(found, dict):
                yield found
