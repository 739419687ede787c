"""The wanted elements of DICOM files, found without parsing what lies between them.

Scanners write hundreds of private elements beside an image, and the images of a series are
alike but for a few elements. So the file is walked by lengths alone, and a value that the first
file of the series has as well, byte for byte, is decoded once. Values are decoded by pydicom.

Only well-formed files of the uncompressed little-endian transfer syntaxes are read here;
everything else is left to pydicom, which knows what is odd and what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct
from struct import error as struct_error
from typing import NamedTuple, cast

from pydicom.dataelem import DataElement, RawDataElement, empty_value_for_VR
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from lab_side.imaging.read.character_set import CharacterSet, find_character_set
from lab_side.imaging.read.header_forms import CODED, is_text, settle_forms, texts_within

_PREFIX_END = 132
_TRANSFER_SYNTAX = 0x00020010
_CHARACTER_SET = 0x00080005
_PIXEL_DATA = 0x7FE00010
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF

_SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
"""Value representations with a length of 16 bits; the others have one of 32."""
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())

_SYNTAXES = {
    str(uid).encode(): uid.is_implicit_VR
    for uid in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
}

_explicit = Struct("<HH2sH").unpack_from
_implicit = Struct("<HHL").unpack_from
_length = Struct("<L").unpack_from


class _NotPlainError(Exception):
    """The file is one for pydicom."""


class _Place(NamedTuple):
    """Where a value lies in its file."""

    vr: bytes | None
    start: int
    length: int


class _Decoded(NamedTuple):
    """An element of the first file, with what it was decoded from."""

    vr: bytes | None
    value: bytes
    element: DataElement


class ElementReader:
    """Reads the files of one series.

    Parameters
    ----------
    keywords:
        Of the elements that are wanted; sequences among them are not shared between files.
    """

    def __init__(self, keywords: Iterable[str]) -> None:
        tags = [Tag(_CHARACTER_SET), *(Tag(keyword) for keyword in keywords)]
        self._wanted = {int(tag): tag for tag in tags}
        self._texts = tuple(number for number, tag in self._wanted.items() if is_text(tag))
        self._coded = tuple(number for number, tag in self._wanted.items() if tag in CODED)
        self._first: dict[int, _Decoded] = {}
        self._first_form: tuple[bytes, CharacterSet] | None = None

    def read(self, data: bytes) -> Dataset | None:
        """The wanted elements of a file's bytes, decoded; None if pydicom has to read it."""
        try:
            syntax, start = _transfer_syntax(data)
            places = _walk(data, start, self._wanted, is_implicit=_SYNTAXES[syntax])
        except (_NotPlainError, struct_error, RecursionError):
            return None
        return self._decode(data, places, syntax)

    def _decode(self, data: bytes, places: dict[int, _Place], syntax: bytes) -> Dataset:
        declared = places.get(_CHARACTER_SET)
        characters = find_character_set(
            b"" if declared is None else _value(data, declared),
            (
                *(_value(data, places[number]) for number in self._texts if number in places),
                *self._coded_texts(data, places, is_implicit=_SYNTAXES[syntax]),
            ),
        )
        form = (syntax, characters)
        is_first = self._first_form is None
        if is_first:
            self._first_form = form
        is_alike = form == self._first_form
        elements: dict[BaseTag, DataElement | RawDataElement] = {}
        for number, place in places.items():
            value, tag = _value(data, place), self._wanted[number]
            known = self._first.get(number) if is_alike else None
            if known is not None and (known.vr, known.value) == (place.vr, value):
                elements[tag] = known.element
            else:
                elements[tag] = _raw(tag, place, value, is_implicit=_SYNTAXES[syntax])
        dataset = _dataset(elements, syntax, characters)
        if is_first:
            self._keep(data, places, dataset)
        return dataset

    def _coded_texts(
        self, data: bytes, places: dict[int, _Place], *, is_implicit: bool
    ) -> Iterator[bytes]:
        for number in self._coded:
            if number in places:
                yield from texts_within(_value(data, places[number]), is_implicit)

    def _keep(self, data: bytes, places: dict[int, _Place], dataset: Dataset) -> None:
        for number, place in places.items():
            element = dataset.get(self._wanted[number])
            # How Pixel Data is decoded depends on other elements; items know their dataset.
            if element is not None and number != _PIXEL_DATA and element.VR != "SQ":
                self._first[number] = _Decoded(place.vr, _value(data, place), element)


