"""Jobs, studies, agents and profiles as answers show them; the command prints the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from rest_framework import serializers
from rest_framework.serializers import BooleanField, CharField, IntegerField, ListField

from gcp_side.labseg.jobs.confirmation import REASONS, read_reasons
from gcp_side.labseg.jobs.waiting import why_waiting
from gcp_side.labseg.messages import Explanation, explain_code, explain_notice, explain_warnings
from gcp_side.labseg.models import EventKind, Job, JobEvent, Outcome, State
from gcp_side.labseg.orthanc.client import SeriesEntry, StudyEntry
from gcp_side.labseg.part_texts import describe_parts, taken_words
from gcp_side.labseg.recognition import Confidence, plane_of
from gcp_side.labseg.volume_ids import volume_name
from segrelay.parts import PartKey
from segrelay.profiles import Text
from segrelay.result_notes import DOUBTS, NOT_FOR_PATIENTS, TRAINED_ON_SYNTHETIC

AnyField = serializers.Field[Any, Any, Any, Any]
Shape = serializers.Serializer[Any]


class Computed(AnyField):
    """What a function makes of the whole object, in the form of ``child``; null for None."""

    def __init__(self, child: Any, function: Callable[[Any], Any]) -> None:
        super().__init__(source="*", read_only=True, help_text=child.help_text)
        self.child = child
        self.function = function

    def to_representation(self, value: Any) -> Any:
        """The value for JSON."""
        made = self.function(value)
        return None if made is None else self.child.to_representation(made)


class TimeField(serializers.DateTimeField):
    """ISO 8601 in UTC, to the second."""

    def to_representation(self, value: datetime) -> str:
        """The text of a time with a zone."""
        return value.astimezone(UTC).isoformat(timespec="seconds")


class IdField(CharField):
    """An id; null where the column is empty."""

    def __init__(self, source: str | None = None) -> None:
        super().__init__(source=source, allow_null=True)

    def to_representation(self, value: str) -> Any:
        """The id or None."""
        return value or None


class ReasonSerializer(Shape):
    """What contradicts the choice of series, with its sentence in the active language."""

    code = serializers.ChoiceField(choices=list(REASONS))
    parameters = serializers.DictField(child=CharField())
    text = CharField()
    contradicts = Computed(
        BooleanField(help_text="false: the series only may be the wrong ones"),
        lambda reason: reason.code not in DOUBTS,
    )


class PartSerializer(Shape):
    """Which of the volumes of a series is meant."""

    key = serializers.ChoiceField(choices=[key.value for key in PartKey])
    index = IntegerField(help_text="from 0")
    count = IntegerField(help_text="volumes of the series")
    expected_images = IntegerField()


class InputSeriesSerializer(Shape):
    """One input of a job: a series, or a volume of one."""

    role = CharField()
    orthanc_id = CharField(help_text="of the series")
    volume_id = Computed(
        CharField(help_text="orthanc_id, and : with an index if the series holds several volumes"),
        volume_name,
    )
    series_instance_uid = CharField()
    expected_instances = IntegerField(allow_null=True)
    part = Computed(PartSerializer(allow_null=True), lambda item: item.get("part"))


class MeasuredSegmentSerializer(Shape):
    """One segment of a result."""

    number = IntegerField()
    label = CharField()  # type: ignore[assignment]
    voxels = IntegerField()
    volume_ml = serializers.FloatField()
    longest_diameter_mm = serializers.FloatField(allow_null=True)


class FailureSerializer(Shape):
    """Why a job failed: reason and remedy in the active language, a detail in English."""

    code = CharField()
    reason = CharField(source="explained.message")
    remedy = CharField(source="explained.remedy")
    detail = CharField(source="explained.detail")


def failure_of(job: Job) -> dict[str, Any] | None:
    """Why a job failed; None where it did not."""
    if not job.failure_code:
        return None
    explained = explain_code(job.failure_code, job.failure_reason, job.failure_remedy)
    return {"code": job.failure_code, "explained": explained}


def _error_of(job: Job) -> str | None:
    failure = failure_of(job)
    return None if failure is None else failure["explained"].message


class JobSerializer(Shape):
    """One job, as the command prints it."""

    job_id = CharField()
    profile = CharField()
    priority = IntegerField()
    labels = ListField(child=CharField())
    state = serializers.ChoiceField(choices=State.values)
    finished = Computed(BooleanField(), lambda job: not job.is_open)
    agent = CharField()
    attempt = IntegerField()
    stage = CharField()
    percent = IntegerField()
    done = IntegerField()
    total = IntegerField()
    cancel_requested_at = TimeField(allow_null=True)
    missing_since = TimeField(allow_null=True)
    orthanc_study_id = CharField()
    study_instance_uid = CharField()
    series = InputSeriesSerializer(many=True)
    seg_instance_id = IdField("seg_orthanc_id")
    seg_sop_instance_uid = IdField()
    seg_series_instance_uid = IdField()
    report_instance_id = IdField("report_orthanc_id")
    report_sop_instance_uid = IdField()
    report_series_instance_uid = IdField()
    tumour_found = BooleanField(allow_null=True)
    segments = MeasuredSegmentSerializer(source="measurements", many=True)
    confirmed = Computed(ReasonSerializer(many=True), lambda job: read_reasons(job.confirmed))
    confirmed_by = CharField()
    for_patients = Computed(BooleanField(), lambda job: NOT_FOR_PATIENTS not in job.warnings)
    trained_on_synthetic = Computed(
        BooleanField(), lambda job: TRAINED_ON_SYNTHETIC in job.warnings
    )
    warnings = Computed(
        ListField(child=CharField()), lambda job: explain_warnings(job.warnings, job.notices)
    )
    provenance = serializers.DictField(allow_null=True)
    failure = Computed(FailureSerializer(allow_null=True), failure_of)
    retry_of = CharField(source="retry_of_id", allow_null=True)
    submitted_at = TimeField()
    updated_at = TimeField()
    finished_at = TimeField(allow_null=True)


class RequestSerializer(JobSerializer):
    """One job, as the REST answers show it."""

    request_id = CharField(source="job_id")
    # No second enum of these values: a description could not name both.
    status = CharField(source="state", help_text="as state")
    status_text = CharField(source="get_state_display")
    error = Computed(CharField(allow_null=True), _error_of)


def _explained(event: JobEvent) -> Explanation:
    if event.kind == EventKind.CONFIRMED:
        reasons = read_reasons(event.job.confirmed)
        return Explanation(" ".join(reason.text for reason in reasons), "", "")
    if event.code:
        return explain_code(event.code, event.text, "")
    return Explanation(event.text, "", "")


def _event_text(event: JobEvent) -> str:
    outcome = f"{Outcome(event.outcome).label}: " if event.outcome else ""
    return outcome + _explained(event).message


class EventSerializer(Shape):
    """One line of a job's history, in the active language."""

    at = TimeField()
    kind = CharField()
    attempt = IntegerField()
    agent = CharField()
    text = Computed(CharField(), _event_text)
    detail = Computed(CharField(), lambda event: _explained(event).detail)


