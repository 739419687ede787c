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

import re
from collections.abc import Collection
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from segrelay.errors import ManifestRejectedError, TransientError
from segrelay.names import MAX_AGENT_LENGTH
from segrelay.notices import Notice, Notices
from segrelay.parsing.documents import (
    Code,
    LongText,
    Moment,
    Sentence,
    ShortText,
    cut,
    first_items,
    model_of,
)
from segrelay.parsing.json_reader import JsonLimits, UnreadableJsonError, read_json_object
from segrelay.parsing.validation import form
from segrelay.parts.keys import PartKey
from segrelay.profiles import Profile, ProfileName, RoleName, Sha256
from segrelay.system.nearest import did_you_mean
from segrelay.ulid import ULID_PATTERN

SCHEMA_VERSION = "1.0"
"""major.minor: a reader refuses another major and ignores nothing within its own."""

LABELS_SCHEMA = "1.1"
"""What a document with ``labels`` says."""

CONFIRMED_SCHEMA = "1.2"
"""In a job whose input was confirmed although it contradicts the profile."""

NOTICES_SCHEMA = "1.3"
"""What a result with ``notices`` says."""

PARTS_SCHEMA = "1.4"
"""In a job whose input is a part of a series."""

NEWEST_SCHEMA = PARTS_SCHEMA
"""The newest of a job that this program runs."""

MANIFEST_BYTES_LIMIT = 64 * 1024
"""A manifest is a few hundred bytes; anything near this is not one."""

RESULT_BYTES_LIMIT = 1024 * 1024
"""Results carry measurements and provenance: some kilobytes."""

MANIFEST_LIMITS = JsonLimits(size_bytes=MANIFEST_BYTES_LIMIT, depth=6, values=500)
"""Also of records, rejections and progress: 16 series with 9 values each are the most."""

RESULT_LIMITS = JsonLimits(size_bytes=RESULT_BYTES_LIMIT, depth=8, values=10_000)
"""255 segments with 5 values each are the most that a result needs."""

MOST_SERIES = 16
"""Inputs of a profile."""

URGENT = 0
"""The priority that is served first."""

MOST_PARTS = 10_000
"""Volumes of a series: no dynamic scan has more."""

MOST_SEGMENTS = 255
"""Segments of a profile: their numbers are bytes in a label map."""

MOST_WARNINGS = 50
MOST_ENTRIES = 50
"""Of versions, of stages."""

LARGEST_ATTEMPT = 10**6
"""No name holds a larger one."""

ORTHANC_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")

OrthancId = Annotated[
    str,
    form(rf"^{ORTHANC_ID.pattern}$", "an id of Orthanc (five groups of eight hexadecimal digits)"),
]
"""Orthanc's id of a study, series or instance: five groups of eight hexadecimal digits."""

JobId = Annotated[str, form(rf"^{ULID_PATTERN}$", "a job's id (26 digits and lower-case letters)")]
Role = RoleName
Label = Annotated[
    str, form(r"^[a-z0-9]+(-[a-z0-9]+)*$", "lower-case words joined by hyphens", max_length=32)
]
"""What an agent is or has: ``site-a``, ``gpu-24gb``. Operators give it its meaning."""

Labels = Annotated[tuple[Label, ...], Field(max_length=16)]
Author = Annotated[str, cut(MAX_AGENT_LENGTH)]
"""Who wrote a document: an agent's id, or ``site``."""

Attempt = Annotated[int, Field(ge=0, le=LARGEST_ATTEMPT)]
Uid = Annotated[str, form(r"^[0-9.]+$", "a DICOM UID (digits and dots)", max_length=64)]
SchemaVersion = Annotated[str, form(r"^[0-9]{1,3}\.[0-9]{1,3}$", "two numbers, like 1.0")]


def schema_for(
    labels: Collection[str], confirmed: Collection[str] = (), *, has_parts: bool = False
) -> str:
    """The version of a document with these labels and confirmed contradictions.

    The oldest that says it all: an older agent goes on reading jobs that have none of them.
    ``has_parts``: an input is a part of a series.
    """
    if has_parts:
        return PARTS_SCHEMA
    if confirmed:
        return CONFIRMED_SCHEMA
    return LABELS_SCHEMA if labels else SCHEMA_VERSION


