"""The name that was probably meant, where a name is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 80
"""Characters; no option, key or code has more, and comparing long texts takes long."""

_ALIKE = 0.6
"""Share of letters in common from which two names are a slip of each other (difflib's own)."""


def nearest(word: str, known: Iterable[str], *, alike: float = _ALIKE) -> str | None:
    """The known name that is most like ``word``; None where none is like it.

    Upper and lower case, hyphens and underscores make no difference. ``alike`` is the share of
    letters that they must have in common, 0 to 1.

    >>> nearest("poll-secconds", ["poll_seconds", "profiles_dir"])
    'poll_seconds'
    """
    if len(word) > _LONGEST:
        return None
    by_form = {_form(name): name for name in known}
    found = get_close_matches(_form(word), by_form, n=1, cutoff=alike)
    return by_form[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str], *, before: str = "; ") -> str:
    """``; did you mean NAME?``, or nothing where no known name is like ``word``."""
    found = nearest(word, known)
    return "" if found is None else f"{before}did you mean {found}?"


def _form(name: str) -> str:
    return name.casefold().replace("_", "-")