class WaitingSerializer(Shape):
    """Why a job waits."""

    kind = serializers.ChoiceField(
        choices=["no-queue", "no-agent", "no-profile", "no-labels", "not-claiming", "in-line"]
    )
    text = CharField()
    since = TimeField(allow_null=True)


class JobDetailSerializer(JobSerializer):
    """One job with its history, as the command prints it."""

    waiting = Computed(WaitingSerializer(allow_null=True), why_waiting)
    events = EventSerializer(many=True)


def _date_of(entry: StudyEntry) -> str | None:
    """``YYYYMMDD`` as ISO 8601; None where it is no date."""
    try:
        return datetime.strptime(entry.date, "%Y%m%d").date().isoformat()
    except ValueError:
        return None


def _phases_in_one(series: Sequence[SeriesEntry]) -> int:
    """The most temporal positions that a series declares; as many series that declare the same
    number hold a phase each."""
    declared = Counter(item.temporal_positions for item in series)
    return max((count for count, held in declared.items() if held < count), default=0)


class StudySerializer(Shape):
    """One study: its ``entry`` of Orthanc, its ``series`` and its ``latest`` job or None."""

    study_id = CharField(source="entry.orthanc_id")
    study_instance_uid = CharField(source="entry.study_instance_uid")
    patient_name = CharField(source="entry.patient_name")
    patient_id = CharField(source="entry.patient_id")
    date = Computed(CharField(allow_null=True), lambda study: _date_of(study["entry"]))
    description = CharField(source="entry.description")
    modalities = Computed(
        ListField(child=CharField()),
        lambda study: sorted({item.modality for item in study["series"] if item.modality}),
    )
    series = Computed(IntegerField(), lambda study: len(study["series"]))
    phases = Computed(
        IntegerField(help_text="temporal positions of one series, as its header has them; else 0"),
        lambda study: _phases_in_one(study["series"]),
    )
    latest_request = RequestSerializer(source="latest", allow_null=True)


