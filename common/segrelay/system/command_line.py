"""Command lines that say what was probably meant: options, commands and other choices.

``argparse`` lists what there is; here a slip gets the nearest name as well, also where it hides
behind another complaint (``--seris-ids`` behind "--series-ids is required").
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from segrelay.system.nearest import did_you_mean

IS_EMPTY = "this is empty; is a variable not set?"


def some_text(text: str) -> str:
    """The type of an argument that is never empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError(IS_EMPTY)
    return text


class HelpfulParser(argparse.ArgumentParser):
    """An ``ArgumentParser`` that says what was probably meant; its sub-commands do so as well."""

    _words: Sequence[str] = ()
    """What was given to this parser; those of its sub-commands as well."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as ``argparse`` does; a sub-command itself refuses what it does not know."""
        self._words = sys.argv[1:] if args is None else [str(word) for word in args]
        parsed, rest = super().parse_known_args(args, namespace)
        if rest and not self._commands():
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return parsed, rest

    def error(self, message: str) -> NoReturn:
        """End with the usage, what is wrong, and what was probably meant."""
        slips = [self._unknown_option(word) for word in self._unknown_options()]
        if slips:
            message = "; ".join(slips)
        super().error(message)

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        # An empty text would be the folder in which the command was started.
        if action.type is Path and not arg_string.strip():
            raise argparse.ArgumentError(action, IS_EMPTY)
        return super()._get_value(action, arg_string)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        is_command = isinstance(action, argparse._SubParsersAction)
        what = "command" if is_command else "choice"
        hint = did_you_mean(str(value), known)
        raise argparse.ArgumentError(
            None if is_command else action,
            f"there is no {what} {value!r}{hint or ';'} there are: {', '.join(known)}",
        )

    def _unknown_option(self, word: str) -> str:
        return f"there is no option {word}{did_you_mean(word, self._long_options())}"

    def _unknown_options(self) -> Iterable[str]:
        """Long options that were given to this parser itself, and that it does not have."""
        commands = self._commands()
        for word in self._words:
            # What follows a command, or what was meant as one, is the command's.
            if word == "--" or (commands and not word.startswith("-")):
                return
            name = word.partition("=")[0]
            is_option = name.startswith("--") and " " not in name
            # A beginning of a name means the name, as argparse allows.
            if is_option and not any(known.startswith(name) for known in self._long_options()):
                yield name

    def _commands(self) -> set[str]:
        return {
            str(name)
            for action in self._actions
            if isinstance(action, argparse._SubParsersAction)
            for name in action.choices
        }

    def _long_options(self) -> list[str]:
        return [name for name in self._option_string_actions if name.startswith("--")]