def _value(data: bytes, place: _Place) -> bytes:
    return data[place.start : place.start + place.length]


def _raw(tag: BaseTag, place: _Place, value: bytes, *, is_implicit: bool) -> RawDataElement:
    vr = None if place.vr is None else place.vr.decode("ascii")
    content = value or cast("bytes | None", empty_value_for_VR(vr, raw=True))
    return RawDataElement(tag, vr, place.length, content, place.start, is_implicit, True)


def _dataset(
    elements: dict[BaseTag, DataElement | RawDataElement], syntax: bytes, characters: CharacterSet
) -> Dataset:
    dataset = Dataset(elements)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax.decode("ascii"))
    dataset.set_original_encoding(_SYNTAXES[syntax], True)
    # Those that the first file has as well were settled there.
    new = [tag for tag, element in elements.items() if isinstance(element, RawDataElement)]
    settle_forms(dataset, characters, new)
    return dataset


def _transfer_syntax(data: bytes) -> tuple[bytes, int]:
    """The transfer syntax, and where the dataset begins behind the File Meta Information."""
    if data[128:_PREFIX_END] != b"DICM":
        raise _NotPlainError
    at, syntax = _PREFIX_END, b""
    while data[at : at + 2] == b"\x02\x00":
        number, _, at, length = _explicit_head(data, at)
        if length == _UNDEFINED:
            raise _NotPlainError
        if number == _TRANSFER_SYNTAX:
            syntax = data[at : at + length].rstrip(b"\0 ")
        at += length
    if syntax not in _SYNTAXES or _is_explicit(data, at) is _SYNTAXES[syntax]:
        raise _NotPlainError
    return syntax, at


def _is_explicit(data: bytes, at: int) -> bool:
    vr = data[at + 4 : at + 6]
    return vr in _SHORT or vr in _LONG


def _walk(
    data: bytes, at: int, wanted: dict[int, BaseTag], *, is_implicit: bool
) -> dict[int, _Place]:
    """Where the wanted elements lie; the dataset goes from ``at`` to the end of the file."""
    head = _implicit_head if is_implicit else _explicit_head
    found: dict[int, _Place] = {}
    end = len(data)
    while at < end:
        number, vr, at, length = head(data, at)
        if length == _UNDEFINED:
            if number in wanted:
                raise _NotPlainError
            at = _behind_sequence(data, at, vr, is_implicit=is_implicit)
            continue
        if number in wanted:
            found[number] = _Place(vr, at, length)
        at += length
    if at > end:
        raise _NotPlainError
    return found


def _explicit_head(data: bytes, at: int) -> tuple[int, bytes | None, int, int]:
    """Tag, value representation, where the value begins, and its length."""
    group, element, vr, length = _explicit(data, at)
    if vr in _SHORT:
        return group << 16 | element, vr, at + 8, length
    if vr not in _LONG:
        raise _NotPlainError
    return group << 16 | element, vr, at + 12, _length(data, at + 8)[0]


def _implicit_head(data: bytes, at: int) -> tuple[int, bytes | None, int, int]:
    group, element, length = _implicit(data, at)
    return group << 16 | element, None, at + 8, length


def _behind_sequence(data: bytes, at: int, vr: bytes | None, *, is_implicit: bool) -> int:
    """Past the delimiter of a sequence of undefined length, whose first item is at ``at``."""
    if vr not in (None, b"SQ"):
        raise _NotPlainError
    head = _implicit_head if is_implicit else _explicit_head
    while True:
        number, _, at, length = _implicit_head(data, at)
        if number == _SEQUENCE_END:
            return at
        if number != _ITEM:
            raise _NotPlainError
        if length != _UNDEFINED:
            at += length
            continue
        while _implicit_head(data, at)[0] != _ITEM_END:
            _, inner, at, length = head(data, at)
            at = (
                _behind_sequence(data, at, inner, is_implicit=is_implicit)
                if length == _UNDEFINED
                else at + length
            )
        at += 8
