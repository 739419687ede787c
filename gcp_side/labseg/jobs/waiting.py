"""Why a job waits: which of the living agents could run it, and what keeps those from it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext, gettext_noop, ngettext

from gcp_side.labseg.jobs.agents import Lab, LabAgent, snapshot
from gcp_side.labseg.messages import explain_notice
from gcp_side.labseg.models import Job, State
from segrelay.errors import TransientError
from segrelay.queue import AgentState

logger = logging.getLogger(__name__)

_ = gettext_noop

_NOT_CLAIMING: dict[str, str] = {
    AgentState.STARTING: _("%(agent)s is starting"),
    AgentState.WAITING: _("%(agent)s claims nothing for now"),
    AgentState.PAUSED: _("%(agent)s has paused"),
    AgentState.DRAINING: _("%(agent)s is being stopped"),
}
"""By the state of an agent's heartbeat; in any other it takes jobs."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Why a job waits."""

    kind: str
    """``no-queue``, ``no-agent``, ``no-profile``, ``no-labels``, ``not-claiming``, or
    ``in-line``: then an agent takes such jobs, and it will come to this one."""
    text: str
    """In the active language, a part of a sentence."""
    since: datetime | None = None
    """``no-agent``: when one sent its last heartbeat, by the store's clock; None if none did."""


def why_waiting(job: Job) -> Waiting | None:
    """Why a job waits, as the lab's heartbeats show; None where it does not wait.

    Raises
    ------
    FixConfigurationError
        The queue cannot be used as it is set up.
    """
    if job.state not in (State.SUBMITTING, State.PENDING):
        return None
    try:
        return _why(job, snapshot())
    except TransientError as error:
        logger.warning("job %s: heartbeats not read: %s", job.pk, error.message)
        return Waiting(kind="no-queue", text=gettext("the queue does not answer"))


def _why(job: Job, lab: Lab) -> Waiting:
    if not lab.online:
        return _nobody(lab)
    with_profile = [agent for agent in lab.online if agent.may_have(job.profile)]
    if not with_profile:
        text = gettext("no agent online has the profile %(profile)s")
        return Waiting(kind="no-profile", text=text % {"profile": job.profile})
    able = [agent for agent in with_profile if set(job.labels) <= set(agent.heartbeat.labels)]
    if not able:
        text = gettext("no agent online has this profile and the labels %(labels)s")
        return Waiting(kind="no-labels", text=text % {"labels": ", ".join(job.labels)})
    ready = [agent for agent in able if agent.heartbeat.state not in _NOT_CLAIMING]
    if not ready:
        return Waiting(kind="not-claiming", text="; ".join(map(_excuse, able)))
    text = ngettext("%(count)s agent online", "%(count)s agents online", len(ready))
    return Waiting(kind="in-line", text=text % {"count": len(ready)})


def _nobody(lab: Lab) -> Waiting:
    if lab.last_seen is None:
        return Waiting(kind="no-agent", text=gettext("no agent has ever been online"))
    text = gettext("no agent online since %(time)s") % {
        "time": f"{lab.last_seen:%Y-%m-%d %H:%M} UTC"
    }
    return Waiting(kind="no-agent", text=text, since=lab.last_seen)


def _excuse(agent: LabAgent) -> str:
    text = gettext(_NOT_CLAIMING[agent.heartbeat.state]) % {"agent": agent.name}
    heartbeat = agent.heartbeat
    if not heartbeat.reason:
        return text
    return f"{text} ({explain_notice(heartbeat.reason, heartbeat.notice)})"
