"""A row as the queue holds it: the manifest of a job and its object's name."""

from __future__ import annotations

from datetime import UTC

from gcp_side.labseg.models import Job
from segrelay.manifest import JobManifest, SeriesInput, schema_for
from segrelay.names import JobName


def manifest_of(job: Job) -> JobManifest:
    """The manifest of a job: the same bytes whenever it is made.

    Raises
    ------
    pydantic.ValidationError
        A column holds what no manifest may hold.
    """
    return JobManifest(
        schema_version=schema_for(
            job.labels, job.confirmed, has_parts=any("part" in item for item in job.series)
        ),
        labels=tuple(job.labels),
        confirmed=tuple(dict.fromkeys(item["code"] for item in job.confirmed)),
        job_id=job.job_id,
        profile=job.profile,
        priority=job.priority,
        submitted_at=job.submitted_at.astimezone(UTC),
        orthanc_study_id=job.orthanc_study_id,
        series=tuple(
            SeriesInput(
                role=item["role"],
                orthanc_id=item["orthanc_id"],
                expected_instances=item["expected_instances"],
                part=item.get("part"),
            )
            for item in job.series
        ),
        max_attempts=job.max_attempts,
        retry_of=job.retry_of_id,
    )


def name_of(job: Job) -> JobName:
    """The name under which a job is published."""
    return JobName(priority=job.priority, job_id=job.job_id, profile=job.profile, fence=0)
