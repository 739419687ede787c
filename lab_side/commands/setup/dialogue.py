"""Questions on a terminal: each answer is judged at once, and asked for again where it is wrong."""

from __future__ import annotations

import getpass
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segrelay.errors import FixConfigurationError, SegRelayError
from segrelay.parsing.text_files import UnreadableTextError, decode_text

Found = Mapping[str, Any]
"""The answers so far, judged, by key."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question of the set-up."""

    key: str
    text: str
    option: str
    """The option that answers it."""
    judge: Callable[[str], Any]
    """From what was typed to the answer; raises FixConfigurationError where it is wrong."""
    default: str | None = None
    """Of an empty answer: None where there is none."""
    applies: Callable[[Found], bool] = lambda _: True
    """Whether it is asked at all."""
    trial: Callable[[Any], SegRelayError | None] = lambda _: None
    """Really tries the answer, on a terminal alone; what it finds can be overruled."""


def is_on_terminal() -> bool:
    """Return whether standard input is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


def answers_of(
    questions: Sequence[Question], given: Mapping[str, str | None], *, asks: bool
) -> dict[str, Any]:
    """Return every answer: what is given is judged first, then the rest is asked for.

    Parameters
    ----------
    given:
        Of options, by key; None where there is none.
    asks:
        Whether questions can be asked; else defaults count.

    Raises
    ------
    FixConfigurationError
        What is given is wrong; ``setup-incomplete``: an answer is missing.
    """
    found: dict[str, Any] = {}
    for question in questions:
        text = given.get(question.key)
        if text is not None:
            found[question.key] = question.judge(text)
    for question in questions:
        if question.key not in found and question.applies(found):
            found[question.key] = _ask(question) if asks else _default(question)
    return found


def ask_secret(what: str, option: str, *, has_stored: bool) -> str:
    """Ask for a secret without echo; empty keeps the stored one.

    Parameters
    ----------
    what:
        The secret, as ``Password of lab``.
    option:
        The option that reads it from standard input.

    Raises
    ------
    FixConfigurationError
        ``setup-incomplete``: the terminal closed, or would show what is typed.
    """
    kept = "; empty keeps the stored one" if has_stored else ""
    try:
        with warnings.catch_warnings():
            # Where it cannot be hidden, getpass would warn and show it.
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(f"{what} (not shown{kept}): ")
    except (EOFError, getpass.GetPassWarning):
        raise _missing(what, option) from None


def read_line(what: str) -> str:
    """Read the next line of standard input, whatever the terminal's code page is.

    Raises
    ------
    FixConfigurationError
        ``secret-file-unreadable``: it is no UTF-8; ``what`` it is begins the sentence.
    """
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None:
        return sys.stdin.readline().rstrip("\r\n")
    try:
        return decode_text(stream.readline()).rstrip("\r\n")
    except UnreadableTextError as error:
        raise FixConfigurationError(
            f"{what} on standard input {error}.",
            code="secret-file-unreadable",
            remedy="Send it as UTF-8, or type it on a terminal.",
        ) from None


def ask_user(user: str) -> str:
    """Ask for the user once more; an empty answer keeps it.

    Raises
    ------
    FixConfigurationError
        ``setup-incomplete``: the terminal closed.
    """
    try:
        return input(f"Orthanc's user [{user}]: ").strip() or user
    except EOFError:
        raise _missing("Orthanc's user", "--orthanc-user") from None


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def show(problem: SegRelayError) -> None:
    """Print why an answer is not taken, and what to do."""
    say(f"  ! {problem.message}\n    {problem.remedy}")


def _ask(question: Question) -> Any:
    default, kept = question.default, None
    while True:
        shown = f" [{default}]" if default else ""
        try:
            text = input(f"{question.text}{shown}: ").strip() or default
        except EOFError:
            raise _missing(question.text, question.option) from None
        if text is None:
            say("  ! An answer is needed here. Ctrl-C ends the set-up, and nothing is written.")
            continue
        try:
            answer = question.judge(text)
        except SegRelayError as error:
            show(error)
            continue
        problem = None if text == kept else question.trial(answer)
        if problem is None:
            return answer
        show(problem)
        say("    Type another one, or keep it with Enter.")
        default = kept = text


def _default(question: Question) -> Any:
    if question.default is None:
        raise _missing(question.text, question.option)
    return question.judge(question.default)


def _missing(what: str, option: str) -> FixConfigurationError:
    return FixConfigurationError(
        f"An answer is missing: {what}. Nothing was written.",
        code="setup-incomplete",
        remedy=f"Give {option}, or run lab-agent setup on a terminal.",
    )
