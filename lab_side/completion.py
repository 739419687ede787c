"""Completion in the shell: commands, options and names of profiles, by argcomplete.

It is switched on by ``eval "$(register-python-argcomplete lab-agent)"``; the shell then runs
``lab-agent`` itself with ``_ARGCOMPLETE`` set.
Source: https://kislyuk.github.io/argcomplete/
"""

# PYTHON_ARGCOMPLETE_OK
from __future__ import annotations

import argparse
import os
from typing import Any

from lab_side.settings.config import ModelsConfig
from lab_side.settings.loading import load_part
from segrelay.errors import SegRelayError


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell and end, where it is the shell that asks."""
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)


def complete_profiles(action: argparse.Action) -> None:
    """Let the names of profiles be offered for this argument."""
    action.completer = _profiles  # type: ignore[attr-defined]


def _profiles(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    try:
        return load_part(ModelsConfig, getattr(parsed_args, "config", None)).profile_names()
    except SegRelayError:
        return []
