"""Numbers of DICOM headers, read from whatever form they come in.

Archives hold headers that scanners, converters and de-identification tools have written, and not
all of them keep to PS3.5: a decimal comma, words, one value where two belong, the value
representation of another attribute. Here such a value becomes numbers, or the name of what is
wrong with its form. The value itself is never part of what is said: it may be a patient's.

A comma is read as a decimal point where it cannot be anything else: ``1,0``, ``0,938``,
``-31,25``. One to three digits, a comma and three digits (``1,000``) may be grouped thousands as
well, so that is refused, unless another number of the same value shows that its writer means a
decimal comma.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from segrelay.errors import SeriesRefusedError

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement, RawDataElement
    from pydicom.dataset import Dataset


@dataclass(frozen=True)
class Number:
    """An attribute that holds numbers, as the dictionary of PS3.6 describes it."""

    name: str
    vr: str
    count: int | None = 1
    """How many values belong there; None: one or more."""
    is_positive: bool = False
    """Whether a value of zero or less has no meaning."""
    limits: tuple[float, float] = (-math.inf, math.inf)
    """What any scanner can mean; beyond it a number is a mistake."""


NUMBERS = {
    "NumberOfFrames": Number("Number of Frames", "IS"),
    "SamplesPerPixel": Number("Samples per Pixel", "US"),
    "PlanarConfiguration": Number("Planar Configuration", "US"),
    "Rows": Number("Rows", "US", is_positive=True),
    "Columns": Number("Columns", "US", is_positive=True),
    "BitsAllocated": Number("Bits Allocated", "US", is_positive=True),
    "BitsStored": Number("Bits Stored", "US", is_positive=True),
    "HighBit": Number("High Bit", "US"),
    "PixelRepresentation": Number("Pixel Representation", "US"),
    "ImagePositionPatient": Number("Image Position (Patient)", "DS", 3, limits=(-1e5, 1e5)),
    "ImageOrientationPatient": Number("Image Orientation (Patient)", "DS", 6, limits=(-2, 2)),
    "PixelSpacing": Number("Pixel Spacing", "DS", 2, is_positive=True, limits=(1e-3, 1e3)),
    "RescaleSlope": Number("Rescale Slope", "DS", limits=(-1e30, 1e30)),
    "RescaleIntercept": Number("Rescale Intercept", "DS", limits=(-1e30, 1e30)),
    "SliceThickness": Number("Slice Thickness", "DS"),
    "WindowCenter": Number("Window Center", "DS", None, limits=(-1e30, 1e30)),
    "WindowWidth": Number("Window Width", "DS", None, limits=(-1e30, 1e30)),
    "SeriesNumber": Number("Series Number", "IS"),
    "TemporalPositionIdentifier": Number("Temporal Position Identifier", "IS"),
    "TemporalPositionIndex": Number("Temporal Position Index", "UL"),
    "TemporalPositionTimeOffset": Number("Temporal Position Time Offset", "FD"),
    "TriggerTime": Number("Trigger Time", "DS"),
    "EchoTime": Number("Echo Time", "DS"),
    "EffectiveEchoTime": Number("Effective Echo Time", "FD"),
    "RepetitionTime": Number("Repetition Time", "DS"),
    "InversionTime": Number("Inversion Time", "DS"),
    "InversionTimes": Number("Inversion Times", "FD", None),
    "DiffusionBValue": Number("Diffusion b-value", "FD"),
    "DiffusionGradientOrientation": Number("Diffusion Gradient Orientation", "FD", 3),
    "PatientSize": Number("Patient's Size", "DS"),
    "PatientWeight": Number("Patient's Weight", "DS"),
    "LossyImageCompressionRatio": Number("Lossy Image Compression Ratio", "DS", None),
}
"""By keyword: the numbers of image headers that are read on either side."""

_BINARY = {
    "FD": "d",
    "FL": "f",
    "OD": "d",
    "OF": "f",
    "OL": "I",
    "OV": "Q",
    "SL": "i",
    "SS": "h",
    "SV": "q",
    "UL": "I",
    "US": "H",
    "UV": "Q",
}
"""Value representations of binary numbers, with their letters of :mod:`struct`."""

_OPAQUE = ("AT", "OB", "OW", "SQ", "UN")
"""Value representations that do not say how a number is written; all others are text."""

_WHOLE = {"IS": (-(2**31), 2**31 - 1), "US": (0, 2**16 - 1), "UL": (0, 2**32 - 1)}
"""Value representations of whole numbers, with their ranges (PS3.5 6.2)."""

_DS_LENGTH, _IS_LENGTH = 16, 12
"""Most characters of a value (PS3.5 6.2)."""

_MOST_CHARACTERS = 64
"""Of one number: more is no number that anybody wrote."""

_MOST_TEXT = 4096
"""Characters of all numbers of a value."""

_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?", re.ASCII)
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity|1\.#[a-z]+0*)", re.ASCII | re.IGNORECASE)

_WORDS = ("no", "one", "two", "three", "four", "five", "six")

_PADDING = "\0 "

_TEXT_FORM = "holds text where a number belongs"
_BYTES_FORM = "holds bytes that are no number"


class WrongFormError(ValueError):
    """A value cannot be read as what its attribute holds.

    Parameters
    ----------
    form:
        What is wrong, as the rest of a sentence that begins with the attribute's name:
        ``holds one number where two belong``.
    """

    def __init__(self, form: str) -> None:
        super().__init__(form)
        self.form = form


@dataclass(frozen=True)
class WrongForm:
    """Takes the place of a value that cannot be read; knows nothing of that value."""

    name: str
    """Of the attribute."""
    form: str

    def __str__(self) -> str:
        return f"{self.name} {self.form}"


def read_numbers(value: object, number: Number, vr: str | None = None) -> tuple[float, ...]:
    """The finite numbers that a value holds, as many as belong there; none where it is empty.

    Parameters
    ----------
    value:
        Bytes as they lie in a file of little endian, text with backslashes between the values,
        a number, a sequence of these, or None.
    vr:
        The value representation that the file gives for these bytes; None or one of unknown
        content: that of the dictionary.

    Raises
    ------
    WrongFormError
    """
    numbers = _finite(_parts(value, number, vr))
    if not numbers:
        return ()
    if number.count is not None and len(numbers) != number.count:
        raise WrongFormError(_wrong_count(len(numbers), number.count))
    if number.vr in _WHOLE and not all(item.is_integer() for item in numbers):
        raise WrongFormError("holds a fraction where a whole number belongs")
    if number.is_positive and min(numbers) <= 0:
        raise WrongFormError("holds a number that is not above zero")
    least, most = _WHOLE.get(number.vr, number.limits)
    if min(numbers) < least or max(numbers) > most:
        raise WrongFormError("holds a number that is out of range")
    return numbers


def numbers_of(value: object, keyword: str) -> tuple[float, ...] | WrongForm:
    """Read a value of one of :data:`NUMBERS`, as :func:`read_numbers`; or return what is wrong."""
    number = NUMBERS[keyword]
    try:
        return read_numbers(value, number)
    except WrongFormError as error:
        return WrongForm(number.name, error.form)


def value_of(holder: Any, keyword: str) -> Any:
    """An attribute of a pydicom data set, in its right form; of tags of Orthanc, as it is."""
    if hasattr(holder, "get_item"):
        settle_numbers(holder, (keyword,))
    return holder.get(keyword)


def check_forms(header: Any, keywords: Iterable[str]) -> None:
    """Check that none of these attributes holds something else than its numbers.

    Parameters
    ----------
    header:
        Anything with ``get(keyword)`` whose values are those of :func:`settle_number`.

    Raises
    ------
    SeriesRefusedError
        ``header-value``, ``no-position`` or ``no-pixel-spacing``.
    """
    for keyword in keywords:
        value = header.get(keyword)
        if isinstance(value, WrongForm):
            raise wrong_value(keyword, value.form)


def wrong_value(keyword: str, form: str) -> SeriesRefusedError:
    """The error for a value that is needed and cannot be used.

    Parameters
    ----------
    form:
        The rest of the sentence that begins with the attribute's name.
    """
    name = name_of(keyword)
    return SeriesRefusedError(
        f"{name} {form}.",
        code="no-position"
        if keyword in ("ImagePositionPatient", "ImageOrientationPatient")
        else "no-pixel-spacing"
        if keyword == "PixelSpacing"
        else "header-value",
        remedy=f"Correct {name} of the series in Orthanc, or send the series again.",
    )


_UID = re.compile(r"[0-2](\.(0|[1-9][0-9]*)){2,}")
_LONGEST_UID = 64


def is_uid(text: str) -> bool:
    """Whether a text is a DICOM UID (PS3.5 section 9.1)."""
    return len(text) <= _LONGEST_UID and _UID.fullmatch(text) is not None


def name_of(keyword: str) -> str:
    """Name of an attribute in the standard."""
    from pydicom.datadict import dictionary_description

    return NUMBERS[keyword].name if keyword in NUMBERS else dictionary_description(keyword)


def settle_numbers(dataset: Dataset, keywords: Iterable[str] = NUMBERS) -> None:
    """Do :func:`settle_number` for each of these attributes that a data set has."""
    for keyword in keywords:
        if keyword in dataset:
            element = dataset.get_item(keyword)
            settled = settle_number(element)
            if settled is not element:
                dataset[keyword] = settled


def settle_number(element: DataElement | RawDataElement) -> DataElement | RawDataElement:
    """An element of :data:`NUMBERS` in the form that the standard gives it.

    Returns
    -------
    The same element where its form is right or it is none of these attributes; a new one with the
    same numbers where they could be read; else one whose value is a :class:`WrongForm`.
    """
    number = _numbers_by_tag().get(element.tag)
    if number is None or isinstance(element.value, WrongForm):
        return element
    from pydicom.dataelem import DataElement
    from pydicom.tag import Tag

    value: Any
    try:
        numbers = read_numbers(_little_endian(element, number), number, element.VR)
        # Padding alone is an empty value, which pydicom would take for text.
        if _is_regular(element, number) and (numbers or not element.value):
            return element
        value = [_of_kind(one, number.vr) for one in numbers] or None
        vr = number.vr
    except WrongFormError as error:
        # A representation that pydicom neither checks nor replaces by the dictionary's.
        value, vr = WrongForm(number.name, error.form), "OB"
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    if isinstance(value, list):
        return DataElement(Tag(element.tag), vr, value)
    return DataElement(Tag(element.tag), vr, value, already_converted=True)


@cache
def _numbers_by_tag() -> dict[int, Number]:
    from pydicom.datadict import tag_for_keyword

    return {tag_for_keyword(keyword) or 0: number for keyword, number in NUMBERS.items()}


def _little_endian(element: DataElement | RawDataElement, number: Number) -> object:
    value: object = element.value
    kind = _kind(element.VR, number)
    if (
        not isinstance(value, bytes)
        or kind not in _BINARY
        or getattr(element, "is_little_endian", True)
    ):
        return value
    size = struct.calcsize(_BINARY[kind])
    # What is left over stays, and shows as a wrong length.
    return b"".join(value[at : at + size][::-1] for at in range(0, len(value), size))


def _is_regular(element: DataElement | RawDataElement, number: Number) -> bool:
    """Whether pydicom reads the same numbers, and may write them as they are."""
    if element.VR not in (None, number.vr):
        return False
    value = element.value
    if not isinstance(value, bytes):
        parts = _parts(value, number, None)
        return not any(isinstance(part, str) for part in parts)
    if number.vr in _BINARY:
        return True
    longest = _IS_LENGTH if number.vr == "IS" else _DS_LENGTH
    shape = _INTEGER if number.vr == "IS" else _DECIMAL
    return all(
        shape.fullmatch(part.strip(" ")) and len(part) <= longest for part in _split(_ascii(value))
    )


def _of_kind(number: float, vr: str) -> object:
    if vr in _WHOLE and vr != "IS":
        return int(number)
    from pydicom.valuerep import IS, DSfloat

    if vr == "IS":
        return IS(int(number))
    # Seventeen digits do not fit into a decimal string: its text is rounded, its number is not.
    return DSfloat(number, auto_format=True) if vr == "DS" else number


def _parts(value: object, number: Number, vr: str | None) -> Sequence[object]:
    """What lies between the backslashes, or the binary numbers."""
    if value is None:
        return []
    if isinstance(value, bytes):
        kind = _kind(vr, number)
        return _unpacked(value, _BINARY[kind]) if kind in _BINARY else _split(_ascii(value))
    if isinstance(value, str):
        return _split(value)
    if isinstance(value, Sequence):
        return list(value)
    return [value]


def _kind(vr: str | None, number: Number) -> str:
    """The file's value representation where it says how the bytes are meant."""
    return number.vr if vr is None or vr in _OPAQUE else vr


