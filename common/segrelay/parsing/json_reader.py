"""JSON from elsewhere, within limits: what the bucket, Orthanc or a proxy before them sends.

The ``json`` of Python reads almost anything: brackets until the stack ends, half a character
that no file takes (a lone surrogate), NaN, integers of a million digits, one key twice. Here
each of these is one named error, and none costs more than the limits allow: depth and number
of values are counted over the bytes before anything is built.

Source: RFC 8259; section 4 on names that are not unique, 8.2 on lone surrogates, 9 on limits.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NoReturn

from segrelay.parsing.text_files import why_not_utf_8

INTEGER_DIGITS = 19
"""Those of 2**63 - 1, the largest integer that every database and language here can hold."""

LARGEST_INTEGER = 2**63 - 1

NUMBER_CHARACTERS = 64
"""Of a number with a fraction or an exponent; exact doubles need 24."""

_OPENS, _CLOSES = b"[{", b"]}"
_BRACKETS = _OPENS + _CLOSES
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))
_STEP = {**dict.fromkeys(_OPENS, 1), **dict.fromkeys(_CLOSES, -1)}

_WITHOUT_MARK = "Write it as UTF-8 without a byte order mark."

_MARKS = (
    (b"\x1f\x8b", "is compressed (gzip)"),
    (b"<", "is HTML or XML"),
)
"""What other documents begin with, and how to say so."""


class UnreadableJsonError(ValueError):
    """A document cannot be read; its reader says of which kind it is, and what follows.

    A ValueError, so that it is one wherever pydantic validates; every reader turns it into an
    error of ``segrelay.errors``. The message follows the document's name (``is not JSON``) and
    holds nothing of the document.
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy
        """What to do about it, where that is known."""


@dataclass(frozen=True, kw_only=True)
class JsonLimits:
    """Limits of a document."""

    size_bytes: int
    """Bytes of UTF-8."""
    depth: int = 16
    """Brackets within brackets; the documents of SegRelay need 6."""
    values: int = 20_000
    """Values in all, names of members not counted."""
    text_characters: int = 16 * 1024
    """Of one text, or of one name."""
    allows_nul: bool = False
    """Whether texts may hold U+0000, which PostgreSQL takes in no text."""


def read_json(data: bytes | str, limits: JsonLimits) -> Any:
    """Read one document: ``dict`` with ``str`` keys, ``list``, ``str``, ``int``, ``float``,
    ``bool`` or None.

    Integers fit into 64 bits, floats are finite, texts are whole Unicode. A name that comes
    twice in one object is refused: two readers might believe two values.

    Raises
    ------
    UnreadableJsonError
        It is not such a document, or goes beyond a limit.
    """
    encoded = _encoded(data, limits)
    _check_form(encoded)
    _check_structure(encoded, limits)
    try:
        document = _DECODER.decode(encoded.decode())
    except json.JSONDecodeError as error:
        raise UnreadableJsonError(
            f"is not JSON (line {error.lineno}, column {error.colno})"
        ) from None
    except RecursionError:
        raise UnreadableJsonError("is nested too deep for this program's stack") from None
    _check_texts(document, limits)
    return document


def read_json_object(data: bytes | str, limits: JsonLimits) -> dict[str, Any]:
    """Read a document that must be an object; raises as :func:`read_json`."""
    document = read_json(data, limits)
    if not isinstance(document, dict):
        raise UnreadableJsonError("is not a JSON object")
    return document


def _encoded(data: bytes | str, limits: JsonLimits) -> bytes:
    # A character has at least one byte: what is too long for sure is not copied.
    if isinstance(data, str) and len(data) <= limits.size_bytes:
        try:
            data = data.encode()
        except UnicodeEncodeError:
            raise UnreadableJsonError("holds half a character (a lone surrogate)") from None
    if isinstance(data, str) or len(data) > limits.size_bytes:
        raise UnreadableJsonError(f"has more than {limits.size_bytes} bytes")
    return data


def _check_form(data: bytes) -> None:
    """Say what a document is instead, where its first bytes show it."""
    if not data or data.isspace():
        raise UnreadableJsonError("is empty")
    head = data[:64].lstrip()
    for mark, what in _MARKS:
        if head.startswith(mark):
            raise UnreadableJsonError(what)
    why = why_not_utf_8(data, with_mark=False)
    if why:
        raise UnreadableJsonError(why, remedy=_WITHOUT_MARK)


def _check_structure(data: bytes, limits: JsonLimits) -> None:
    """Count brackets and values outside of texts, as far as the document is JSON.

    Where it is not (a backslash outside of a text), the decoder stops before the count is wrong.
    """
    bare = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    # A value, and the name before it, have two quotation marks each.
    if bare.count(b'"') > 4 * limits.values:
        _too_many(limits)
    outside = b"".join(bare.split(b'"')[::2])
    brackets = outside.translate(None, delete=_ALL_BUT_BRACKETS)
    if any(depth > limits.depth for depth in accumulate(map(_STEP.__getitem__, brackets))):
        raise UnreadableJsonError(f"is nested deeper than {limits.depth} levels")
    if outside.count(b",") + sum(map(brackets.count, (b"[", b"{"))) >= limits.values:
        _too_many(limits)


def _too_many(limits: JsonLimits) -> NoReturn:
    raise UnreadableJsonError(f"holds more than {limits.values} values")


def _check_texts(document: object, limits: JsonLimits) -> None:
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            _check_text(value, limits)
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value
            waiting += value.values()


def _check_text(text: str, limits: JsonLimits) -> None:
    if len(text) > limits.text_characters:
        raise UnreadableJsonError(f"holds a text of more than {limits.text_characters} characters")
    if "\0" in text and not limits.allows_nul:
        raise UnreadableJsonError("holds a text with a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UnreadableJsonError("holds half a character (a lone surrogate)") from None


def _integer(digits: str) -> int:
    if len(digits) <= INTEGER_DIGITS + 1 and abs(value := int(digits)) <= LARGEST_INTEGER:
        return value
    raise UnreadableJsonError("holds an integer of more than 64 bits")


def _number(digits: str) -> float:
    if len(digits) <= NUMBER_CHARACTERS and math.isfinite(value := float(digits)):
        return value
    raise UnreadableJsonError("holds a number that is too long or too large")


def _no_number(name: str) -> NoReturn:
    raise UnreadableJsonError(f"holds {name}, which is not JSON")


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        raise UnreadableJsonError("names a member of an object twice")
    return found


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_no_number
)