def notes_of(notices: Collection[Notice], *, before: Collection[str] = ()) -> dict[str, Any]:
    """The fields of a result that say these notices, and ``before`` in front of them in English.

    A result without notices stays of the first schema, which every site reads.
    """
    return {
        "schema_version": NOTICES_SCHEMA if notices else SCHEMA_VERSION,
        "warnings": (*before, *(item.text for item in notices)),
        "notices": tuple(notices),
    }


def is_orthanc_id(text: str) -> bool:
    """Return whether ``text`` has the form of an Orthanc id."""
    return ORTHANC_ID.fullmatch(text) is not None


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def to_json(self) -> bytes:
        """The document as UTF-8 JSON, fields in order, ready for the bucket."""
        return self.model_dump_json(indent=1).encode()


class _LabelledDocument(_Document):
    """One that an agent of the first schema reads as before, as long as it asks for no labels."""

    schema_version: SchemaVersion = SCHEMA_VERSION
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


class SeriesPart(_Document):
    """One volume of a series that holds several (see ``segrelay.parts``)."""

    key: PartKey
    """What its volumes are told apart by."""
    index: Annotated[int, Field(ge=0, lt=MOST_PARTS)]
    """Which of them, from 0."""
    count: Annotated[int, Field(ge=1, le=MOST_PARTS)]
    """How many the site saw; a series that has others by now is refused."""
    expected_images: Annotated[int, Field(ge=1, le=100_000)]
    """Slices of the volume."""

    @property
    def name(self) -> str:
        """Names the volume among those of its series."""
        return f"{self.key} {self.index}/{self.count}"

    @model_validator(mode="after")
    def _index_is_one_of_them(self) -> SeriesPart:
        if self.index >= self.count:
            raise ValueError("index is not below count")
        return self


class SeriesInput(_Document):
    """One input of a job: a series, or a part of one."""

    role: Role
    """Which of the profile's inputs this series is."""
    orthanc_id: OrthancId
    expected_instances: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """How many instances the site saw when it submitted; a shorter series is refused."""
    part: SeriesPart | None = None
    """Which of its volumes; None: the whole series is one."""


class JobManifest(_LabelledDocument):
    """A job: segment these series with this profile, on an agent that has all ``labels``."""

    job_id: JobId
    profile: ProfileName
    priority: Annotated[int, Field(ge=0, le=9)] = 5
    """0 is served first."""
    submitted_at: Moment
    """The site's clock, UTC; also the date and time that the SEG carries."""
    orthanc_study_id: OrthancId
    series: Annotated[tuple[SeriesInput, ...], Field(min_length=1, max_length=MOST_SERIES)]
    max_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    retry_of: JobId | None = None
    """The job that this one repeats."""
    confirmed: Annotated[tuple[Code, ...], Field(max_length=16)] = ()
    """In what the input contradicts the profile, as codes; an operator has confirmed it."""

    def _later_fields(self) -> set[str]:
        return super()._later_fields() | (set() if self.confirmed else {"confirmed"})

    def to_json(self) -> bytes:
        """Without parts where there are none: an older agent reads the rest."""
        unused: dict[str, Any] = dict.fromkeys(self._later_fields(), True)
        unused["series"] = {
            index: {"part"} for index, item in enumerate(self.series) if item.part is None
        }
        return self.model_dump_json(indent=1, exclude=unused).encode()

    @model_validator(mode="after")
    def _later_fields_have_their_schema(self) -> JobManifest:
        minor = _minor(self.schema_version)
        if self.confirmed and minor < _minor(CONFIRMED_SCHEMA):
            raise ValueError(f"confirmed needs schema_version {CONFIRMED_SCHEMA}")
        if self.has_parts and minor < _minor(PARTS_SCHEMA):
            raise ValueError(f"part needs schema_version {PARTS_SCHEMA}")
        return self

    @property
    def has_parts(self) -> bool:
        """Whether an input is a part of a series."""
        return any(item.part is not None for item in self.series)

    @field_validator("series")
    @classmethod
    def _no_volume_twice(cls, value: tuple[SeriesInput, ...]) -> tuple[SeriesInput, ...]:
        roles = [item.role for item in value]
        if len(set(roles)) != len(roles):
            raise ValueError("the same role is named twice")
        for index, item in enumerate(value):
            for earlier in value[:index]:
                if item.orthanc_id == earlier.orthanc_id:
                    _check_different_parts(earlier.part, item.part)
        return value


