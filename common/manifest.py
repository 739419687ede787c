"""The JSON documents that travel through the bucket.

====================  ==========================================  =====================
document              object                                      written by
====================  ==========================================  =====================
:class:`JobManifest`  ``jobs/pending/…`` and wherever it moves     the hospital site
:class:`AttemptRecord`  ``attempts/<job>/<n>.json``                agent or reaper
:class:`Rejection`    ``rejected/….reason.json``                   agent
:class:`ResultManifest` ``results/<job>.json``                     agent, or canceller
====================  ==========================================  =====================

None of them may hold a host, a path, a credential or a patient's identity: manifests name
Orthanc ids and options only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from datetime import datetime, timezone
from enum import Enum
from typing import Annotated, Any

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from common.errors import ManifestRejectedError, TransientError
from common.profiles import PROFILE_NAME, Profile
from common.ulid import ULID_PATTERN

SCHEMA_VERSION = "1.0"
"""major.minor: a reader refuses another major and ignores nothing within its own."""

LABELS_SCHEMA = "1.1"
"""What a document with ``labels`` says."""

CONFIRMED_SCHEMA = "1.2"
"""What a job says whose input a person confirmed although it contradicts the profile."""

NEWEST_SCHEMA = CONFIRMED_SCHEMA
"""The newest that this program reads."""

MANIFEST_BYTES_LIMIT = 64 * 1024
"""A manifest is a few hundred bytes; anything near this is not one."""

RESULT_BYTES_LIMIT = 1024 * 1024
"""Results carry measurements and provenance: some kilobytes."""

_ORTHANC_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")

OrthancId = Annotated[str, Field(pattern=rf"^{_ORTHANC_ID.pattern}$")]
"""Orthanc's id of a study, series or instance: five groups of eight hexadecimal digits."""

JobId = Annotated[str, Field(pattern=rf"^{ULID_PATTERN}$")]
Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=64)]
Role = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=32)]
Label = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=32)]
"""What an agent is or has: ``site-a``, ``gpu-24gb``. A person gives it its meaning."""

