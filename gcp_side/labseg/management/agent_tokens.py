"""``manage.py labseg agent-token add | list | revoke``: the agents' ways into the site's queue.

A token is printed once, when it is made: the database holds its digest alone.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser, OutputWrapper
from django.urls import NoReverseMatch

from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.host.addresses import queue_path
from gcp_side.labseg.management.console import aligned, time_in_words
from gcp_side.labseg.queue.access import own_bucket
from gcp_side.labseg.queue.rows import AgentToken
from gcp_side.labseg.queue.tokens import new_token, revoke_tokens
from segrelay import names
from segrelay.bucket.address import DATABASE

EXIT_REFUSED = 1

UNKNOWN_HOST = "https://THIS-SITE"
"""In an address, where no setting names the site's host."""

_COLUMNS = ("AGENT", "MADE (UTC)", "LAST USED (UTC)", "REVOKED (UTC)")

_NEVER = "-"


def add_arguments(parser: argparse.ArgumentParser, json_option: CommandParser) -> None:
    """Add the three actions to the verb's parser."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser(
        "add", help="make a token and print it: it cannot be shown again", parents=[json_option]
    )
    listed = actions.add_parser(
        "list", help="when tokens were made, used and revoked", parents=[json_option]
    )
    gone = actions.add_parser(
        "revoke", help="take the tokens of an agent out of use at once", parents=[json_option]
    )
    listed.add_argument("agent", nargs="?", type=_agent, metavar="NAME", help="of this agent alone")
    for one in (add, gone):
        one.add_argument(
            "agent", type=_agent, metavar="NAME", help="agent_id of the computer in the lab"
        )
    gone.add_argument(
        "--keep-newest",
        action="store_true",
        help="leave the newest one in use: the lab has changed to it",
    )


def run(options: dict[str, Any], *, out: OutputWrapper, notes: OutputWrapper) -> None:
    """Carry out the action; the answer is written to ``out``, what to do next to ``notes``.

    Raises
    ------
    CommandError
        ``revoke`` found no token in use.
    """
    {"add": _add, "list": _list, "revoke": _revoke}[options["action"]](options, out, notes)


def _add(options: dict[str, Any], out: OutputWrapper, notes: OutputWrapper) -> None:
    agent = options["agent"]
    others = AgentToken.objects.filter(agent=agent, revoked_at=None).count()
    _row, token = new_token(agent)
    address = agents_address()
    if options["json"]:
        _print_json({"agent": agent, "address": address, "token": token}, out)
    else:
        out.write(f"address  {address}\nagent    {agent}\ntoken    {token}")
        notes.write(
            "The token is not shown again. On the computer in the lab: lab-agent setup asks for "
            "address and token.",
            style_func=str,
        )
    if UNKNOWN_HOST in address:
        notes.write(
            f"In the address, put this site's own name in place of {UNKNOWN_HOST}.", style_func=str
        )
    if others:
        notes.write(
            f"{others} earlier of {agent} can be used as well; once the lab has the new one: "
            f"labseg agent-token revoke {agent} --keep-newest",
            style_func=str,
        )
    if own_bucket() is None:
        notes.write(
            f"The queue of this site is {get_conf().bucket}. For agents with a token, set "
            f'SEGRELAY["BUCKET"] to "{DATABASE}".',
            style_func=str,
        )


def _list(options: dict[str, Any], out: OutputWrapper, _notes: OutputWrapper) -> None:
    rows = AgentToken.objects.all()
    if options["agent"]:
        rows = rows.filter(agent=options["agent"])
    if options["json"]:
        _print_json(
            [
                {
                    "agent": row.agent,
                    "made": row.created_at.isoformat(),
                    "last_used": row.used_at and row.used_at.isoformat(),
                    "revoked": row.revoked_at and row.revoked_at.isoformat(),
                }
                for row in rows
            ],
            out,
        )
        return
    lines = [
        (
            row.agent,
            time_in_words(row.created_at),
            time_in_words(row.used_at) if row.used_at else _NEVER,
            time_in_words(row.revoked_at) if row.revoked_at else _NEVER,
        )
        for row in rows
    ]
    out.write(aligned(_COLUMNS, lines) if lines else "No tokens.")


def _revoke(options: dict[str, Any], out: OutputWrapper, _notes: OutputWrapper) -> None:
    agent = options["agent"]
    count = revoke_tokens(agent, but_newest=options["keep_newest"])
    if options["json"]:
        _print_json({"agent": agent, "revoked": count}, out)
    elif count:
        out.write(f"{count} {'token' if count == 1 else 'tokens'} of {agent} revoked")
    if not count:
        raise CommandError(
            f"No token of {agent} was to be revoked. Remedy: see labseg agent-token list.",
            returncode=EXIT_REFUSED,
        )


def agents_address() -> str:
    """The address that agents use, as far as this site's settings name it."""
    try:
        return f"{_origin()}{queue_path()}"
    except NoReverseMatch:
        return f"{UNKNOWN_HOST}/…/segmentation/queue"


def _origin() -> str:
    for origin in settings.CSRF_TRUSTED_ORIGINS:
        if origin.startswith("https://") and "*" not in origin:
            return str(origin).rstrip("/")
    for host in settings.ALLOWED_HOSTS:
        if host and not host.startswith((".", "*")) and host not in ("localhost", "127.0.0.1"):
            return f"https://{host}"
    return UNKNOWN_HOST


def _agent(text: str) -> str:
    if not names.is_agent_id(text):
        raise argparse.ArgumentTypeError(
            f"{names.as_shown(text)!r} names no agent: {names.why_no_agent_id(text)}"
        )
    return text


def _print_json(document: Any, out: OutputWrapper) -> None:
    out.write(json.dumps(document, ensure_ascii=False))
