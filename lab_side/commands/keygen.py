"""``lab-agent keygen``: a pair of keys, so that the other side knows who wrote what."""

from __future__ import annotations

import argparse
from typing import Any

from lab_side.commands.console import EXIT_OK, write
from lab_side.settings.secrets import SIGNING, keep_in_keyring
from segrelay.errors import FixConfigurationError
from segrelay.signing import SigningKey


def add_to(commands: Any) -> None:
    """Add the command to the parser of ``lab-agent``."""
    command = commands.add_parser("keygen", help="make a pair of keys for signing")
    command.add_argument(
        "--keyring",
        metavar="AGENT_ID",
        help="keep the secret half in this account's keyring for this agent, and do not show it",
    )
    command.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Make a pair; print the public half, and the secret one unless a keyring keeps it."""
    key = SigningKey.new()
    if options.keyring is None:
        write(f"{SIGNING.variable}={key.text}  # secret: keep it on this computer")
    elif keep_in_keyring(SIGNING.service, options.keyring, key.text):
        write(f"The secret key is in the keyring, as {SIGNING.service} {options.keyring}.")
    else:
        raise FixConfigurationError(
            "There is no keyring here that keeps a secret.",
            code="keyring-unusable",
            remedy="Run it without --keyring and keep the secret key yourself.",
        )
    write(f"public key: {key.public.text}")
    return EXIT_OK
