"""One listing of the live queue, understood."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from segrelay import names
from segrelay.bucket import Bucket, ObjectInfo
from segrelay.errors import ObjectNotFoundError, ObjectRefusedError
from segrelay.names import JobName, parse_job_name
from segrelay.parsing.json_reader import UnreadableJsonError
from segrelay.queue.lease import Heartbeat, read_heartbeat_metadata
from segrelay.queue.unusable import UnusableObject

MOST_NAMED = 1000
"""Agents whose heartbeats were logged as unreadable: no list of names grows without end."""

logger = logging.getLogger("segrelay.queue")

_named: set[str] = set()


@dataclass(frozen=True, kw_only=True)
class PendingJob:
    """A job that waits."""

    name: JobName
    info: ObjectInfo


@dataclass(frozen=True, kw_only=True)
class ClaimedJob:
    """A job that an agent owns."""

    name: JobName
    agent: str
    info: ObjectInfo


@dataclass(frozen=True, kw_only=True)
class AgentHeartbeat:
    """An agent's heartbeat as the store holds it."""

    agent: str
    heartbeat: Heartbeat
    updated: datetime
    """The store's clock."""


@dataclass(frozen=True, kw_only=True)
class QueueView:
    """The live queue at one moment; a job may have moved while it was listed."""

    pending: tuple[PendingJob, ...]
    """In the order of service."""
    claimed: tuple[ClaimedJob, ...]
    agents: Mapping[str, AgentHeartbeat]
    misnamed: tuple[ObjectInfo, ...]
    """Objects in ``pending/`` whose name is not a job's."""
    unusable: tuple[UnusableObject, ...] = ()
    """Everything else that is in the live queue and cannot be used: it is passed over."""


def scan(bucket: Bucket) -> QueueView:
    """List ``v1/jobs/`` once and read the heartbeats that the listing did not bring."""
    found = _Found()
    for info in bucket.list(names.JOBS):
        why = info.problem or found.sort_in(bucket, info)
        if why:
            found.unusable.append(UnusableObject(name=info.name, why=why))
    return QueueView(
        pending=tuple(sorted(found.pending, key=lambda item: item.name)),
        claimed=tuple(found.claimed),
        agents=found.agents,
        misnamed=tuple(found.misnamed),
        unusable=tuple(found.unusable),
    )


@dataclass
class _Found:
    """A view that is being made."""

    pending: list[PendingJob] = field(default_factory=list)
    claimed: list[ClaimedJob] = field(default_factory=list)
    agents: dict[str, AgentHeartbeat] = field(default_factory=dict)
    misnamed: list[ObjectInfo] = field(default_factory=list)
    unusable: list[UnusableObject] = field(default_factory=list)

    def sort_in(self, bucket: Bucket, info: ObjectInfo) -> str:
        """Put an object where it belongs; why it belongs nowhere, else nothing."""
        if not names.is_usable(info.name):
            return "no store can address an object of this name"
        folder, _, file_name = info.name.rpartition("/")
        if info.name.startswith(names.AGENTS):
            return self._sort_in_heartbeat(bucket, info, file_name)
        if info.name.startswith(names.PROBE):
            return ""
        job = parse_job_name(file_name)
        if info.name.startswith(names.PENDING):
            is_direct = folder + "/" == names.PENDING
            if is_direct and job is not None and job.fence < names.MAX_FENCE:
                self.pending.append(PendingJob(name=job, info=info))
            else:
                self.misnamed.append(info)
            return ""
        if not info.name.startswith(names.CLAIMED) or job is None:
            return "it is neither a job nor a heartbeat"
        agent = folder.removeprefix(names.CLAIMED)
        self.claimed.append(ClaimedJob(name=job, agent=agent, info=info))
        return ""

    def _sort_in_heartbeat(self, bucket: Bucket, info: ObjectInfo, file_name: str) -> str:
        agent = file_name.removesuffix(".json")
        if info.name != names.agent_object(agent) or not names.is_agent_id(agent):
            return "it is not named as a heartbeat"
        try:
            seen = read_heartbeat(bucket, agent, info)
        except ObjectRefusedError as error:
            return error.message
        if seen is None:
            return "it is no heartbeat that can be believed"
        self.agents[agent] = seen
        return ""


def read_heartbeat(
    bucket: Bucket, agent: str, info: ObjectInfo | None = None
) -> AgentHeartbeat | None:
    """An agent's heartbeat, from ``info`` if it carries one; None when there is none.

    One that cannot be read counts as none, and is logged once.
    """
    if info is None or info.metadata is None:
        try:
            info = bucket.read_heartbeat(names.agent_object(agent))
        except ObjectNotFoundError:
            return None
    try:
        heartbeat = read_heartbeat_metadata(info.metadata or {})
    except UnreadableJsonError as error:
        _name_once(agent, error)
        return None
    _named.discard(agent)
    return AgentHeartbeat(agent=agent, heartbeat=heartbeat, updated=info.updated)


def _name_once(agent: str, error: UnreadableJsonError) -> None:
    if agent not in _named and len(_named) < MOST_NAMED:
        _named.add(agent)
        logger.warning("heartbeat of agent %.60r ignored: it %s", agent, error)
