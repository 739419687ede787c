"""Find the character set of a header's text, whatever the header declares.

Text beyond ASCII is often not in the declared set: archives forward Korean names under
``ISO_IR 100`` or ``ISO_IR 192``, tools leave Specific Character Set empty or write a term of their
own. pydicom puts U+FFFD for such bytes, and the name is lost. Here every byte keeps a meaning.

In order: the declared set, where all text can be read in it; the set that a term outside of the
standard means (``UTF8``, ``ISO_IR 149``); UTF-8; Korean (EUC-KR with the extension of code page
949); Latin-1, in which every byte is a character and stays the same byte when it is written.

Every byte can be read as Latin-1, so text that is declared so may still be something else: UTF-8,
which other text does not look like by chance, and Korean, where it looks like nothing else.

Sources: PS3.3 C.12.1.1.2 (Specific Character Set), PS3.5 6.1 and annex I (Korean).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from pydicom.charset import STAND_ALONE_ENCODINGS, decode_bytes, default_encoding, python_encoding
from pydicom.config import strict_reading
from pydicom.valuerep import PN_DELIMS

UTF_8, KOREAN, LATIN_1 = "UTF-8", "Korean (EUC-KR)", "Latin-1"
JAPANESE = "Japanese (Shift JIS)"

KOREAN_ESCAPE = b"\x1b$)C"
"""Designates KS X 1001 (PS3.5 6.1.2.5.3); tools leave it out behind a delimiter."""

_ESCAPE = b"\x1b"
_DEFAULT_TERMS = ("", "ISO_IR 6", "ISO 2022 IR 6")
"""ASCII; pydicom reads them as Latin-1, so that nothing ever fails."""

_UNICODE_TERM, _LATIN_TERM = "ISO_IR 192", "ISO_IR 100"
_LATIN_TERMS = (_LATIN_TERM, "ISO 2022 IR 100")

_MULTI_BYTE = ("ISO 2022 IR 58", "ISO 2022 IR 87", "ISO 2022 IR 149", "ISO 2022 IR 159")
"""Terms that the standard allows behind another one only (PS3.3 table C.12-4)."""

_MEANT = {
    "UTF8": (UTF_8, "utf-8"),
    "UNICODE": (UTF_8, "utf-8"),
    "ISOIR192": (UTF_8, "utf-8"),
    "ISO2022IR192": (UTF_8, "utf-8"),
    "ISOIR149": (KOREAN, "cp949"),
    "ISO2022IR149": (KOREAN, "cp949"),
    "EUCKR": (KOREAN, "cp949"),
    "KSC56011987": (KOREAN, "cp949"),
    "KSX1001": (KOREAN, "cp949"),
    "CP949": (KOREAN, "cp949"),
    "MS949": (KOREAN, "cp949"),
    "UHC": (KOREAN, "cp949"),
    "ISOIR13": (JAPANESE, "cp932"),
    "ISO2022IR13": (JAPANESE, "cp932"),
    "SHIFTJIS": (JAPANESE, "cp932"),
    "SJIS": (JAPANESE, "cp932"),
    "CP932": (JAPANESE, "cp932"),
    "LATIN1": (LATIN_1, "latin-1"),
    "ISO88591": (LATIN_1, "latin-1"),
    "ISOIR100": (LATIN_1, "latin-1"),
}
"""By letters and digits of a term that the standard does not define, or of a misspelt one."""

_KATAKANA_CODEC = "shift_jis"
_KANJI = re.compile(rb"[\x81-\x9f\xe0-\xfc]")
"""Shift JIS, as which pydicom reads ISO_IR 13: that set has no character of two bytes."""

_HANGUL = re.compile("[\uac00-\ud7a3]+")
_LETTER = re.compile("[A-Za-z]")
_LETTER_AT_HANGUL = re.compile("[A-Za-z][\uac00-\ud7a3]|[\uac00-\ud7a3][A-Za-z]")


@dataclass(frozen=True)
class CharacterSet:
    """How text is read, and what the SEG declares."""

    terms: tuple[str, ...]
    """Values of Specific Character Set under which the text can be written; may be none."""
    codecs: tuple[str, ...]
    """Python's codecs, as pydicom takes them."""
    read_as: str = ""
    """What the text was read as, where that is not what the header declares; else empty."""


