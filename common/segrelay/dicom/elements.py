"""Where the elements of a DICOM file lie, found by lengths alone (PS3.5 7.1, 7.5; PS3.10 7.1).

The one walk over bytes for both sides: the download looks for a UID in a file's head, the worker
for the wanted elements of an image, the site for those of a SEG's nested sequences. Values are
left as bytes. What is well-formed and little-endian is walked; a :class:`NotPlainError` leaves the
rest to pydicom, which knows what is odd and what is wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from struct import Struct
from struct import error as struct_error

ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF
"""The length of what ends with a mark."""

DATASET_START = 132
"""Behind the preamble and its ``DICM`` begins the File Meta Information."""

_META_GROUP = b"\x02\x00"

_SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
"""Value representations with a length of 16 bits; the others have one of 32 (PS3.5 7.1.2)."""
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())

_explicit = Struct("<HH2sH").unpack_from
_implicit = Struct("<HHL").unpack_from
_length = Struct("<L").unpack_from

Element = tuple[int, bytes | None, int, int]
"""Tag, value representation (None where it is implicit), start and length of the value."""


_CUT_OFF, _TOO_LONG = "a sequence is cut off", "a value is longer than what holds it"


class NotPlainError(Exception):
    """Raised for bytes that are left to pydicom."""


class CutOffError(ValueError):
    """An element is longer than what holds it."""


def has_preamble(data: bytes) -> bool:
    """Whether a file that begins so is a DICOM file in the form of PS3.10 section 7.1."""
    return data[128:DATASET_START] == b"DICM"


def is_explicit(data: bytes, at: int) -> bool:
    """Whether the element that begins there gives its value representation."""
    vr = data[at + 4 : at + 6]
    return vr in _SHORT or vr in _LONG


def file_meta(data: bytes) -> Iterator[Element]:
    """The elements of the File Meta Information, which is always Explicit VR Little Endian.

    Raises
    ------
    NotPlainError, CutOffError
        As soon as an element is reached that is odd, or not there as a whole.
    """
    at = DATASET_START
    while data[at : at + 2] == _META_GROUP:
        try:
            element = _explicit_head(data, at)
        except struct_error:
            raise CutOffError(_CUT_OFF) from None
        at = element[2] + element[3]
        if at > len(data):
            raise CutOffError(_TOO_LONG)
        yield element


def find_elements(
    data: bytes,
    start: int,
    end: int,
    wanted: Collection[int],
    is_implicit: bool,
    *,
    is_whole: bool = False,
) -> list[Element]:
    """The wanted elements between two places; those within sequences are passed over.

    A list from one loop: a generator costs a third more for items of a few elements.

    Parameters
    ----------
    wanted:
        Tags.
    is_whole:
        Whether all is walked, and checked so; else only until each wanted tag was met.

    Raises
    ------
    NotPlainError, CutOffError
        An element is odd, or not there as a whole; a wanted one has no defined length.
    """
    head = _implicit_head if is_implicit else _explicit_head
    found: list[Element] = []
    most = -1 if is_whole else len(wanted)
    at = start
    try:
        while at < end:
            tag, vr, at, length = head(data, at)
            if length == UNDEFINED:
                if tag in wanted:
                    raise NotPlainError
                at = _behind_sequence(data, at, vr, is_implicit=is_implicit)
                continue
            at += length
            if at > end:
                raise CutOffError(_TOO_LONG)
            if tag in wanted:
                found.append((tag, vr, at - length, length))
                if len(found) == most:
                    return found
    except struct_error:
        raise CutOffError(_CUT_OFF) from None
    except RecursionError:
        raise NotPlainError from None
    if at > end:
        raise CutOffError(_TOO_LONG)
    return found


def items(data: bytes, start: int, end: int) -> list[tuple[int, int]]:
    """Start and end of each item of a sequence's value.

    Raises
    ------
    NotPlainError
        An item ends with a mark.
    CutOffError, ValueError
        An item is not there as a whole, or something else is in its place.
    """
    found = []
    at = start
    while at < end:
        if at + 8 > end:
            raise CutOffError(_CUT_OFF)
        group, element, length = _implicit(data, at)
        if group << 16 | element != ITEM:
            raise ValueError("something else than an item in a sequence")
        if length == UNDEFINED:
            raise NotPlainError
        first = at + 8
        at = first + length
        if at > end:
            raise CutOffError(_TOO_LONG)
        found.append((first, at))
    return found


def _explicit_head(data: bytes, at: int) -> Element:
    group, element, vr, length = _explicit(data, at)
    if vr in _SHORT:
        return group << 16 | element, vr, at + 8, length
    if vr not in _LONG:
        raise NotPlainError
    return group << 16 | element, vr, at + 12, _length(data, at + 8)[0]


def _implicit_head(data: bytes, at: int) -> Element:
    group, element, length = _implicit(data, at)
    return group << 16 | element, None, at + 8, length


def _behind_sequence(data: bytes, at: int, vr: bytes | None, *, is_implicit: bool) -> int:
    """Past the mark that ends a sequence of undefined length, whose first item is at ``at``."""
    if vr not in (None, b"SQ"):
        raise NotPlainError
    head = _implicit_head if is_implicit else _explicit_head
    while True:
        tag, _, at, length = _implicit_head(data, at)
        if tag == _SEQUENCE_END:
            return at
        if tag != ITEM:
            raise NotPlainError
        if length != UNDEFINED:
            at += length
            continue
        while _implicit_head(data, at)[0] != _ITEM_END:
            _, inner, at, length = head(data, at)
            at = (
                _behind_sequence(data, at, inner, is_implicit=is_implicit)
                if length == UNDEFINED
                else at + length
            )
        at += 8