Labels = Annotated[tuple[Label, ...], Field(max_length=16)]
Uid = Annotated[str, Field(pattern=r"^[0-9.]+$", max_length=64)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def schema_for(labels: Collection[str], confirmed: Collection[str] = ()) -> str:
    """The version of a document with these labels and confirmed contradictions.

    The oldest that says it all: an older agent goes on reading jobs that have neither.
    """
    if confirmed:
        return CONFIRMED_SCHEMA
    return LABELS_SCHEMA if labels else SCHEMA_VERSION


def is_orthanc_id(text: str) -> bool:
    """Whether ``text`` has the form of an Orthanc id."""
    return _ORTHANC_ID.fullmatch(text) is not None


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def to_json(self) -> bytes:
        """The document as UTF-8 JSON, fields in order, ready for the bucket."""
        return self.model_dump_json(indent=1).encode()


class _LabelledDocument(_Document):
    """One that an agent of the first schema reads as before, as long as it asks for no labels."""

    schema_version: str = SCHEMA_VERSION
    labels: Labels = ()

    @model_validator(mode="after")
    def _labels_have_their_schema(self) -> _LabelledDocument:
        if self.labels and self.schema_version == SCHEMA_VERSION:
            raise ValueError(f"labels need schema_version {LABELS_SCHEMA}")
        return self

    def _later_fields(self) -> set[str]:
        """Fields of a newer schema that this document does not use: they are not written."""
        return set() if self.labels else {"labels"}

    def to_json(self) -> bytes:
        return self.model_dump_json(indent=1, exclude=self._later_fields()).encode()


class SeriesInput(_Document):
    """One input series of a job."""

    role: Role
    """Which of the profile's inputs this series is."""
    orthanc_id: OrthancId
    expected_instances: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """How many instances the site saw when it submitted; a shorter series is refused."""


class JobManifest(_LabelledDocument):
    """A job: segment these series with this profile, on an agent that has all ``labels``."""

    job_id: JobId
    profile: Annotated[str, Field(pattern=rf"^{PROFILE_NAME.pattern}$", max_length=48)]
    priority: Annotated[int, Field(ge=0, le=9)] = 5
    """0 is served first."""
    submitted_at: AwareDatetime
    """The site's clock, UTC; also the date and time that the SEG carries."""
    orthanc_study_id: OrthancId
    series: Annotated[tuple[SeriesInput, ...], Field(min_length=1, max_length=16)]
    max_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    retry_of: JobId | None = None
    """The job that this one repeats."""
    confirmed: Annotated[tuple[Code, ...], Field(max_length=16)] = ()
    """In what the input contradicts the profile, as codes; a person has confirmed it."""

    def _later_fields(self) -> set[str]:
        return super()._later_fields() | (set() if self.confirmed else {"confirmed"})

    @model_validator(mode="after")
    def _confirmed_has_its_schema(self) -> JobManifest:
        if self.confirmed and self.schema_version in (SCHEMA_VERSION, LABELS_SCHEMA):
            raise ValueError(f"confirmed needs schema_version {CONFIRMED_SCHEMA}")
        return self

    @field_validator("series")
    @classmethod
    def _no_series_twice(cls, value: tuple[SeriesInput, ...]) -> tuple[SeriesInput, ...]:
        for what, items in (
            ("series", [item.orthanc_id for item in value]),
            ("role", [item.role for item in value]),
        ):
            if len(set(items)) != len(items):
                raise ValueError(f"the same {what} is named twice")
        return value


class AttemptOutcome(str, Enum):
    """How an attempt ended."""

    HANDED_BACK = "handed-back"
    """The agent gave the job back unharmed: draining, paused, Orthanc away. Never counts."""
    FAILED = "failed"
    """The agent saw the attempt fail. Counts once work had started."""
    LOST = "lost"
    """The owner died or fell silent; whoever noticed wrote this. Counts once started."""


class AttemptRecord(_LabelledDocument):
    """How attempt ``attempt`` of a job ended; ``labels`` are those that the job asks for.

    An agent reads the last record before it claims: so that one without these labels learns it
    once, from whoever opened the manifest before.
    """

    job_id: JobId
    attempt: Annotated[int, Field(ge=1)]
    agent: str
    outcome: AttemptOutcome
    code: Code
    reason: Annotated[str, Field(max_length=2000)]
    started: bool
    """Whether the GPU worker had been given the job."""
    recorded_at: AwareDatetime
    """The store's clock."""
    not_before: AwareDatetime | None = None
    """The store's clock: no claim before this."""

    @property
    def counts(self) -> bool:
        """Whether this attempt counts towards ``max_attempts``."""
        return self.started and self.outcome is not AttemptOutcome.HANDED_BACK


class Rejection(_Document):
    """Why a manifest was set aside, for the site to read."""

    schema_version: str = SCHEMA_VERSION
    code: Code
    reason: Annotated[str, Field(max_length=2000)]
    remedy: Annotated[str, Field(max_length=2000)]
    agent: str
    rejected_at: AwareDatetime


class SegReference(_Document):
    """The SEG instance that Orthanc confirmed."""

    orthanc_id: OrthancId
    orthanc_series_id: OrthancId
    sop_instance_uid: Uid
    series_instance_uid: Uid
    sha256: Sha256
    """Of the bytes that Orthanc holds."""
    size_bytes: Annotated[int, Field(ge=1)]
    frames: Annotated[int, Field(ge=1)]


class ReportReference(_Document):
    """The measurement report (SR) that Orthanc confirmed."""

    orthanc_id: OrthancId
    sop_instance_uid: Uid
    series_instance_uid: Uid
    sha256: Sha256
    """Of the bytes that Orthanc holds."""
    size_bytes: Annotated[int, Field(ge=1)]


class SegmentMeasurement(_Document):
    """What one segment measures on the source grid."""

    number: Annotated[int, Field(ge=1)]
    label: str
    voxels: Annotated[int, Field(ge=0)]
    volume_ml: Annotated[float, Field(ge=0)]
    longest_diameter_mm: Annotated[float, Field(ge=0)] | None = None
    """Greatest distance between two voxel centres of the segment; None when empty."""


class RegistrationRecord(_Document):
    """How one input series was moved onto the reference series, or why it was not."""

    role: Role
    kept: bool
    """Whether the motion was used; if not, the series lies where its headers put it."""
    information_before: float
    """Mutual information with the reference series, in nats."""
    information_after: float
    """The same with the motion."""
    turn_degrees: Annotated[float, Field(ge=0)]
    shift_mm: Annotated[float, Field(ge=0)]
    """Of the middle of the reference series."""
    motion: Annotated[tuple[float, ...], Field(min_length=16, max_length=16)]
    """4 by 4, row by row: LPS millimetres by the headers to LPS millimetres on the reference."""


class Provenance(_Document):
    """How the result came to be."""

    profile: str
    profile_version: str
    model_sha256: Sha256
    device: str
    versions: dict[str, str]
    """Package name to version."""
    stage_seconds: dict[str, float]
    series_instance_uids: tuple[Uid, ...]
    """The input series, in channel order."""
    registrations: tuple[RegistrationRecord, ...] = ()
    """Of each series but the reference, where the profile asks for registration."""
    flips: tuple[tuple[int, ...], ...] = ()
    """Sets of the network's axes along which each window was mirrored and computed once more."""


class Failure(_Document):
    """Why a job failed for good."""

    code: Code
    reason: Annotated[str, Field(max_length=4000)]
    remedy: Annotated[str, Field(max_length=2000)]


class ResultStatus(str, Enum):
    """The only three ends of a job."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ResultManifest(_Document):
    """The one result of a job; its creation is the commit point."""

    schema_version: str = SCHEMA_VERSION
    job_id: JobId
    status: ResultStatus
    author: str
    """The agent id, or ``site`` for a cancellation from there."""
    nonce: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    """Random: tells one's own write from another's when an answer was lost."""
    attempt: Annotated[int, Field(ge=0)]
    finished_at: AwareDatetime
    seg: SegReference | None = None
    report: ReportReference | None = None
    """The measurements as a DICOM SR that refers to the SEG; None where there is none."""
    measurements: tuple[SegmentMeasurement, ...] = ()
    provenance: Provenance | None = None
    warnings: tuple[str, ...] = ()
    failure: Failure | None = None

    @model_validator(mode="after")
    def _status_has_its_parts(self) -> ResultManifest:
        if self.status is ResultStatus.SUCCEEDED and (self.seg is None or self.provenance is None):
            raise ValueError("a succeeded result needs seg and provenance")
        if self.status is ResultStatus.FAILED and self.failure is None:
            raise ValueError("a failed result needs its failure")
        if self.status is not ResultStatus.SUCCEEDED and self.seg is not None:
            raise ValueError("only a succeeded result names a SEG")
        if self.report is not None and self.seg is None:
            raise ValueError("a report belongs to a SEG")
        return self

    def to_json(self) -> bytes:
        """Without report, registrations and flips where there are none: they came later, and an
        older site reads the rest."""
        unused: dict[str, Any] = {}
        if self.report is None:
            unused["report"] = True
        if self.provenance is not None:
            later = {"registrations": self.provenance.registrations, "flips": self.provenance.flips}
            unused["provenance"] = {name for name, value in later.items() if not value}
        return self.model_dump_json(indent=1, exclude=unused).encode()

    @property
    def tumour_found(self) -> bool:
        """Whether any segment has a voxel."""
        return any(item.voxels for item in self.measurements)


class JobDocument(_Document):
    """Only the version of a document, to tell 'newer' from 'broken'."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    schema_version: Annotated[str, Field(pattern=r"^\d{1,3}\.\d{1,3}$")]


def utc_now() -> datetime:
    """This machine's clock, UTC; never compare it with another machine's."""
    return datetime.now(timezone.utc)


def parse_job_manifest(data: bytes) -> JobManifest:
    """Read a job manifest strictly.

    Raises
    ------
    ManifestRejectedError
        ``manifest-too-large``, ``manifest-not-json``, ``schema-newer`` or
        ``manifest-invalid``; the message names the first wrong field, never its value.
    """
    _check_schema(_json_object(data, limit=MANIFEST_BYTES_LIMIT))
    try:
        return JobManifest.model_validate_json(data)
    except ValidationError as error:
        raise ManifestRejectedError(
            f"The manifest is not valid: {describe_first_error(error)}.",
            remedy="Submit the job again with every field as documented.",
        ) from None


def check_against_profile(manifest: JobManifest, profile: Profile) -> None:
    """Check that the manifest names exactly the inputs that the profile needs.

    Raises
    ------
    ManifestRejectedError
        ``series-count`` or ``series-roles``.
    """
    needed, given = profile.roles, [item.role for item in manifest.series]
    if len(given) != len(needed):
        raise ManifestRejectedError(
            f"Profile {profile.name} needs {len(needed)} series, the manifest names {len(given)}.",
            code="series-count",
            remedy=f"Submit one series for each of: {', '.join(needed)}.",
        )
    if set(given) != set(needed):
        raise ManifestRejectedError(
            f"Profile {profile.name} needs the roles {', '.join(needed)}; "
            f"the manifest names {', '.join(given)}.",
            code="series-roles",
            remedy=f"Submit one series for each of: {', '.join(needed)}.",
        )


def check_labels(manifest: JobManifest, own: Collection[str]) -> None:
    """Check that an agent with the labels ``own`` may run the job.

    Raises
    ------
    TransientError
        ``labels``: it may not; another one may.
    """
    missing = [label for label in manifest.labels if label not in own]
    if missing:
        raise TransientError(
            f"The job asks for an agent with the labels {', '.join(manifest.labels)}; this one "
            f"lacks {', '.join(missing)}.",
            code="labels",
            remedy="Nothing, if another agent has them. Else add them to labels in an agent's "
            "settings, or submit the job without.",
        )


def parse_result(data: bytes) -> ResultManifest:
    """Read a result manifest strictly; raises :class:`ManifestRejectedError` as above."""
    _check_schema(_json_object(data, limit=RESULT_BYTES_LIMIT))
    try:
        return ResultManifest.model_validate_json(data)
    except ValidationError as error:
        raise ManifestRejectedError(
            f"The result manifest is not valid: {describe_first_error(error)}.",
            code="result-invalid",
            remedy="Look at the agent that wrote it: its version may not fit this site's.",
        ) from None


def describe_first_error(error: ValidationError) -> str:
    """``field: what is wrong`` of the first error, without the offending value."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "document"
    return f"{field}: {first['msg']}"


def _json_object(data: bytes, *, limit: int) -> dict[str, Any]:
    if len(data) > limit:
        raise ManifestRejectedError(
            f"The document has more than {limit} bytes.",
            code="manifest-too-large",
        )
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise ManifestRejectedError("The document is not JSON.", code="manifest-not-json") from None
    if not isinstance(document, dict):
        raise ManifestRejectedError("The document is not a JSON object.", code="manifest-not-json")
    return document


def _check_schema(document: dict[str, Any]) -> None:
    try:
        version = JobDocument.model_validate(document).schema_version
    except ValidationError:
        raise ManifestRejectedError(
            "The document has no valid schema_version.",
            remedy=f'Write "schema_version": "{SCHEMA_VERSION}".',
        ) from None
    is_newer = _minor(version) > _minor(NEWEST_SCHEMA)
    if version.split(".")[0] != SCHEMA_VERSION.split(".")[0] or is_newer:
        raise ManifestRejectedError(
            f"The document has schema version {version}; this program reads {NEWEST_SCHEMA}.",
            code="schema-newer",
            remedy="Update the agent, or submit with the version it reads.",
        )


def _minor(version: str) -> int:
    return int(version.split(".")[1])