class HeldVolumeSerializer(Shape):
    """One volume of a series, and the role that it was ``found`` for, or None."""

    volume_id = CharField(source="volume.series_id")
    index = IntegerField(source="volume.part", help_text="from 0")
    stack = IntegerField(source="volume.stack", help_text="from 0; phases of one lie on another")
    side = serializers.ChoiceField(
        choices=["right", "left"],
        allow_null=True,
        help_text="the patient's, where the series holds one stack of each",
    )
    images = IntegerField(source="volume.instances")
    taken = CharField(help_text="when, as words in the active language; empty if nothing says")
    role = Computed(
        CharField(allow_null=True, help_text="of the profile; null: it is not proposed for any"),
        lambda item: item["found"] and item["found"].role,
    )
    confidence = Computed(
        serializers.ChoiceField(choices=[item.value for item in Confidence], allow_null=True),
        lambda item: item["found"] and item["found"].confidence,
    )
    evidence = Computed(
        CharField(help_text="why this role, in the active language"),
        lambda item: item["found"].sentence if item["found"] else "",
    )


class SeriesPartsSerializer(Shape):
    """What a series holds that is not one volume as a whole."""

    count = IntegerField(help_text="volumes; 0 where it cannot be split")
    stacks = IntegerField()
    images = IntegerField(help_text="in each volume")
    key = CharField(help_text="what tells the volumes apart")
    volume_ids = ListField(child=CharField(), help_text="in the order of time")
    volumes = HeldVolumeSerializer(many=True)
    text = CharField(help_text="the same as a sentence in the active language")
    code = CharField(help_text="why it cannot be split; empty where it can")
    remedy = CharField()


def _parts_of(series: Any) -> Any:
    read = series["read"]
    return describe_parts(series["entry"].orthanc_id, read, series["found"]) if read else None


def _taken(series: Any) -> str:
    read = series["read"]
    return taken_words(read.volumes[0]) if read and len(read.volumes) == 1 else ""


def _first_volume(series: Any, name: str) -> Any:
    read = series["read"]
    return getattr(read.volumes[0], name) if read else None


class SeriesSerializer(Shape):
    """One series: its ``entry`` of Orthanc, what was ``read`` of it, or None, and all that was
    ``found`` for the roles of the profile."""

    series_id = CharField(source="entry.orthanc_id")
    number = CharField(source="entry.number")
    description = CharField(source="entry.description")
    modality = CharField(source="entry.modality")
    instances = Computed(IntegerField(), lambda series: len(series["entry"].instances))
    images = Computed(
        IntegerField(help_text="a frame of an enhanced instance is an image"),
        lambda series: (
            sum(volume.instances for volume in series["read"].volumes)
            if series["read"]
            else len(series["entry"].instances)
        ),
    )
    orientation = Computed(
        serializers.ChoiceField(
            choices=["axial", "sagittal", "coronal", "oblique"], allow_null=True
        ),
        lambda series: plane_of(_first_volume(series, "orientation")),
    )
    rows = Computed(IntegerField(allow_null=True), lambda series: _first_volume(series, "rows"))
    columns = Computed(
        IntegerField(allow_null=True), lambda series: _first_volume(series, "columns")
    )
    taken = Computed(
        CharField(help_text="as that of a volume; empty for a series of several"), _taken
    )
    parts = Computed(SeriesPartsSerializer(allow_null=True), _parts_of)


