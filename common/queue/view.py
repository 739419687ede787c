"""One listing of the live queue, understood."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from common import names
from common.bucket import Bucket, ObjectInfo
from common.errors import ObjectNotFoundError
from common.json_reader import UnreadableJsonError
from common.names import JobName, parse_job_name
from common.queue.lease import Beat, read_beat_metadata

MOST_NAMED = 1000
"""Agents whose heartbeats were logged as unreadable: no list of names grows without end."""

_log = logging.getLogger("segrelay.queue")

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
class AgentBeat:
    """An agent's heartbeat as the store holds it."""

    agent: str
    beat: Beat
    updated: datetime
    """The store's clock."""


@dataclass(frozen=True, kw_only=True)
class QueueView:
    """The live queue at one moment; a job may have moved while it was listed."""

    pending: tuple[PendingJob, ...]
    """In the order of service."""
    claimed: tuple[ClaimedJob, ...]
    agents: Mapping[str, AgentBeat]
    misnamed: tuple[ObjectInfo, ...]
    """Objects in ``pending/`` whose name is not a job's."""


def scan(bucket: Bucket) -> QueueView:
    """List ``v1/jobs/`` once and read the heartbeats that the listing did not bring."""
    pending: list[PendingJob] = []
    claimed: list[ClaimedJob] = []
    misnamed: list[ObjectInfo] = []
    agents: dict[str, AgentBeat] = {}
    for info in bucket.list(names.JOBS):
        folder, _, file_name = info.name.rpartition("/")
        job = parse_job_name(file_name)
        if info.name.startswith(names.AGENTS):
            seen = read_beat(bucket, file_name.removesuffix(".json"), info)
            if seen is not None:
                agents[seen.agent] = seen
        elif folder + "/" == names.PENDING and job is not None:
            pending.append(PendingJob(name=job, info=info))
        elif info.name.startswith(names.PENDING):
            misnamed.append(info)
        elif info.name.startswith(names.CLAIMED) and job is not None:
            agent = folder.removeprefix(names.CLAIMED)
            claimed.append(ClaimedJob(name=job, agent=agent, info=info))
    return QueueView(
        pending=tuple(sorted(pending, key=lambda item: item.name)),
        claimed=tuple(claimed),
        agents=agents,
        misnamed=tuple(misnamed),
    )


def read_beat(bucket: Bucket, agent: str, info: ObjectInfo | None = None) -> AgentBeat | None:
    """An agent's heartbeat, from ``info`` if it carries one; None when there is none.

    One that cannot be read counts as none, and is logged once.
    """
    if info is None or info.metadata is None:
        try:
            info = bucket.beacon(names.agent_object(agent))
        except ObjectNotFoundError:
            return None
    try:
        beat = read_beat_metadata(info.metadata or {})
    except UnreadableJsonError as error:
        _name_once(agent, error)
        return None
    _named.discard(agent)
    return AgentBeat(agent=agent, beat=beat, updated=info.updated)


def _name_once(agent: str, error: UnreadableJsonError) -> None:
    if agent not in _named and len(_named) < MOST_NAMED:
        _named.add(agent)
        _log.warning(
            "The heartbeat of agent %.60r cannot be read and counts as none: it %s.", agent, error
        )