def _check_different_parts(first: SeriesPart | None, second: SeriesPart | None) -> None:
    """Of one series: two parts of one split."""
    if first is None or second is None or first.index == second.index:
        raise ValueError("the same series is named twice")
    if (first.key, first.count) != (second.key, second.count):
        raise ValueError("parts of one series are of different splits")


class AttemptOutcome(StrEnum):
    """The end of an attempt."""

    HANDED_BACK = "handed-back"
    """The agent gave the job back unharmed: draining, paused, Orthanc away. Never counts."""
    FAILED = "failed"
    """The agent saw the attempt fail. Counts once work had started."""
    LOST = "lost"
    """The owner died or fell silent; the process that noticed wrote this. Counts once started."""


class AttemptRecord(_LabelledDocument):
    """The end of attempt ``attempt`` of a job; ``labels`` are those that the job asks for.

    An agent reads the last record before it claims: so that one without these labels learns it
    once, from the process that opened the manifest before.
    """

    job_id: JobId
    attempt: Annotated[Attempt, Field(ge=1)]
    agent: Author
    outcome: AttemptOutcome
    code: Code
    reason: LongText
    started: bool
    """Whether the GPU worker had been given the job."""
    recorded_at: Moment
    """The store's clock."""
    not_before: Moment | None = None
    """The store's clock: no claim before this."""

    @property
    def counts(self) -> bool:
        """Whether this attempt counts towards ``max_attempts``."""
        return self.started and self.outcome is not AttemptOutcome.HANDED_BACK


class Rejection(_Document):
    """Why a manifest was set aside, for the site to read."""

    schema_version: SchemaVersion = SCHEMA_VERSION
    code: Code
    reason: LongText
    remedy: LongText
    agent: Author
    rejected_at: Moment


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
    """Measurements of one segment on the source grid."""

    number: Annotated[int, Field(ge=1)]
    label: ShortText
    voxels: Annotated[int, Field(ge=0)]
    volume_ml: Annotated[float, Field(ge=0)]
    longest_diameter_mm: Annotated[float, Field(ge=0)] | None = None
    """Greatest distance between two voxel centres of the segment; None when empty."""


class RegistrationRecord(_Document):
    """The registration of one input series to the reference series, or why there is none."""

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
    """Provenance of a result."""

    profile: ShortText
    profile_version: ShortText
    model_sha256: Sha256
    device: ShortText
    versions: Annotated[dict[ShortText, ShortText], first_items(MOST_ENTRIES)]
    """Package name to version."""
    stage_seconds: Annotated[dict[ShortText, float], first_items(MOST_ENTRIES)]
    series_instance_uids: Annotated[tuple[Uid, ...], Field(max_length=MOST_SERIES)]
    """The input series, in channel order."""
    registrations: Annotated[tuple[RegistrationRecord, ...], Field(max_length=MOST_SERIES)] = ()
    """Of each series but the reference, where the profile asks for registration."""
    flips: Annotated[tuple[tuple[int, ...], ...], Field(max_length=64)] = ()
    """Sets of the network's axes along which each window was mirrored and computed once more."""


class Failure(_Document):
    """Why a job failed for good."""

    code: Code
    reason: Annotated[str, cut(4000)]
    remedy: LongText