class TextsSerializer(Shape):
    """A text in both languages of the product."""

    en = CharField()
    ko = CharField()


def _title(name: str) -> Computed:
    """What users call something; its name where no agent has reported a text."""
    return Computed(TextsSerializer(), lambda item: _texts(item.title, getattr(item, name)))


def _texts(text: Text | None, otherwise: str) -> Any:
    return {"en": otherwise, "ko": otherwise} if text is None else text


class EvidenceSerializer(Shape):
    """Why a series was recognised, or why it is not certain."""

    code = CharField()
    parameters = serializers.DictField()


class RoleSerializer(Shape):
    """One input of a profile."""

    role = CharField()
    title = _title("role")


class RecognisedRoleSerializer(Shape):
    """An ``offered`` role, and the series that was ``found`` for it."""

    role = CharField(source="offered.role")
    title = Computed(
        TextsSerializer(), lambda both: _texts(both["offered"].title, both["offered"].role)
    )
    series_id = CharField(source="found.series_id", allow_null=True)
    confidence = serializers.ChoiceField(
        source="found.confidence", choices=[item.value for item in Confidence]
    )
    evidence = CharField(source="found.sentence")
    clues = EvidenceSerializer(source="found.evidence", many=True)


class SegmentSerializer(Shape):
    """One segment of a profile's answer."""

    number = IntegerField()
    label = CharField()  # type: ignore[assignment]
    title = _title("label")
    colour = ListField(child=IntegerField())


class ProfileSerializer(Shape):
    """One profile on offer."""

    name = CharField(source="offer.name")
    title = Computed(TextsSerializer(), lambda item: _texts(item.offer.title, item.offer.name))
    intended_use = Computed(TextsSerializer(), lambda item: _texts(item.offer.intended_use, ""))
    body_part = CharField(source="offer.body_part", allow_null=True)
    for_patients = Computed(BooleanField(), lambda item: item.offer.for_patients is not False)
    trained_on_synthetic = Computed(
        BooleanField(), lambda item: item.offer.trained_on_synthetic is True
    )
    roles = RoleSerializer(source="offer.roles", many=True)
    segments = SegmentSerializer(source="offer.segments", many=True)
    online = BooleanField(source="is_online")
    default = BooleanField(source="is_default")


class AgentJobSerializer(Shape):
    """One job in an agent's heartbeat."""

    request_id = CharField(source="job_id")
    stage = CharField()
    percent = IntegerField()
    done = IntegerField()
    total = IntegerField()


class AgentSerializer(Shape):
    """One agent, as its last heartbeat shows it."""

    name = CharField()
    online = BooleanField(source="is_online")
    state = CharField(source="heartbeat.state")
    reason = Computed(
        CharField(),
        lambda agent: explain_notice(agent.heartbeat.reason, agent.heartbeat.notice),
    )
    device = CharField(source="heartbeat.device")
    version = CharField(source="heartbeat.version")
    profiles = ListField(source="heartbeat.profiles", child=CharField())
    labels = ListField(source="heartbeat.labels", child=CharField())
    last_beat = TimeField(source="last_heartbeat")
    seconds_since_beat = Computed(
        serializers.FloatField(), lambda agent: round(agent.silent.total_seconds(), 1)
    )
    jobs = AgentJobSerializer(source="heartbeat.jobs", many=True)
