"""``ERRORS.md`` is what the code says, and says enough of every code."""

from __future__ import annotations

import re

from infra.error_docs import table
from infra.error_docs.source import ErrorSource
from infra.error_docs.table import FILE, PACKAGES, ROOT, WORDS, rows
from segrelay import errors


def test_the_file_is_what_the_code_says() -> None:
    assert FILE.read_text(encoding="utf-8") == table.text(), "run: python -m infra.error_docs.table"


def test_every_code_in_the_code_has_a_row() -> None:
    written = set(re.findall(r"^\| `([a-z0-9-]+)` \|", FILE.read_text(encoding="utf-8"), re.M))
    assert written == {row.code for row in rows()}
    codes = ErrorSource(ROOT / package for package in PACKAGES).codes()
    assert codes - {"error"} <= written
    for name in errors.__all__:
        assert getattr(errors, name).code in written | {"error"}, name


def test_every_row_tells_what_happened_and_what_to_do() -> None:
    for row in rows():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", row.code)
        assert row.kind in table.MEANINGS
        for words in (row.message, row.remedy):
            assert any(letter.isalpha() for letter in words), row
            assert "\n" not in words


def test_words_are_given_only_for_codes_that_there_are() -> None:
    assert WORDS.keys() <= {row.code for row in rows()}


def test_no_code_is_made_of_words_that_only_run_time_knows() -> None:
    """A code that is computed could not be looked up: none may be an f-string."""
    for package in table.PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            assert not re.search(r"\bcode=f[\"']", path.read_text(encoding="utf-8")), path
