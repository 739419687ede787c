"""Reading settings from the environment, with errors that name the variable."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from segrelay.parsing.text_files import SAVE_AS_UTF_8, UnreadableTextError, read_text

_FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def text(name: str, default: str = "") -> str:
    """A variable without surrounding blanks."""
    return os.environ.get(name, default).strip()


def words(name: str) -> list[str]:
    """A list, separated by commas."""
    return [word.strip() for word in text(name).split(",") if word.strip()]


def flag(name: str, *, default: bool) -> bool:
    """``1``, ``true``, ``yes`` or ``0``, ``false``, ``no``.

    Raises
    ------
    ImproperlyConfigured
        It is something else.
    """
    value = text(name).lower()
    if not value:
        return default
    if value not in _FLAGS:
        raise ImproperlyConfigured(f"{name} is not a yes or no. Set it to 1 or 0.")
    return _FLAGS[value]


def secret(name: str) -> str:
    """A variable, or the content of the file that ``<name>_FILE`` names.

    Raises
    ------
    ImproperlyConfigured
        The file cannot be read.
    """
    file = text(f"{name}_FILE")
    if not file:
        return text(name)
    try:
        return read_text(Path(file)).strip()
    except UnreadableTextError as error:
        raise ImproperlyConfigured(
            f"The file that {name}_FILE names {error}. {SAVE_AS_UTF_8}"
        ) from None
    except OSError as error:
        raise ImproperlyConfigured(
            f"{name}_FILE names a file that cannot be read ({error.strerror}). "
            "Correct the path or its permissions."
        ) from None


def renewed_secret(name: str) -> str | Callable[[], str]:
    """As :func:`secret`; where a file holds it, a function that reads the file again.

    A bearer token may live for an hour, and a timer renews its file. While the file is being
    replaced, the function returns what it last read.

    Raises
    ------
    ImproperlyConfigured
        The file cannot be read at start.
    """
    last = [secret(name)]
    if not text(f"{name}_FILE"):
        return last[0]

    def read() -> str:
        with contextlib.suppress(ImproperlyConfigured):
            last[0] = secret(name)
        return last[0]

    return read


def required_secret(name: str, remedy: str, default: str = "") -> str:
    """As :func:`secret`, or an error that names the variable.

    Raises
    ------
    ImproperlyConfigured
        It is empty, and so is the default; or its file cannot be read.
    """
    value = secret(name) or default
    if not value:
        raise ImproperlyConfigured(f"{name} is not set. {remedy}")
    return value
