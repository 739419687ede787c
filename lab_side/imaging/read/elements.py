"""The wanted elements of DICOM files, found without parsing what lies between them.

Scanners write hundreds of private elements beside an image, and the images of a series are
alike but for a few elements. So the file is walked by lengths alone, and a value that the first
file of the series has as well, byte for byte, is decoded once. Values are decoded by pydicom.

Only well-formed files of the uncompressed little-endian transfer syntaxes are read here;
everything else is left to pydicom, which knows what is odd and what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, cast

from pydicom.dataelem import DataElement, RawDataElement, empty_value_for_VR
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from lab_side.imaging.read.character_set import CharacterSet, find_character_set
from lab_side.imaging.read.header_forms import CODED, is_text, settle_forms, texts_within
from segrelay.dicom.elements import (
    DATASET_START,
    CutOffError,
    NotPlainError,
    file_meta,
    find_elements,
    has_preamble,
    is_explicit,
)

_TRANSFER_SYNTAX = 0x00020010
_CHARACTER_SET = 0x00080005
_PIXEL_DATA = 0x7FE00010

_SYNTAXES = {
    str(uid).encode(): uid.is_implicit_VR
    for uid in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
}


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
            is_implicit = _SYNTAXES[syntax]
            found = find_elements(data, start, len(data), self._wanted, is_implicit, is_whole=True)
        except (NotPlainError, CutOffError):
            return None
        places = {tag: _Place(vr, at, length) for tag, vr, at, length in found}
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
        by_tag: dict[BaseTag, DataElement | RawDataElement] = {}
        for number, place in places.items():
            value, tag = _value(data, place), self._wanted[number]
            known = self._first.get(number) if is_alike else None
            if known is not None and (known.vr, known.value) == (place.vr, value):
                by_tag[tag] = known.element
            else:
                by_tag[tag] = _raw(tag, place, value, is_implicit=_SYNTAXES[syntax])
        dataset = _dataset(by_tag, syntax, characters)
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
    by_tag: dict[BaseTag, DataElement | RawDataElement], syntax: bytes, characters: CharacterSet
) -> Dataset:
    dataset = Dataset(by_tag)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax.decode("ascii"))
    dataset.set_original_encoding(_SYNTAXES[syntax], True)
    # Those that the first file has as well were settled there.
    new = [tag for tag, element in by_tag.items() if isinstance(element, RawDataElement)]
    settle_forms(dataset, characters, new)
    return dataset


def _transfer_syntax(data: bytes) -> tuple[bytes, int]:
    """The transfer syntax, and where the dataset begins behind the File Meta Information."""
    if not has_preamble(data):
        raise NotPlainError
    at, syntax = DATASET_START, b""
    for tag, _, start, length in file_meta(data):
        at = start + length
        if tag == _TRANSFER_SYNTAX:
            syntax = data[start:at].rstrip(b"\0 ")
    if syntax not in _SYNTAXES or is_explicit(data, at) is _SYNTAXES[syntax]:
        raise NotPlainError
    return syntax, at
