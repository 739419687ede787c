"""What a contender downloads or uploads, and what it reports; all plain JSON values.

This module is also imported where only the peers are installed: standard library only.
"""

from __future__ import annotations

from typing import NamedTuple, TypedDict


class Server(TypedDict):
    """An Orthanc, perhaps at the far end of a line."""

    url: str
    user: str
    password: str


class DownloadTask(TypedDict):
    """The series to download."""

    server: Server
    series_ids: list[str]
    """Orthanc's."""
    study_uid: str
    series_uids: list[str]
    folder: str
    """A new one for those who write files."""


class UploadTask(TypedDict):
    """The file to upload."""

    server: Server
    path: str


class Found(NamedTuple):
    """One instance that was brought."""

    size: int | None
    """Bytes of the file; None where the contender hands over no file."""
    pixels: str
    """SHA-256 of the pixel data."""


class Run(NamedTuple):
    """One download or upload, timed."""

    seconds: float
    cpu_s: float
    """Processor time of the contender's process, all its threads."""
