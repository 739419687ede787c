"""The secret of the queue: a token for one that the site keeps, the password of a Redis.

It is asked for, tried where the queue is, and found again by a second run.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from lab_side.commands.setup.dialogue import ask_secret, read_line, say, show
from lab_side.commands.setup.trials import WRONG_SECRET, try_redis, try_site
from lab_side.settings.secrets import (
    FOLDER_VARIABLE,
    QUEUE_TOKEN,
    REDIS_PASSWORD,
    SecretPlaces,
    queue_token,
    redis_password,
)
from segrelay.bucket.address import RedisAddress, SiteAddress, parse_address
from segrelay.bucket.site import checked_token
from segrelay.errors import FixConfigurationError, SegRelayError


@dataclass(frozen=True, kw_only=True)
class QueuePlace:
    """The queue whose secret is needed."""

    address: str
    agent: str
    """The ``agent_id`` of this computer."""
    ca_file: Path | None
    """Certificates to trust for it instead of the public authorities."""


@dataclass(frozen=True, kw_only=True)
class QueueSecret:
    """A secret that is to be kept."""

    places: SecretPlaces
    kept_as: str
    """What it is, in the report of where it is kept."""
    value: SecretStr


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """What differs between token and password."""

    places: SecretPlaces
    kept_as: str
    asked_as: str
    option: str
    is_on_stdin: bool
    welcome: str
    stored: Callable[[str, Mapping[str, str]], str]
    trial: Callable[[SecretStr | None], SegRelayError | None]
    checked: Callable[[str], str]
    """Raises FixConfigurationError for what cannot be one, whatever the server would say."""
    missing: FixConfigurationError


def secret_for(
    options: argparse.Namespace,
    earlier: Mapping[str, Any],
    place: QueuePlace,
    *,
    asks: bool,
) -> QueueSecret | None:
    """Return the secret that the queue has taken; None where none is to be kept.

    Raises
    ------
    FixConfigurationError
        There is none, the one on standard input is refused, or it is the other kind of secret
        than this queue has.
    """
    where = parse_address(place.address)
    _check_kind(options, where)
    if isinstance(where, SiteAddress):
        return _secret_of(_token(options, place, where), earlier, place.agent, asks=asks)
    if isinstance(where, RedisAddress):
        kind = _password(options, place, where)
        is_given = kind.is_on_stdin or bool(os.environ.get(kind.places.variable))
        if not where.user and not is_given and not (asks and _wants_password(kind)):
            return None
        return _secret_of(kind, earlier, place.agent, asks=asks)
    return None


def _check_kind(options: argparse.Namespace, where: object) -> None:
    """Refuse a secret on standard input that this queue has no use for."""
    given = {
        "--queue-token-stdin": (options.queue_token_stdin, SiteAddress),
        "--queue-password-stdin": (options.queue_password_stdin, RedisAddress),
    }
    for option, (is_given, kind) in given.items():
        if is_given and not isinstance(where, kind):
            raise FixConfigurationError(
                f"{option} is for another kind of queue than this address names.",
                code="bucket-credentials",
                remedy="A queue that the site keeps has a token, a Redis a password; a bucket and "
                "a directory have neither.",
            )


def _token(options: argparse.Namespace, place: QueuePlace, where: SiteAddress) -> _Kind:
    agent = place.agent
    return _Kind(
        places=QUEUE_TOKEN,
        kept_as="The token of the queue",
        asked_as=f"Token of {agent}",
        option="--queue-token-stdin",
        is_on_stdin=options.queue_token_stdin,
        welcome="The site's queue answers, and lets this agent in.",
        stored=queue_token,
        checked=checked_token,
        trial=lambda token: try_site(where.url, agent=agent, token=token, ca_file=place.ca_file),
        missing=FixConfigurationError(
            f"There is no token of {agent} for the queue that the site keeps.",
            code="bucket-credentials",
            remedy="Have one made at the site (manage.py labseg agent-token add), and give it on a "
            f"terminal, with --queue-token-stdin, or in {QUEUE_TOKEN.variable}.",
        ),
    )


def _password(options: argparse.Namespace, place: QueuePlace, where: RedisAddress) -> _Kind:
    user = where.user or "default"
    return _Kind(
        places=REDIS_PASSWORD,
        kept_as="The password of the Redis",
        asked_as=f"Password of {user} at the Redis",
        option="--queue-password-stdin",
        is_on_stdin=options.queue_password_stdin,
        welcome="The Redis answers, and lets this user in.",
        stored=redis_password,
        checked=str,
        trial=lambda password: try_redis(where, password=password, ca_file=place.ca_file),
        missing=FixConfigurationError(
            f"There is no password of {user} for the Redis.",
            code="bucket-credentials",
            remedy="Give it on a terminal, with --queue-password-stdin, or in "
            f"{REDIS_PASSWORD.variable}.",
        ),
    )


def _wants_password(kind: _Kind) -> bool:
    """Return whether a Redis lets nobody in without a password."""
    problem = kind.trial(None)
    return problem is not None and problem.code in WRONG_SECRET


def _secret_of(
    kind: _Kind, earlier: Mapping[str, Any], agent: str, *, asks: bool
) -> QueueSecret | None:
    stored, tried = _stored(kind, earlier, agent), ""
    while True:
        value = _read(kind, stored, asks=asks)
        used = (value or stored).get_secret_value()
        if not asks:
            kind.checked(used)
            break
        if used == tried:
            break
        tried = used
        problem = kind.trial(value or stored)
        if problem is None:
            say(f"  {kind.welcome}")
            break
        show(problem)
        if kind.is_on_stdin:
            raise problem
        if problem.code not in WRONG_SECRET:
            # Another secret would change nothing.
            say("    The settings are written all the same; lab-agent doctor tries it again.")
            break
        say("    Give it again; the same one once more is kept as it is.")
    if value is None:
        return None
    return QueueSecret(places=kind.places, kept_as=kind.kept_as, value=value)


def _stored(kind: _Kind, earlier: Mapping[str, Any], agent: str) -> SecretStr:
    """The secret that an earlier run has kept; empty where there is none."""
    folder = earlier.get("credentials_dir")
    try:
        return SecretStr(kind.stored(agent, {FOLDER_VARIABLE: str(folder)} if folder else {}))
    except FixConfigurationError:
        return SecretStr("")


def _read(kind: _Kind, stored: SecretStr, *, asks: bool) -> SecretStr | None:
    """Return what is to be kept; None where the stored one stays."""
    has_stored = bool(stored.get_secret_value())
    if kind.is_on_stdin:
        text = read_line(kind.kept_as)
    elif asks:
        text = ask_secret(kind.asked_as, kind.option, has_stored=has_stored)
    else:
        text = os.environ.get(kind.places.variable, "")
    if kind.places is QUEUE_TOKEN:
        # Copied from a page, often with a blank; a password may end with one.
        text = text.strip()
    if text:
        return SecretStr(text)
    if has_stored:
        return None
    raise kind.missing
