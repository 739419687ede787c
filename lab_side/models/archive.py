"""The zip around a checkpoint or a TorchScript program, read in one way only.

PyTorch reads it by another library than Python does. What the two understand differently could
be checked in one meaning and loaded in the other: an archive behind another one, a second
directory of it, a name that is there twice or in capitals. So an archive is taken only where it
is what PyTorch itself writes (APPNOTE.TXT 4.3): one after another its files, without a gap, then
the one directory that names each of them once.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO

INFLATED_BYTES = 64 * 1024 * 1024
"""Of what is compressed in an archive: a program's code; tensors are stored as they are."""

MOST_FILES = 100_000
"""One for each tensor: the largest networks have some thousands."""

_LOCAL = struct.Struct("<4sHHHHHLLLHH")
_END = struct.Struct("<4sHHHHLLH")
_END_64 = struct.Struct("<4sQHHLLQQQQ")
_LOCATOR_64 = struct.Struct("<4sLQL")

_DESCRIPTOR_FOLLOWS = 0x08
_ENCRYPTED = 0x01
_DESCRIPTOR_SIZES = (12, 16, 20, 24)
"""CRC and two sizes of four or eight bytes, with or without a signature."""
_LATER = 0xFFFFFFFF
_LATER_16 = 0xFFFF


class UnsafeArchiveError(ValueError):
    """The archive is not as PyTorch writes it, or unpacks to far more than it is."""


@dataclass(frozen=True)
class ArchiveMember:
    """A file of an archive."""

    name: str
    """Without the folder that all are in, in small letters: PyTorch does not distinguish them."""
    info: zipfile.ZipInfo


def checked_members(data: bytes) -> list[ArchiveMember]:
    """The files of a zip, which is read in the same way by everybody.

    Raises
    ------
    UnsafeArchiveError
        It is not: see the module.
    zipfile.BadZipFile, NotImplementedError
        It is damaged.
    """
    directory, end = _directory_of(data)
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            infos = archive.infolist()
    except UnicodeDecodeError:
        raise zipfile.BadZipFile from None
    if not 0 < len(infos) <= MOST_FILES or len(infos) != directory.count:
        raise UnsafeArchiveError("the directory of the archive is not the only one")
    _check_layout(data, infos, directory.start)
    _check_sizes(infos)
    if directory.start + directory.size != end:
        raise UnsafeArchiveError("there is something between the directory and its end")
    return _named(infos)


def contents(data: bytes, members: Sequence[ArchiveMember]) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each of these files.

    Raises
    ------
    zipfile.BadZipFile, NotImplementedError, zlib.error, EOFError
        It is damaged.
    """
    with zipfile.ZipFile(BytesIO(data)) as archive:
        for member in members:
            yield member.name, archive.read(member.info)


@dataclass(frozen=True)
class _Directory:
    start: int
    size: int
    count: int


def _directory_of(data: bytes) -> tuple[_Directory, int]:
    """The central directory, and where what describes it begins."""
    at = len(data) - _END.size
    if at < 0 or not data.startswith(b"PK\x03\x04"):
        raise zipfile.BadZipFile
    mark, disk, first_disk, here, count, size, start, comment = _END.unpack_from(data, at)
    if mark != b"PK\x05\x06" or disk or first_disk or here != count or comment:
        raise UnsafeArchiveError("there is something behind the archive")
    plain = _Directory(start, size, count)
    locator = at - _LOCATOR_64.size
    if locator < 0 or data[locator : locator + 4] != b"PK\x06\x07":
        return plain, at
    _, _, record, _ = _LOCATOR_64.unpack_from(data, locator)
    if record != locator - _END_64.size:
        raise UnsafeArchiveError("the archive has two directories")
    mark, length, _, _, disk, first_disk, here, count, size, start = _END_64.unpack_from(
        data, record
    )
    large = _Directory(start, size, count)
    if mark != b"PK\x06\x06" or length != _END_64.size - 12 or disk or first_disk or here != count:
        raise UnsafeArchiveError("the archive has two directories")
    if not _agree(plain, large):
        raise UnsafeArchiveError("the archive has two directories")
    return large, record


def _agree(plain: _Directory, large: _Directory) -> bool:
    return (
        plain.start in (large.start, _LATER)
        and plain.size in (large.size, _LATER)
        and plain.count in (large.count, _LATER_16)
    )


def _check_layout(data: bytes, infos: Sequence[zipfile.ZipInfo], stop: int) -> None:
    """Each file begins where the one before it ends, under the same name and method."""
    ordered = sorted(infos, key=lambda info: info.header_offset)
    starts = [info.header_offset for info in ordered]
    if starts[0] != 0:
        raise UnsafeArchiveError("there is something before the archive")
    for info, following in zip(ordered, [*starts[1:], stop], strict=True):
        if _end_of_file(data, info) not in _possible_ends(info, following):
            raise UnsafeArchiveError("the files of the archive overlap or leave gaps")


def _possible_ends(info: zipfile.ZipInfo, following: int) -> Sequence[int]:
    if info.flag_bits & _DESCRIPTOR_FOLLOWS:
        return [following - size for size in (0, *_DESCRIPTOR_SIZES)]
    return [following]


def _end_of_file(data: bytes, info: zipfile.ZipInfo) -> int:
    if info.header_offset + _LOCAL.size > len(data):
        raise zipfile.BadZipFile
    mark, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack_from(
        data, info.header_offset
    )
    start = info.header_offset + _LOCAL.size
    name = data[start : start + name_length]
    if mark != b"PK\x03\x04" or flags & _ENCRYPTED or info.flag_bits & _ENCRYPTED:
        raise UnsafeArchiveError("a file of the archive has no header of its own, or a password")
    later = (0, _LATER)
    same = (
        method == info.compress_type
        and name in (info.orig_filename.encode(), info.orig_filename.encode("cp437", "replace"))
        and (packed == info.compress_size or packed in later)
        and (size == info.file_size or size in later)
        and crc in (info.CRC, 0)
    )
    if not same:
        raise UnsafeArchiveError("the directory says something else than the file itself")
    return int(start + name_length + extra_length + info.compress_size)


def _check_sizes(infos: Sequence[zipfile.ZipInfo]) -> None:
    """What is stored is as long as it says, and what is compressed is not much."""
    inflated = 0
    for info in infos:
        if info.compress_type == zipfile.ZIP_STORED:
            if info.compress_size != info.file_size:
                raise UnsafeArchiveError("a stored file has two sizes")
        elif info.compress_type == zipfile.ZIP_DEFLATED:
            inflated += info.file_size
        else:
            raise UnsafeArchiveError("a file is compressed in a way that PyTorch does not use")
    if inflated > INFLATED_BYTES:
        raise UnsafeArchiveError("the archive unpacks to far more than it is")


def _named(infos: Sequence[zipfile.ZipInfo]) -> list[ArchiveMember]:
    members, folders = [], set()
    for info in infos:
        folder, _, name = info.orig_filename.partition("/")
        parts = [folder, *name.split("/")]
        if not all(map(_is_plain, parts)):
            raise UnsafeArchiveError("a file of the archive has a name that leads elsewhere")
        folders.add(folder)
        members.append(ArchiveMember(name.lower(), info))
    if len(folders) != 1:
        raise UnsafeArchiveError("the archive has files in several folders")
    if len({member.name for member in members}) != len(members):
        raise UnsafeArchiveError("two files of the archive have one name")
    return members


def _is_plain(part: str) -> bool:
    return part not in ("", ".", "..") and part.isprintable() and not set(part) & set("\\:")
