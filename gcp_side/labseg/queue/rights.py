"""What an agent may do in the queue that the site keeps.

The same as the roles and conditions of ``infra/gcs`` allow in a bucket, and less: an agent
neither writes nor deletes another agent's heartbeat, and claims for no other agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from segrelay import names


class Right(StrEnum):
    """A permission on one object."""

    READ = "read"
    CREATE = "create"
    MOVE = "move"
    """Away from where it is."""
    DELETE = "delete"
    """Also to write over it."""
    UPDATE = "update"


_ALLOWED: Mapping[Right, tuple[str, ...]] = {
    Right.READ: (f"{names.VERSION}/",),
    Right.CREATE: (
        names.PENDING,
        names.CLAIMED,
        names.AGENTS,
        names.PROBE,
        names.ATTEMPTS,
        names.PROGRESS,
        names.RESULTS,
        names.DONE,
        names.FAILED,
        names.REJECTED,
    ),
    Right.MOVE: (names.PENDING, names.CLAIMED, names.PROBE, names.REJECTED),
    Right.DELETE: (
        names.PENDING,
        names.CLAIMED,
        names.AGENTS,
        names.PROBE,
        names.PROGRESS,
        names.REJECTED,
    ),
    Right.UPDATE: (names.AGENTS, names.PROBE),
}


def why_not_allowed(agent: str, right: Right, name: str) -> str:
    """Return why an agent may not do this with an object; empty where it may.

    Parameters
    ----------
    agent:
        The agent whose token it is.
    right:
        What it wants to do.
    name:
        The object; of a listing its prefix.
    """
    if not any(name.startswith(prefix) for prefix in _ALLOWED[right]):
        return f"agents do not {right} {names.as_shown(name)}"
    own_claims = f"{names.CLAIMED}{agent}/"
    if right is Right.CREATE and name.startswith(names.CLAIMED) and not name.startswith(own_claims):
        return f"the token is of {agent}, and claims for no other agent"
    changes_heartbeat = right is not Right.READ and name.startswith(names.AGENTS)
    if changes_heartbeat and name != names.agent_object(agent):
        return f"the token is of {agent}, and changes no other agent's heartbeat"
    return ""
