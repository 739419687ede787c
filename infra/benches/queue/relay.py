"""SegRelay's queue as a contender: the calls that agent and site make, nothing left out.

``submit`` flushes file and folder. ``claim`` is one listing of ``v1/jobs/``, the rename into
the agent's folder, the read of the manifest and the look for a result. ``finish`` creates the
result (file and folder flushed) and renames the manifest into the archive.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from infra.benches.queue.contender import Contender
from infra.benches.queue.stores.access import read_access
from infra.benches.queue.stores.fill import fill
from segrelay import names
from segrelay.manifest import (
    JobManifest,
    Provenance,
    ResultManifest,
    ResultStatus,
    SegmentMeasurement,
    SegReference,
    SeriesInput,
)
from segrelay.names import JobName
from segrelay.queue import AgentQueue, Claim, SiteQueue, scan
from segrelay.queue.lease import new_nonce
from segrelay.queue.view import PendingJob
from segrelay.ulid import new_ulid

AGENT = "lab-1"


class Relay(Contender):
    """The queue at a place of ``access``; with ``one_look`` one listing serves for many claims."""

    def __init__(self, place: str, *, one_look: bool = False) -> None:
        access = read_access(place)
        self._bucket = access.agents_bucket()
        self._sites_bucket = access.sites_bucket() if access.token else self._bucket
        self._site = SiteQueue(self._sites_bucket)
        self._queue = AgentQueue(self._bucket, AGENT, now=now)
        self._one_look = one_look
        self._seen: list[PendingJob] = []
        self._in_hand: Claim | None = None
        # Made before, as the others' payloads are; each job gets its own id.
        self._manifest, self._result = make_manifest(), make_result(new_ulid())

    def submit(self) -> None:
        self._site.submit(self._manifest.model_copy(update={"job_id": new_ulid()}))

    def claim(self) -> None:
        if not self._seen:
            self._seen = list(reversed(scan(self._bucket).pending))
        job = self._seen.pop()
        if not self._one_look:
            self._seen.clear()
        claim = self._queue.claim(job)
        if claim is None or self._queue.open(claim) is None:
            raise RuntimeError("the job was taken by another")
        self._in_hand = claim

    def finish(self) -> None:
        if self._in_hand is None:
            raise RuntimeError("no job is in hand")
        result = self._result.model_copy(update={"job_id": self._in_hand.job_id})
        self._queue.finish(self._in_hand, result)
        self._in_hand = None

    def fill_history(self, count: int) -> None:
        """Archived manifests and results, written by the store's own bulk means."""
        fill(self._sites_bucket, ended_jobs(count))


def now() -> datetime:
    """This machine's time."""
    return datetime.now(UTC)


def make_manifest() -> JobManifest:
    """A new job of the demo profile."""
    return JobManifest(
        job_id=new_ulid(),
        profile="demo",
        submitted_at=now(),
        orthanc_study_id=_orthanc_id(99),
        series=tuple(
            SeriesInput(role=f"dce-{n}", orthanc_id=_orthanc_id(n), expected_instances=70)
            for n in range(4)
        ),
    )


def make_result(job_id: str) -> ResultManifest:
    """A result with a SEG."""
    return ResultManifest(
        job_id=job_id,
        status=ResultStatus.SUCCEEDED,
        author=AGENT,
        nonce=new_nonce(),
        attempt=1,
        finished_at=now(),
        seg=SegReference(
            orthanc_id=_orthanc_id(7),
            orthanc_series_id=_orthanc_id(8),
            sop_instance_uid="2.25.1",
            series_instance_uid="2.25.2",
            sha256="0" * 64,
            size_bytes=65944,
            frames=7,
        ),
        measurements=(SegmentMeasurement(number=1, label="Tumor", voxels=868, volume_ml=1.41),),
        provenance=Provenance(
            profile="demo",
            profile_version="1.0.0",
            model_sha256="0" * 64,
            device="cpu",
            versions={},
            stage_seconds={},
            series_instance_uids=("1.2.3",),
        ),
    )


def ended_jobs(count: int) -> Iterator[tuple[str, bytes]]:
    """Name and content of what ``count`` ended jobs leave: manifests in the archive, results."""
    manifest, result = make_manifest(), make_result(new_ulid())
    for _ in range(count):
        job_id = new_ulid()
        name = JobName(priority=manifest.priority, job_id=job_id, profile=manifest.profile, fence=1)
        yield name.done, manifest.model_copy(update={"job_id": job_id}).to_json()
        yield (
            names.result_object(job_id),
            result.model_copy(update={"job_id": job_id}).to_json(),
        )


def _orthanc_id(number: int) -> str:
    return "-".join([f"{number:08x}"] * 5)
