"""Text files that people write: settings, secrets, descriptions of models, keys.

They are UTF-8. A byte order mark, which Windows' editors put before UTF-8, is left out; any other
encoding is named, so that the file can be saved again, and is never guessed: the same bytes are
another password in another code page.

Source: RFC 3629 section 6 (byte order mark), Unicode 16 section 23.8
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

SAVE_AS_UTF_8 = (
    "Save it as UTF-8 (Notepad: Save as, Encoding: UTF-8; PowerShell: Out-File -Encoding utf8; "
    "else iconv -t UTF-8)."
)
"""What to do about a file of another encoding."""

LONGEST_TEXT = 4 * 1024 * 1024
"""Bytes of a text file that are read: no settings and no description of a model come near."""

_BYTE_ORDER_MARKS = (
    # Those of UTF-32 first: one of them begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_KOREAN = "CP949 or EUC-KR, as Korean Windows writes"
_HANGUL = re.compile("[가-힣]")


class UnreadableTextError(ValueError):
    """A file is no UTF-8 text; the message follows its name and quotes nothing of it."""


def why_not_utf_8(data: bytes, *, with_mark: bool = True) -> str:
    """Return what a text is instead of UTF-8, as words after its name; empty for UTF-8.

    ``with_mark``: whether a byte order mark may stand before it; JSON has none (RFC 8259).

    >>> why_not_utf_8("bucket".encode("utf-16"))
    'is UTF-16, not UTF-8'
    >>> why_not_utf_8("암호".encode("cp949"))
    'is not UTF-8 (byte 0); it seems to be CP949 or EUC-KR, as Korean Windows writes'
    """
    if not with_mark and data.startswith(codecs.BOM_UTF8):
        return "begins with a byte order mark"
    for mark, name in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return f"is {name}, not UTF-8"
    zeros = [value == 0 for value in data[:4]]
    if zeros in ([False, True, True, True], [True, True, True, False]):
        return "is UTF-32, not UTF-8"
    if zeros[:2] in ([False, True], [True, False]):
        return "is UTF-16, not UTF-8"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        guess = f"; it seems to be {_KOREAN}" if _is_korean(data) else ""
        return f"is not UTF-8 (byte {error.start}){guess}"
    return ""


def decode_text(data: bytes) -> str:
    """The text of a file's bytes, without a byte order mark.

    Raises
    ------
    UnreadableTextError
        As :func:`why_not_utf_8` says.
    """
    why = why_not_utf_8(data)
    if why:
        raise UnreadableTextError(why)
    return data.decode("utf-8-sig")


def read_text(path: Path) -> str:
    """The text of a file.

    Raises
    ------
    UnreadableTextError
        As :func:`decode_text`; or it is longer than :data:`LONGEST_TEXT`.
    OSError
        The system does not give it.
    """
    with path.open("rb") as file:
        data = file.read(LONGEST_TEXT + 1)
    if len(data) > LONGEST_TEXT:
        raise UnreadableTextError(f"has more than {LONGEST_TEXT} bytes")
    return decode_text(data)


def _is_korean(data: bytes) -> bool:
    """Return whether the bytes are Korean in the code page of Korean Windows, by their letters."""
    try:
        text = data.decode("cp949")
    except UnicodeDecodeError:
        return False
    others = [letter for letter in text if not letter.isascii()]
    return 2 * len(_HANGUL.findall(text)) > len(others)