@lru_cache(maxsize=256)
def find_character_set(declared: bytes, texts: tuple[bytes, ...]) -> CharacterSet:
    """Find the set in which all of these values can be read.

    Parameters
    ----------
    declared:
        Specific Character Set as it lies in the file; empty where there is none.
    texts:
        Values of one data set whose representation depends on the character set.
    """
    terms = _terms(declared)
    codecs = _codecs(terms)
    if all(text.isascii() and _ESCAPE not in text for text in texts):
        return CharacterSet(terms if codecs else (), codecs or (default_encoding,))
    if codecs and _can_read(texts, codecs):
        is_latin = len(terms) == 1 and terms[0] in _LATIN_TERMS
        other = _behind_latin(texts) if is_latin else None
        return other or CharacterSet(terms, codecs)
    named = [term for term in terms if term]
    meant = _MEANT.get(_letters(named[0])) if len(named) == 1 else None
    for name, codec in (*filter(None, [meant]), (UTF_8, "utf-8"), (KOREAN, "cp949")):
        is_meant = meant is not None and meant[0] == name
        found = _decoded(texts, codec)
        if found is not None and (is_meant or name != KOREAN or _is_korean(found)):
            term = _LATIN_TERM if name == LATIN_1 else _UNICODE_TERM
            return CharacterSet((term,), (codec,), name)
    return CharacterSet((_LATIN_TERM,), ("latin-1",), LATIN_1)


def plain_korean(value: bytes) -> bytes:
    """Remove the escapes of KS X 1001, which code page 949 does not know."""
    return value.replace(KOREAN_ESCAPE, b"")


def _terms(declared: bytes) -> tuple[str, ...]:
    text = declared.decode("ascii", "replace").strip("\0 ")
    first, *more = (term.strip("\0 ") for term in text.split("\\"))
    if first in _MULTI_BYTE:
        first, more = "", [first, *more]
    # Nothing can be written in an extension that nobody knows.
    terms = (first, *(term for term in more if term in python_encoding))
    if len(terms) == 1 and more:
        # What is left alone has no extensions, and its term says so (PS3.3 C.12.1.1.2).
        terms = (first.replace("ISO 2022 IR", "ISO_IR"),)
    if terms in (("",), ("ISO_IR 6",)):
        # The default repertoire has no term of its own.
        return ()
    # These take no extensions, so what is declared behind them means nothing.
    return terms[:1] if terms[0] in STAND_ALONE_ENCODINGS else terms


def _codecs(terms: Sequence[str]) -> tuple[str, ...]:
    """None where the first term, in which text begins, is not of the standard."""
    first = terms[0] if terms else ""
    if first not in python_encoding:
        return ()
    return tuple(python_encoding[term] for term in terms) or (default_encoding,)


def _can_read(texts: Sequence[bytes], codecs: Sequence[str]) -> bool:
    strict = ["ascii" if codec == default_encoding else codec for codec in codecs]
    if codecs[0] == _KATAKANA_CODEC and any(
        _ESCAPE not in text and _KANJI.search(text) for text in texts
    ):
        return False
    try:
        with strict_reading():
            for text in texts:
                decode_bytes(text, strict, PN_DELIMS)
    except (LookupError, ValueError):
        return False
    return True


def _behind_latin(texts: Sequence[bytes]) -> CharacterSet | None:
    """The set of text that is declared as Latin-1 and is none; None where it is."""
    if _decoded(texts, "utf-8") is not None:
        return CharacterSet((_UNICODE_TERM,), ("utf-8",), UTF_8)
    korean = _decoded(texts, "euc_kr")
    if korean is not None and _is_all_korean(korean):
        return CharacterSet((_UNICODE_TERM,), ("cp949",), KOREAN)
    return None


def _is_all_korean(text: str) -> bool:
    """Whether all that is not ASCII is Hangul of two syllables or more, apart from letters."""
    found = _HANGUL.findall(text)
    return (
        _HANGUL.sub("", text).isascii()
        and sum(map(len, found)) > 1
        and not _LETTER_AT_HANGUL.search(text)
    )


def _decoded(texts: Sequence[bytes], codec: str) -> str | None:
    try:
        return "\n".join(plain_korean(text).decode(codec) for text in texts)
    except UnicodeError:
        return None


def _is_korean(text: str) -> bool:
    """Whether what was decoded as Korean looks so.

    Accented letters in pairs are Hangul as well, but they stand among other letters
    (``CONCEIÇÃO``): a single syllable counts where no Latin letter is beside it.
    """
    for found in _HANGUL.finditer(text):
        beside = text[max(0, found.start() - 1) : found.start()] + text[found.end() :][:1]
        is_apart = not _LETTER.search(beside) and beside.isascii()
        if (len(found[0]) > 1 or is_apart) and _is_of_ks_x_1001(found[0]):
            return True
    return False


def _is_of_ks_x_1001(text: str) -> bool:
    try:
        text.encode("euc_kr")
    except UnicodeError:
        return False
    return True


def _letters(term: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", term.upper())
