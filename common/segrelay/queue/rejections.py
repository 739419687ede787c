"""Manifests that were set aside: what lies in ``rejected/``, understood."""

from __future__ import annotations

from dataclasses import dataclass

from segrelay import names
from segrelay.bucket import Bucket, ObjectInfo
from segrelay.errors import ManifestRejectedError, ObjectNotFoundError
from segrelay.manifest import MANIFEST_BYTES_LIMIT, MANIFEST_LIMITS, Rejection
from segrelay.names import JobName, parse_job_name
from segrelay.parsing.documents import read_document
from segrelay.parsing.json_reader import UnreadableJsonError

_REASON = names.reason_object("")
"""How the names of reasons end: such an object is not a manifest, even if one is missing."""


@dataclass(frozen=True, kw_only=True)
class RejectedJob:
    """A manifest in ``rejected/``."""

    info: ObjectInfo
    name: JobName | None
    """Its fence is 0, because archives do not say it; None where the name is not a job's."""
    reason: ObjectInfo | None
    """The object with the reason, where there is one."""


def list_rejected(bucket: Bucket, prefix: str = "") -> list[RejectedJob]:
    """Every rejected manifest whose file name starts with ``prefix``, by name."""
    listed = bucket.list(names.REJECTED + prefix)
    found = {info.name: info for info in listed if not info.problem}
    return [
        RejectedJob(
            info=info,
            name=_parse(name.removeprefix(names.REJECTED)),
            reason=found.get(names.reason_object(name)),
        )
        for name, info in found.items()
        if not name.endswith(_REASON)
    ]


def read_rejection(bucket: Bucket, job: RejectedJob) -> Rejection | None:
    """Why a manifest was set aside; None where nothing readable says it."""
    if job.reason is None:
        return None
    try:
        data = bucket.read(job.reason.name, limit=MANIFEST_BYTES_LIMIT)
        return read_document(Rejection, data, MANIFEST_LIMITS)
    except (ObjectNotFoundError, UnreadableJsonError, ManifestRejectedError):
        return None


def _parse(file_name: str) -> JobName | None:
    return parse_job_name(f"{file_name.removesuffix('.json')}~0.json")
