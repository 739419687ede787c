"""The agent's token for a queue that the site keeps: asked for, tried and found again."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from lab_side.commands.setup.dialogue import ask_secret, read_line, say, show
from lab_side.commands.setup.questions import try_site
from lab_side.settings.secrets import FOLDER_VARIABLE, QUEUE_TOKEN, queue_token
from segrelay.bucket.address import SiteAddress, parse_address
from segrelay.errors import FixConfigurationError


def token_for(
    options: argparse.Namespace,
    earlier: Mapping[str, Any],
    address: str,
    agent: str,
    *,
    asks: bool,
) -> SecretStr | None:
    """Return the token that the site has taken; None where none is to be kept.

    Raises
    ------
    FixConfigurationError
        There is none, or the one on standard input is refused.
    """
    where = parse_address(address)
    if not isinstance(where, SiteAddress):
        return None
    stored, tried = _stored(earlier, agent), ""
    while True:
        token = _read(options, agent, stored, asks=asks)
        used = (token or stored).get_secret_value()
        if not asks or used == tried:
            return token
        tried = used
        problem = try_site(where.url, agent=agent, token=token or stored)
        if problem is None:
            say("  The site's queue answers, and lets this agent in.")
            return token
        show(problem)
        if options.queue_token_stdin:
            raise problem
        say("    Give the token again; the same one once more is kept as it is.")


def _stored(earlier: Mapping[str, Any], agent: str) -> SecretStr:
    """The token that an earlier run has kept; empty where there is none."""
    folder = earlier.get("credentials_dir")
    try:
        return SecretStr(queue_token(agent, {FOLDER_VARIABLE: str(folder)} if folder else {}))
    except FixConfigurationError:
        return SecretStr("")


def _read(
    options: argparse.Namespace, agent: str, stored: SecretStr, *, asks: bool
) -> SecretStr | None:
    """Return what is to be kept; None where the stored one stays."""
    has_stored = bool(stored.get_secret_value())
    if options.queue_token_stdin:
        token = read_line("The token")
    elif asks:
        token = ask_secret(f"Token of {agent}", "--queue-token-stdin", has_stored=has_stored)
    else:
        token = os.environ.get(QUEUE_TOKEN.variable, "")
    if token.strip():
        return SecretStr(token.strip())
    if has_stored:
        return None
    raise FixConfigurationError(
        f"There is no token of {agent} for the queue that the site keeps.",
        code="bucket-credentials",
        remedy="Have one made at the site (manage.py labseg agent-token add), and give it on a "
        f"terminal, with --queue-token-stdin, or in {QUEUE_TOKEN.variable}.",
    )