def _unpacked(value: bytes, letter: str) -> list[object]:
    size = struct.calcsize(letter)
    if len(value) % size:
        raise WrongFormError(_BYTES_FORM)
    return list(struct.unpack(f"<{len(value) // size}{letter}", value))


def _ascii(value: bytes) -> str:
    try:
        return value.decode("ascii")
    except UnicodeError:
        raise WrongFormError(_TEXT_FORM) from None


def _split(text: str) -> list[str]:
    if len(text) > _MOST_TEXT:
        raise WrongFormError(_TEXT_FORM)
    stripped = text.strip(_PADDING)
    return stripped.split("\\") if stripped else []


def _finite(parts: Sequence[object]) -> tuple[float, ...]:
    texts = [part.strip(_PADDING) for part in parts if isinstance(part, str)]
    has_comma = any(_COMMA.fullmatch(text) and not _GROUPED.fullmatch(text) for text in texts)
    return tuple(_number(part, has_comma=has_comma) for part in parts)


def _number(part: object, *, has_comma: bool) -> float:
    """``has_comma``: another value of the attribute shows that a comma is its decimal point."""
    if isinstance(part, str):
        number = _from_text(part.strip(_PADDING), has_comma=has_comma)
    else:
        number = _from_number(part)
    if not math.isfinite(number):
        raise WrongFormError("holds a number that is not finite")
    return number


def _from_number(part: Any) -> float:
    try:
        return float(part)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        raise WrongFormError("holds something else where a number belongs") from None


def _from_text(text: str, *, has_comma: bool) -> float:
    if not text:
        raise WrongFormError("holds an empty value where a number belongs")
    if len(text) > _MOST_CHARACTERS:
        raise WrongFormError(_TEXT_FORM)
    if _DECIMAL.fullmatch(text):
        return float(text)
    if _NOT_FINITE.fullmatch(text):
        return math.nan
    if not _COMMA.fullmatch(text):
        raise WrongFormError(_TEXT_FORM)
    if _GROUPED.fullmatch(text) and not has_comma:
        raise WrongFormError("holds a comma that can be read in two ways")
    return float(text.replace(",", "."))


def _wrong_count(found: int, wanted: int) -> str:
    many = _WORDS[found] if found < len(_WORDS) else "more"
    noun = "number" if found == 1 else "numbers"
    verb = "belongs" if wanted == 1 else "belong"
    return f"holds {many} {noun} where {_WORDS[wanted]} {verb}"
