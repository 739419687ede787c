"""Messages of libraries that read data sets, without the values that they quote.

Libraries quote what they warn of (pydicom: ``Invalid value for VR DA: '1970.01.01'``): a
patient's value, in whatever log, stream or event the warning ends. So in each process that reads
data sets, their warnings, log records and the texts of their exceptions are reduced to who spoke,
what kind of message it was and where in the code.

This holds whatever the process does with its logging and its warnings before or later: records
are reduced where they are made, warnings where they are shown.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

LIBRARIES = frozenset(
    (
        *("pydicom", "highdicom", "pynetdicom", "gdcm", "pylibjpeg", "libjpeg", "openjpeg"),
        *("rle", "jpeg_ls", "imagecodecs", "SimpleITK", "itk", "monai", "nibabel", "PIL"),
        *("numpy", "scipy", "deepbet", "fill_voids", "cc3d"),
    )
)
"""Import names of what reads, writes or computes with data sets."""

_FRAMES_SHOWN = 12

_own_factories: list[Any] = []
"""The record factory that is in force; another one may have been set since."""


def withhold_values() -> None:
    """From now on, in this process; a second call changes nothing."""
    before = logging.getLogRecordFactory()
    if _own_factories and before is _own_factories[0]:
        return
    if not _own_factories:
        warnings.showwarning = _warning_shower(warnings.showwarning)
        sys.excepthook = _exception_shower(sys.excepthook)
        threading.excepthook = _thread_exception_shower(threading.excepthook)
    _own_factories[:] = [_record_maker(before)]
    logging.setLogRecordFactory(_own_factories[0])


def in_short(error: BaseException) -> str:
    """An exception as its kind and the places it came through, innermost first; not its text."""
    frames = traceback.extract_tb(error.__traceback__)[::-1][:_FRAMES_SHOWN]
    places = [f"{item.name} ({os.path.basename(item.filename)}:{item.lineno})" for item in frames]
    return " < ".join([type(error).__name__, *places])


def _record_maker(before: Any) -> Any:
    def make(*args: Any, **named: Any) -> logging.LogRecord:
        record: logging.LogRecord = before(*args, **named)
        is_warning = record.name == "py.warnings"
        library = _speaker(sys._getframe()) if is_warning else _root(record.name)
        if library in LIBRARIES:
            record.msg = _withheld(library, record.levelname, record.pathname, record.lineno)
            record.args, record.exc_info, record.stack_info = (), None, None
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and _comes_from_library(error):
            record.exc_info, record.exc_text = None, in_short(error)
        return record

    return make


def _warning_shower(before: Any) -> Any:
    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, *more: Any
    ) -> None:
        library = _speaker(sys._getframe())
        if library is not None:
            message = _withheld(library, category.__name__, filename, lineno)
        before(message, category, filename, lineno, *more)

    return show


def _exception_shower(before: Any) -> Any:
    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if _comes_from_library(error):
            _say(in_short(error))
        else:
            before(kind, error, trace)

    return show


def _thread_exception_shower(before: Any) -> Any:
    def show(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and _comes_from_library(args.exc_value):
            _say(in_short(args.exc_value))
        else:
            before(args)

    return show


def _say(text: str) -> None:
    # A service of Windows has no standard error.
    if sys.stderr is not None:
        sys.stderr.write(f"{text}\n")


def _withheld(library: str, kind: str, path: str, line: int) -> str:
    where = f"{os.path.basename(path)}:{line}"
    return f"{library}: {kind} at {where} (its text may quote a value and is withheld)"


def _root(name: str) -> str:
    return name.partition(".")[0]


def _speaker(frame: FrameType | None) -> str | None:
    """The library in whose code this is said; None where there is none."""
    while frame is not None:
        root = _root(str(frame.f_globals.get("__name__", "")))
        if root in LIBRARIES:
            return root
        frame = frame.f_back
    return None


def _comes_from_library(error: BaseException) -> bool:
    return any(
        _root(str(frame.f_globals.get("__name__", ""))) in LIBRARIES
        for one in _chain(error)
        for frame, _ in traceback.walk_tb(one.__traceback__)
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and those that would be shown with it."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, None if one.__suppress_context__ else one.__context__]
