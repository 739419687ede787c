"""Shared by the commands: exit codes, ``--json``, tables, and amounts as texts."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_DEFECT, EXIT_NOT_NOW, EXIT_CONFIG = 0, 1, 2, 70, 75, 78
"""Of every command; from 70 on those of sysexits.h."""

_POLL = 0.05


def add_json(command: argparse.ArgumentParser) -> None:
    """Add ``--json`` to a command's options."""
    command.add_argument("--json", action="store_true", help="print one JSON object")


def write(text: str) -> None:
    """Print lines on standard output."""
    sys.stdout.write(text + "\n")


def show(options: argparse.Namespace, document: Any, text: str) -> None:
    """Print an answer: ``document`` where ``--json`` is given, else ``text``.

    ``document``: what JSON has, models of pydantic, dataclasses, paths and times in them as well.
    """
    if options.json:
        write_json(document)
    else:
        write(text)


def write_json(document: Any) -> None:
    """Print one JSON document, in ASCII."""
    write(json.dumps(to_jsonable_python(document), indent=1))


def is_taken(file: Path, patience: float) -> bool:
    """Return whether a running agent removes a control file within ``patience`` seconds."""
    end = time.monotonic() + patience
    while file.exists():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL)
    return True


def table(heading: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str = "") -> str:
    """Format a heading and its rows in columns; ``empty`` where there are no rows."""
    lines = [heading, *([printable(cell) for cell in row] for row in rows)]
    if len(lines) == 1:
        return empty
    widths = [max(len(line[column]) for line in lines) for column in range(len(heading))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def span(seconds: float) -> str:
    """Format seconds in the largest unit that leaves two digits."""
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


def size(bytes_: int) -> str:
    """Format a number of bytes in the unit that leaves three digits."""
    for limit, unit_bytes, unit in ((10**6, 10**3, "kB"), (10**9, 10**6, "MB")):
        if bytes_ < limit:
            return f"{bytes_ / unit_bytes:.0f} {unit}"
    return f"{bytes_ / 10**9:.1f} GB"


def printable(text: str) -> str:
    """Replace control characters: text of the bucket must not move the reader's cursor."""
    return "".join(character if character.isprintable() else "?" for character in text)
