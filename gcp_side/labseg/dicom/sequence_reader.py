"""Sequences of a DICOM file, read for a few of their attributes.

A SEG has a group of nested sequences for each frame. Turning all of them into data sets takes
pydicom most of a second in a large SEG; here only what is wanted is looked at, in the bytes as
they lie in the file (PS3.5 7.1, 7.5). Where a sequence has no defined length, or
the bytes are big-endian, pydicom reads it: with the same answer, only later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from segrelay.dicom.elements import NotPlainError, find_elements, items

Wanted = Mapping[str, Any]
"""Keywords, each with what is wanted of the items of its sequence, or with a reader of bytes."""

Item = dict[str, Any]
"""By keyword; what is absent or empty has no key. Sequences are lists of items."""

Reader = Callable[[bytes], Any]


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
            value = element.value
            is_implicit = element.is_implicit_VR
            return _items(value, 0, len(value), _by_tag(wanted), is_implicit)
        except NotPlainError:
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


def _items(
    data: bytes, start: int, end: int, wanted: Mapping[int, Any], is_implicit: bool
) -> list[Item]:
    """Read all items between two places of a sequence's bytes."""
    found = []
    for begin, stop in items(data, start, end):
        item: Item = {}
        # An attribute is there but once: behind the last wanted one, nothing more is to be found.
        for tag, _, first, length in find_elements(data, begin, stop, wanted, is_implicit):
            if length:
                keyword, what = wanted[tag]
                if isinstance(what, dict):
                    item[keyword] = _items(data, first, first + length, what, is_implicit)
                else:
                    item[keyword] = what(data[first : first + length])
        found.append(item)
    return found


def _by_tag(wanted: Wanted) -> dict[int, Any]:
    """By tag: the keyword and what is wanted of it."""
    return {
        int(tag_for_keyword(keyword) or 0): (
            keyword,
            _by_tag(what) if isinstance(what, Mapping) else what,
        )
        for keyword, what in wanted.items()
    }
