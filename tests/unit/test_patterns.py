"""No regular expression of the programs takes long, whatever text it is given.

Every compiled pattern of the programs is found in their modules, and tried on texts that are made
of its own repeated parts: twice the text may take somewhat more than twice the time, not four
times. Where a caller limits the text, the pattern is tried at that limit instead.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import gcp_side.labseg
import lab_side
import segrelay
from gcp_side.labseg.recognition.attributes import TEXT_LIMIT

LENGTH = 20_000
"""Characters of a text that nobody limits."""

GROWTH = 3.0
"""Twice the text takes at most so many times as long."""

SHORT_S = 0.05
"""What takes less is no trouble at all, and too short to compare."""

LIMITS = {
    "gcp_side.labseg.recognition": TEXT_LIMIT,
    "segrelay.dicom.acquisition": TEXT_LIMIT,
    "segrelay.dicom.body_regions": TEXT_LIMIT,
    # The text of one value: 16 characters, and spaces around it.
    "segrelay.dicom.values": 64,
    "lab_side.imaging.read.preflight": 64,
}
"""Characters that the callers of a module's patterns let through."""

SEARCHES = ("search", "finditer", "findall", "sub", "split")
"""What looks for a pattern anywhere in a text."""

SKIPPED = ("lab_side.models", "lab_side.importing", "lab_side.profiles", "lab_side.evaluation")
"""They read an operator's own model files, and need its libraries."""


def modules() -> Iterator[Any]:
    for package in (segrelay, gcp_side.labseg, lab_side):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.startswith(SKIPPED) and ".migrations" not in found.name:
                try:
                    yield importlib.import_module(found.name)
                except ImportError:
                    # Windows's own, and the like.
                    continue


def patterns_in(value: object) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from patterns_in(item)
    elif isinstance(value, tuple | list | frozenset):
        for item in value:
            yield from patterns_in(item)


def found_patterns() -> dict[str, tuple[re.Pattern[Any], int, bool]]:
    """Pattern, longest text and whether its module searches, by module and pattern."""
    found = {}
    for module in modules():
        name = module.__name__
        limit = next((size for start, size in LIMITS.items() if name.startswith(start)), LENGTH)
        source = Path(module.__file__).read_text(encoding="utf-8")
        searches = any(f".{call}(" in source for call in SEARCHES)
        for value in list(vars(module).values()):
            for pattern in patterns_in(value):
                found[f"{name}:{pattern.pattern!r}"] = (pattern, limit, searches)
    return found


PATTERNS = found_patterns()


def seeds(pattern: re.Pattern[Any]) -> list[str]:
    """Short texts of which a long one may cost the pattern most: its own pieces, repeated."""
    text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode()
    pieces = set(re.findall(r"[A-Za-z가-힣]{1,12}|[0-9]", text)) | {" ", "a", "1", "-", "a ", "1-"}
    pieces |= {piece[0] for piece in pieces} | {", until ", ", until 2026-", "a-", ".", "/", "0.0"}
    return sorted(pieces)[:60]


def seconds(pattern: re.Pattern[Any], text: str, *, searches: bool) -> float:
    data: Any = text if isinstance(pattern.pattern, str) else text.encode()
    began = time.thread_time()
    pattern.fullmatch(data)
    if searches:
        pattern.search(data)
    return time.thread_time() - began


def slowness(pattern: re.Pattern[Any], limit: int, *, searches: bool) -> str:
    """On which text, and how much, a pattern takes too long; empty where on none."""
    tried = partial(seconds, pattern, searches=searches)
    for seed in seeds(pattern):
        for end in ("", "\n!"):
            whole = (seed * limit)[:limit] + end
            took = tried(whole)
            if took < SHORT_S:
                continue
            if limit < LENGTH:
                return f"{seed!r}: {took} s"
            half = min(tried(whole[: limit // 2] + end) for _ in range(3))
            took = min(took, *(tried(whole) for _ in range(2)))
            if took >= SHORT_S and took > GROWTH * half:
                return f"{seed!r}: {half} s, then {took} s"
    return ""


@pytest.mark.parametrize("name", PATTERNS)
def test_no_pattern_takes_long(name: str) -> None:
    pattern, limit, searches = PATTERNS[name]
    assert slowness(pattern, limit, searches=searches) == ""


def test_a_slow_pattern_is_found() -> None:
    slow = re.compile(r"(?P<why>.+), until (?P<until>\d{4}-.+)!")
    assert slowness(slow, LENGTH, searches=False)
