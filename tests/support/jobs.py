"""Manifests, results and identities for tests."""

from __future__ import annotations

from datetime import UTC, datetime

from segrelay.manifest import (
    JobManifest,
    Provenance,
    ResultManifest,
    ResultStatus,
    SegmentMeasurement,
    SegReference,
    SeriesInput,
    schema_for,
)
from segrelay.queue import Identity
from segrelay.queue.lease import new_nonce
from segrelay.ulid import new_ulid

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ROLES = ("dce-0", "dce-1", "dce-2", "dce-3")
PROVENANCE = Provenance(
    profile="demo",
    profile_version="1.0.0",
    model_sha256="0" * 64,
    device="cpu",
    versions={},
    stage_seconds={},
    series_instance_uids=("1.2.3",),
)


def orthanc_id(number: int) -> str:
    """A valid Orthanc id that is easy to recognise."""
    return "-".join([f"{number:08x}"] * 5)


def make_manifest(job_id: str | None = None, **changes: object) -> JobManifest:
    """A valid manifest for the demo profile."""
    fields: dict[str, object] = {
        "schema_version": schema_for(
            tuple(changes.get("labels", ())),  # type: ignore[arg-type]
            tuple(changes.get("confirmed", ())),  # type: ignore[arg-type]
        ),
        "job_id": job_id or new_ulid(),
        "profile": "demo",
        "submitted_at": NOW,
        "orthanc_study_id": orthanc_id(99),
        "series": tuple(
            SeriesInput(role=role, orthanc_id=orthanc_id(n)) for n, role in enumerate(ROLES)
        ),
    }
    return JobManifest.model_validate({**fields, **changes})


def make_result(job_id: str, agent: str = "lab-1", attempt: int = 1) -> ResultManifest:
    """A succeeded result."""
    return ResultManifest(
        job_id=job_id,
        status=ResultStatus.SUCCEEDED,
        author=agent,
        nonce=new_nonce(),
        attempt=attempt,
        finished_at=NOW,
        seg=SegReference(
            orthanc_id=orthanc_id(7),
            orthanc_series_id=orthanc_id(8),
            sop_instance_uid="2.25.1",
            series_instance_uid="2.25.2",
            sha256="0" * 64,
            size_bytes=1000,
            frames=3,
        ),
        measurements=(SegmentMeasurement(number=1, label="Tumor", voxels=10, volume_ml=0.1),),
        provenance=PROVENANCE,
    )


def make_identity(host: str = "host-a", pid: int = 1) -> Identity:
    """A process that exists only in a test."""
    return Identity(instance=new_nonce(), host=host, pid=pid, pid_started=0.0)
