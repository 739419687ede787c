"""Sequences of a DICOM file, read for a few of their attributes.

A SEG has a group of nested sequences for each frame. Turning all of them into data sets takes
pydicom most of a second in a large SEG; here only what is wanted is looked at, in the bytes as
they lie in the file (PS3.5 7.1, 7.5). Where a sequence does not tell its length beforehand, or
the bytes are big-endian, pydicom reads it: with the same answer, only later.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

Wanted = Mapping[str, Any]
"""Keywords, each with what is wanted of the items of its sequence, or with a reader of bytes."""

Item = dict[str, Any]
"""By keyword; what is absent or empty has no key. Sequences are lists of items."""

Reader = Callable[[bytes], Any]

_ITEM_TAG = 0xFFFEE000
_UNDEFINED = 0xFFFFFFFF
_LONG_VR = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
"""With two bytes kept free and a length of four (PS3.5 7.1.2)."""

_HEAD = struct.Struct("<HH2sH")
_HEAD_IMPLICIT = struct.Struct("<HHL")
_LENGTH = struct.Struct("<L")


class _NoLengthError(Exception):
    """A sequence or an item ends with a mark, not after a length."""


def unsigned_short(value: bytes) -> int:
    """US: the first number."""
    return int.from_bytes(value[:2], "little")


def decimals(value: bytes) -> tuple[float, ...]:
    """DS: all numbers."""
    return tuple(float(part) for part in value.decode("ascii").strip("\0 ").split("\\"))


def integers(value: bytes) -> tuple[int, ...]:
    """IS: all numbers."""
    return tuple(int(part) for part in value.decode("ascii").strip("\0 ").split("\\"))


def identifier(value: bytes) -> str:
    """UI: one UID."""
    return value.decode("ascii").rstrip("\0 ")


_OF_VALUES: dict[Reader, Callable[[Any], Any]] = {
    unsigned_short: int,
    decimals: lambda value: tuple(float(part) for part in value),
    integers: lambda value: tuple(
        int(part) for part in (value if isinstance(value, MultiValue) else [value])
    ),
    identifier: str,
}
"""What makes the same of a value that pydicom has read."""


def items_of(dataset: Dataset, keyword: str, wanted: Wanted) -> list[Item]:
    """The items of a sequence of ``dataset``; none where it is absent or empty.

    Raises
    ------
    ValueError
        The bytes are not what they should be.
    """
    if keyword not in dataset:
        return []
    element = dataset.get_item(keyword)
    if isinstance(element, RawDataElement) and element.is_little_endian and element.value:
        try:
            return _Walk(element.value, implicit=element.is_implicit_VR).items(wanted)
        except _NoLengthError:
            pass
    return [_picked(item, wanted) for item in dataset.get(keyword) or ()]


def _picked(dataset: Dataset, wanted: Wanted) -> Item:
    """The same from what pydicom has read."""
    found: Item = {}
    for keyword, what in wanted.items():
        value = dataset.get(keyword)
        if value is None or (isinstance(value, Sized) and not len(value)):
            continue
        if isinstance(what, Mapping):
            found[keyword] = [_picked(item, what) for item in value]
        else:
            found[keyword] = _OF_VALUES[what](value)
    return found


class _Walk:
    """Over the bytes of one sequence, without copying what is passed over."""

    def __init__(self, data: bytes, *, implicit: bool) -> None:
        self._data = data
        self._elements = self._implicit if implicit else self._explicit

    def items(self, wanted: Wanted) -> list[Item]:
        """All items."""
        return self._items(0, len(self._data), _by_tag(wanted))

    def _items(self, start: int, stop: int, wanted: Mapping[int, Any]) -> list[Item]:
        found = []
        while start < stop:
            group, element, length = self._unpack(_HEAD_IMPLICIT, start, stop)
            if group << 16 | element != _ITEM_TAG:
                raise ValueError("something else than an item in a sequence")
            start += _HEAD_IMPLICIT.size
            end = _end(start, length, stop)
            found.append(self._item(start, end, wanted))
            start = end
        return found

    def _item(self, start: int, stop: int, wanted: Mapping[int, Any]) -> Item:
        found: Item = {}
        for tag, first, end in self._elements(start, stop):
            if tag in wanted and first < end:
                keyword, what = wanted[tag]
                if isinstance(what, dict):
                    found[keyword] = self._items(first, end, what)
                else:
                    found[keyword] = what(self._data[first:end])
                if len(found) == len(wanted):
                    # An attribute is there but once: nothing more is to be found.
                    break
        return found

    def _explicit(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Tag, start and end of each value."""
        while start < stop:
            group, element, vr, length = self._unpack(_HEAD, start, stop)
            start += 8
            if vr in _LONG_VR:
                (length,) = self._unpack(_LENGTH, start, stop)
                start += 4
            end = _end(start, length, stop)
            yield group << 16 | element, start, end
            start = end

    def _implicit(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Tag, start and end of each value."""
        while start < stop:
            group, element, length = self._unpack(_HEAD_IMPLICIT, start, stop)
            start += 8
            end = _end(start, length, stop)
            yield group << 16 | element, start, end
            start = end

    def _unpack(self, form: struct.Struct, start: int, stop: int) -> Sequence[Any]:
        if start + form.size > stop:
            raise ValueError("a sequence is cut off")
        return form.unpack_from(self._data, start)


def _end(start: int, length: int, stop: int) -> int:
    if length == _UNDEFINED:
        raise _NoLengthError
    if start + length > stop:
        raise ValueError("a value is longer than what holds it")
    return start + length


def _by_tag(wanted: Wanted) -> dict[int, Any]:
    """By tag: the keyword and what is wanted of it."""
    return {
        int(tag_for_keyword(keyword) or 0): (
            keyword,
            _by_tag(what) if isinstance(what, Mapping) else what,
        )
        for keyword, what in wanted.items()
    }
