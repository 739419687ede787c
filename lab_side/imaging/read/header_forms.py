"""The elements of a header in the form that PS3.5 gives them, before pydicom decodes them.

A header comes with values of any form: numbers that are none, text of another character set than
the declared one, a value representation that does not belong to the attribute. What can be read
is put right here; a number that cannot becomes a :class:`segrelay.dicom.values.WrongForm`, which is
refused where the number is needed and left out where it is not.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from functools import lru_cache

from pydicom.charset import default_encoding
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR, DEFAULT_CHARSET_VR

from lab_side.imaging.read.character_set import CharacterSet, find_character_set, plain_korean
from segrelay.dicom.values import settle_number, wrong_value

_CHARACTER_SET = Tag("SpecificCharacterSet")
CODED = frozenset(
    Tag(keyword)
    for keyword in (
        "DeidentificationMethodCodeSequence",
        "ContrastBolusAgentSequence",
        "AnatomicRegionSequence",
    )
)
"""Sequences of codes, whose meanings are text of the data set's character set."""

_TEXT = frozenset(str(vr) for vr in CUSTOMIZABLE_CHARSET_VR)
_ASCII = frozenset(str(vr) for vr in DEFAULT_CHARSET_VR)


def is_text(tag: BaseTag) -> bool:
    """Whether the values of an attribute are written in the declared character set."""
    return dictionary_VR(tag) in _TEXT


def character_set_of(dataset: Dataset) -> CharacterSet:
    """The character set of a data set of raw elements."""
    declared = dataset.get_item(_CHARACTER_SET) if _CHARACTER_SET in dataset else None
    return find_character_set(_bytes(declared), tuple(_texts(dataset, CODED)))


@lru_cache(maxsize=64)
def texts_within(value: bytes, is_implicit: bool) -> tuple[bytes, ...]:
    """The texts in the items of a little-endian sequence, as they lie in the file.

    Items that declare a character set of their own are left out.
    """
    if value.isascii() and b"\x1b" not in value:
        return ()
    tag = Tag("DeidentificationMethodCodeSequence")
    holder = Dataset({tag: RawDataElement(tag, "SQ", len(value), value, 0, is_implicit, True)})
    holder.set_original_encoding(is_implicit, True, [default_encoding])
    return tuple(_texts(holder, (tag,)))


def _texts(dataset: Dataset, sequences: Container[BaseTag] | None = None) -> Iterator[bytes]:
    """Text values of the data set and of the items of these sequences; None: of every sequence."""
    # Iterating over the data set itself would decode it.
    for tag in list(dataset.keys()):
        element = dataset.get_item(tag)
        if not dictionary_has_tag(tag):
            continue
        if dictionary_VR(tag) == "SQ":
            items = dataset[tag].value if sequences is None or tag in sequences else None
            for item in items or ():
                if _CHARACTER_SET not in item:
                    yield from _texts(item)
        elif is_text(tag):
            yield _bytes(element)


def _settle_items(items: Sequence[Dataset], characters: CharacterSet) -> None:
    """Decode the texts of items in the character set that was found, or in that of their own."""
    for item in items:
        found = characters
        if _CHARACTER_SET in item:
            found = character_set_of(item)
            item[_CHARACTER_SET] = DataElement(_CHARACTER_SET, "CS", list(found.terms))
        is_implicit, is_little = item.original_encoding
        item.set_original_encoding(is_implicit, is_little, list(found.codecs))
        for tag in list(item.keys()):
            element = item.get_item(tag)
            if found.codecs == ("cp949",) and isinstance(element, RawDataElement):
                item[tag] = element._replace(value=plain_korean(_bytes(element)))
            if item[tag].VR == "SQ":
                _settle_items(item[tag].value, found)


def settle_forms(
    dataset: Dataset, characters: CharacterSet, tags: Sequence[BaseTag] | None = None
) -> None:
    """Put the elements of a data set that was just read into their right form, and decode them.

    Parameters
    ----------
    dataset:
        Of raw elements; those that are decoded already stay.
    characters:
        Its character set; kept as its attribute ``character_set``.
    tags:
        Of the elements that are not yet settled; None: all.
    """
    chosen = list(dataset.keys()) if tags is None else tags
    is_implicit, is_little = dataset.original_encoding
    dataset.set_original_encoding(is_implicit, is_little, list(characters.codecs))
    for tag in chosen:
        _settle(dataset, tag, characters)
    if not characters.terms:
        dataset.pop(_CHARACTER_SET, None)
    else:
        dataset[_CHARACTER_SET] = DataElement(_CHARACTER_SET, "CS", list(characters.terms))
    for tag in chosen:
        if tag in dataset and dataset[tag].VR == "SQ" and tag in CODED:
            _settle_items(dataset[tag].value, characters)
    dataset.character_set = characters


def text_read_as(dataset: Dataset) -> str:
    """Which character set the text was found in; empty where that is the declared one."""
    characters: CharacterSet = dataset.character_set
    return characters.read_as


def check_uid(header: Dataset, keyword: str) -> None:
    """Check that an identifier is one text of printable ASCII; it is compared and copied as it is.

    Raises
    ------
    SeriesRefusedError
        ``header-value``.
    """
    value = header.get(keyword)
    if not isinstance(value, str):
        raise wrong_value(keyword, "holds several values where one belongs")
    if not (value.isascii() and value.isprintable()):
        raise wrong_value(keyword, "holds characters that no identifier has")


def _settle(dataset: Dataset, tag: BaseTag, characters: CharacterSet) -> None:
    """One element; what cannot be its attribute's at all is taken out."""
    element, expected = dataset.get_item(tag), dictionary_VR(tag)
    settled = settle_number(element)
    if settled is not element:
        dataset[tag] = settled
    elif (expected == "SQ") != (element.VR == "SQ") and element.VR not in (None, "UN"):
        del dataset[tag]
    elif isinstance(element, RawDataElement) and expected in _TEXT | _ASCII:
        value = element.value
        if value and expected in _TEXT and characters.codecs == ("cp949",):
            value = plain_korean(value)
        # Whatever representation the file gives: these bytes are text.
        dataset[tag] = element._replace(VR=expected, value=value)


def _bytes(element: DataElement | RawDataElement | None) -> bytes:
    value = None if element is None else element.value
    return value if isinstance(value, bytes) else b""
