"""Tokens of agents: made, looked up and revoked; what is stored cannot be used as one.

A token has 256 random bits, so that one round of SHA-256 is enough to keep it
(https://cheatsheetseries.owasp.org/cheatsheets/Cryptographic_Storage_Cheat_Sheet.html).
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from django.db.models import QuerySet

from gcp_side.labseg.host.database import now
from gcp_side.labseg.queue.rows import AgentToken
from segrelay import names
from segrelay.errors import FixConfigurationError

MARK = "sgr_"
"""How each token begins, so that one that leaked is found by a search."""

USE_NOTED_EVERY = timedelta(minutes=1)


def add_token(agent: str) -> str:
    """Make a token of an agent and return it; raises as :func:`new_token`."""
    return new_token(agent)[1]


def new_token(agent: str) -> tuple[AgentToken, str]:
    """Make a token of an agent; returns its row and the token, which cannot be shown again.

    Raises
    ------
    FixConfigurationError
        ``agent-id``: the text names no agent.
    """
    if not names.is_agent_id(agent):
        raise FixConfigurationError(
            f"{names.as_shown(agent)!r} names no agent: {names.why_no_agent_id(agent)}.",
            code="agent-id",
            remedy="Give the agent_id of the computer in the lab, as lab-agent status shows it.",
        )
    token = MARK + secrets.token_urlsafe(32)
    row = AgentToken.objects.create(agent=agent, digest=_digest(token), created_at=now())
    return row, token


def revoke_tokens(agent: str, *, but_newest: bool = False) -> int:
    """Revoke the tokens of an agent; returns how many were in use.

    Parameters
    ----------
    but_newest:
        Leave the newest one: the others were replaced by it.
    """
    valid = AgentToken.objects.filter(agent=agent, revoked_at=None)
    newest = valid.order_by("-created_at", "-pk").first() if but_newest else None
    if newest is not None:
        valid = valid.exclude(pk=newest.pk)
    return revoke(valid)


def revoke(rows: QuerySet[AgentToken]) -> int:
    """Revoke these tokens; returns how many were in use."""
    return rows.filter(revoked_at=None).update(revoked_at=now())


def agent_of(token: str) -> AgentToken | None:
    """Return the row of a token that is in use, and note that it was used."""
    if not token.startswith(MARK):
        return None
    row = AgentToken.objects.filter(digest=_digest(token), revoked_at=None).first()
    if row is None:
        return None
    at = now()
    if row.used_at is None or at - row.used_at >= USE_NOTED_EVERY:
        AgentToken.objects.filter(pk=row.pk).update(used_at=at)
    return row


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()