class ResultStatus(StrEnum):
    """The only three ends of a job."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ResultManifest(_Document):
    """The one result of a job; its creation is the commit point."""

    schema_version: SchemaVersion = SCHEMA_VERSION
    job_id: JobId
    status: ResultStatus
    author: Author
    """The agent id, or ``site`` for a cancellation from there."""
    nonce: Annotated[str, form(r"^[0-9a-f]{32}$", "32 hexadecimal digits")]
    """Random: distinguishes one's own write from another's when an answer was lost."""
    attempt: Attempt
    finished_at: Moment
    seg: SegReference | None = None
    report: ReportReference | None = None
    """The measurements as a DICOM SR that refers to the SEG; None where there is none."""
    measurements: Annotated[tuple[SegmentMeasurement, ...], Field(max_length=MOST_SEGMENTS)] = ()
    provenance: Provenance | None = None
    warnings: Annotated[tuple[Sentence, ...], first_items(MOST_WARNINGS)] = ()
    """Notes in English, for readers of every version."""
    notices: Notices = ()
    """The same notes, as far as they have codes."""
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
        if self.notices and _minor(self.schema_version) < _minor(NOTICES_SCHEMA):
            raise ValueError(f"notices need schema_version {NOTICES_SCHEMA}")
        return self

    def to_json(self) -> bytes:
        """As UTF-8 JSON, without report, notices, registrations and flips where there are none:
        they came later, and an older site reads the rest."""
        later_fields = {"report": self.report, "notices": self.notices}
        unused: dict[str, Any] = {name: True for name, value in later_fields.items() if not value}
        if self.provenance is not None:
            later = {"registrations": self.provenance.registrations, "flips": self.provenance.flips}
            unused["provenance"] = {name for name, value in later.items() if not value}
        return self.model_dump_json(indent=1, exclude=unused).encode()

    @property
    def tumour_found(self) -> bool:
        """Whether any segment has a voxel."""
        return any(item.voxels for item in self.measurements)


class JobDocument(_Document):
    """Only the version of a document, to distinguish 'newer' from 'broken'."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    schema_version: SchemaVersion


def utc_now() -> datetime:
    """This machine's clock, UTC; never compare it with another machine's."""
    return datetime.now(UTC)


def parse_job_manifest(data: bytes) -> JobManifest:
    """Read a job manifest strictly.

    Raises
    ------
    ManifestRejectedError
        ``manifest-too-large``, ``manifest-not-json``, ``schema-newer`` or
        ``manifest-invalid``; the message names the first wrong field, never its value.
    """
    document = _document_of(data, MANIFEST_LIMITS, newest=NEWEST_SCHEMA)
    try:
        return model_of(JobManifest, document)
    except UnreadableJsonError as error:
        raise ManifestRejectedError(
            f"The manifest {error}.",
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
        slip = next((role for role in given if role not in needed), "")
        raise ManifestRejectedError(
            f"Profile {profile.name} needs the roles {', '.join(needed)}; "
            f"the manifest names {', '.join(given)}{did_you_mean(slip, needed) or '.'}",
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
    """Read a result manifest; what a newer minor version adds is passed over.

    Raises
    ------
    ManifestRejectedError
        ``manifest-too-large``, ``manifest-not-json``, ``schema-newer`` (of another major version),
        ``manifest-invalid`` or ``result-invalid``.
    """
    document = _document_of(data, RESULT_LIMITS, newest=None)
    is_newer = _minor(str(document["schema_version"])) > _minor(NOTICES_SCHEMA)
    try:
        return model_of(ResultManifest, document, extra="ignore" if is_newer else None)
    except UnreadableJsonError as error:
        raise ManifestRejectedError(
            f"The result manifest {error}.",
            code="result-invalid",
            remedy="Look at the agent that wrote it: its version may not fit this site's.",
        ) from None


def _document_of(data: bytes, limits: JsonLimits, *, newest: str | None) -> dict[str, Any]:
    """A document of this major version, and of ``newest`` at most."""
    document = _json_object(data, limits)
    version = _version(document)
    is_newer = newest is not None and _minor(version) > _minor(newest)
    if version.split(".")[0] != SCHEMA_VERSION.split(".")[0] or is_newer:
        raise ManifestRejectedError(
            f"The document has schema version {version}; this program reads "
            f"{newest or NOTICES_SCHEMA} at most.",
            code="schema-newer",
            remedy="Update the reading program: the agent for a job, the site for a result.",
        )
    return document


def _json_object(data: bytes, limits: JsonLimits) -> dict[str, Any]:
    if len(data) > limits.size_bytes:
        raise ManifestRejectedError(
            f"The document has more than {limits.size_bytes} bytes.",
            code="manifest-too-large",
        )
    try:
        return read_json_object(data, limits)
    except UnreadableJsonError as error:
        raise ManifestRejectedError(
            f"The document {error}.", code="manifest-not-json", remedy=error.remedy or None
        ) from None


def _version(document: dict[str, Any]) -> str:
    try:
        return JobDocument.model_validate(document).schema_version
    except ValidationError:
        raise ManifestRejectedError(
            "The document has no valid schema_version.",
            remedy=f'Write "schema_version": "{SCHEMA_VERSION}".',
        ) from None


def _minor(version: str) -> int:
    return int(version.split(".")[1])
