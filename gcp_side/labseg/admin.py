"""Jobs in Django's admin: to look at, to retry and to cancel through ``jobs``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from gcp_side.labseg import (
    admin_queue,  # noqa: F401 (Django looks for classes in this module)
    jobs,
)
from gcp_side.labseg import admin_texts as texts
from gcp_side.labseg.api.serializers import EventSerializer
from gcp_side.labseg.messages import explain_code, explain_stage
from gcp_side.labseg.models import Job, JobEvent, State
from gcp_side.labseg.orthanc import client
from segrelay.errors import SegRelayError

if TYPE_CHECKING:
    # Only the type stubs know these classes as generic.
    TabularInline = admin.TabularInline[JobEvent, Job]
    ModelAdmin = admin.ModelAdmin[Job]
else:
    from django.contrib.admin import ModelAdmin, TabularInline


class _ReadOnly:
    def has_add_permission(self, *_: Any) -> bool:
        return False

    def has_change_permission(self, *_: Any) -> bool:
        return False

    def has_delete_permission(self, *_: Any) -> bool:
        return False


class JobEventInline(_ReadOnly, TabularInline):
    """A job's history."""

    model = JobEvent
    fields = ("at", "kind", "attempt", "agent", "explained")
    readonly_fields = fields
    extra = 0

    def has_view_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:  # noqa: ARG002
        """Who may see a job may see its history."""
        return request.user.has_perm("labseg.view_job")

    def get_queryset(self, request: HttpRequest) -> QuerySet[JobEvent]:
        """With the job, whose confirmations a line may show."""
        return super().get_queryset(request).select_related("job")

    @admin.display(description=_("what was said"))
    def explained(self, event: JobEvent) -> str:
        """What happened, in the reader's language, then in the lab's words."""
        line = EventSerializer(event).data
        return " ".join(filter(None, (line["text"], line["detail"]))) or texts.NOTHING


def _sections(job: Job | None) -> list[Any]:
    """Titles and fields of a job's page: what says nothing of this job is left out."""
    is_open = job is None or job.is_open
    at = ["submitted_at", "updated_at", "finished_at"]
    progress = ["agent", "attempt"]
    if is_open:
        at += ["cancel_requested_at", "missing_since"]
        progress += ["stage_in_words", "percent", "done", "total"]
    is_failure = job is None or bool(job.failure_code)
    has_result = job is None or any(
        (job.seg_orthanc_id, job.measurements, job.confirmed, job.warnings)
    )
    result = ["segments", "notes", "confirmed_in_words", "seg_orthanc_id", "sr"]
    request = ["job_id", "inputs", "labels_in_words", "priority", "max_attempts"]
    sections: list[tuple[Any, list[str], bool]] = [
        (None, ["state", "links", "profile", "retry_of", "requested_by"], True),
        (_("What went wrong"), ["failure"], is_failure),
        (_("Result"), result, has_result),
        (_("Progress"), progress, True),
        (_("Times"), at, True),
        (_("Request"), request, True),
    ]
    shown: list[Any] = [
        (title, {"fields": names}) for title, names, is_shown in sections if is_shown
    ]
    return [*shown, _IDENTIFIERS]


_IDENTIFIERS = (
    _("How it was made, and identifiers"),
    {
        "classes": ("collapse",),
        "fields": (
            "how_made",
            "orthanc_study_id",
            "study_instance_uid",
            "seg_sop_instance_uid",
            "seg_series_instance_uid",
            "report_sop_instance_uid",
            "report_series_instance_uid",
            "failure_code",
        ),
    },
)


@admin.register(Job)
class JobAdmin(_ReadOnly, ModelAdmin):
    """Jobs, newest first."""

    list_display = (
        "job_id",
        "state",
        "tumour_found",
        "volumes",
        "page",
        "submitted_at",
        "profile",
        "agent",
        "stage_in_words",
        "percent",
        "labels_in_words",
        "retry_of",
    )
    list_filter = ("state", "tumour_found", "profile", "agent", "submitted_at")
    search_fields = (
        "job_id",
        "orthanc_study_id",
        "study_instance_uid",
        "seg_orthanc_id",
        "failure_code",
    )
    search_help_text = _(
        "Job, study in Orthanc, Study Instance UID, SEG in Orthanc or error code. No name of a "
        "patient is kept here."
    )
    list_select_related = ("retry_of",)
    date_hierarchy = "submitted_at"
    inlines = (JobEventInline,)
    actions = ("retry_jobs", "cancel_jobs")

    links = staticmethod(texts.links)
    volumes = staticmethod(texts.volumes)
    segments = staticmethod(texts.segments)
    notes = staticmethod(texts.notes)
    confirmed_in_words = staticmethod(texts.confirmed)
    failure = staticmethod(texts.failure)
    inputs = staticmethod(texts.inputs)
    how_made = staticmethod(texts.model)

    class Media:
        css: ClassVar = {"all": ("labseg/admin.css",)}

    def get_fieldsets(self, request: HttpRequest, obj: Job | None = None) -> Any:  # noqa: ARG002
        """Only sections that say something of this job."""
        return _sections(obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Job | None = None) -> Any:
        """Every field: the admin changes no job."""
        sections: Any = self.get_fieldsets(request, obj)
        return [name for _title, options in sections for name in options["fields"]]

    @admin.display(description=_("study"))
    def page(self, job: Job) -> str:
        """A link to the page of its study."""
        address = texts.study_page(job)
        if not address:
            return texts.NOTHING
        # Many links of one name are distinguished by the job's id.
        label = gettext("Page of the study, job %(job)s") % {"job": job.pk}
        return format_html('<a href="{}" aria-label="{}">{}</a>', address, label, gettext("Open"))

    @admin.display(description=_("labels"))
    def labels_in_words(self, job: Job) -> str:
        """The labels as ``labseg submit --labels`` takes them."""
        return " ".join(job.labels) or texts.NOTHING

    @admin.display(description=_("stage"), ordering="stage")
    def stage_in_words(self, job: Job) -> str:
        """What the agent does, as the page says it."""
        return explain_stage(job.stage) if job.state == State.CLAIMED else texts.NOTHING

    @admin.display(description=_("report in Orthanc"))
    def sr(self, job: Job) -> str:
        """The measurements as DICOM SR."""
        return job.report_orthanc_id or texts.NOTHING

    def has_steer_permission(self, request: HttpRequest) -> bool:
        """Whether the user may retry and cancel; nobody edits a row."""
        return request.user.has_perm("labseg.change_job")

    @admin.action(description=_("Run the selected jobs again, as new ones"), permissions=["steer"])
    def retry_jobs(self, request: HttpRequest, rows: QuerySet[Job]) -> None:
        """Retry the selected jobs, as ``labseg retry`` without ``--force`` does."""
        user = request.user if request.user.is_authenticated else None

        def retry(job: Job) -> tuple[int, str]:
            again = jobs.retry(job.pk, orthanc=client.connect(), requested_by=user)
            said = (
                gettext("Job %(job)s is tried again as %(again)s.")
                if again.is_new
                else gettext("Job %(job)s is being tried again already as %(again)s.")
            )
            return messages.SUCCESS, said % {"job": job.pk, "again": again.job.pk}

        self._for_each(request, rows, retry)

    @admin.action(description=_("Cancel the selected jobs"), permissions=["steer"])
    def cancel_jobs(self, request: HttpRequest, rows: QuerySet[Job]) -> None:
        """Cancel the selected jobs, as ``labseg cancel`` does."""

        def cancel(job: Job) -> tuple[int, str]:
            job = jobs.cancel(job.pk)
            if job.state == State.CANCELLED:
                return messages.SUCCESS, gettext("Job %(job)s is cancelled.") % {"job": job.pk}
            if job.is_open:
                return messages.INFO, gettext("Job %(job)s will be cancelled.") % {"job": job.pk}
            ended = gettext("Job %(job)s had ended before: %(state)s.")
            state = State(job.state).label
            return messages.WARNING, ended % {"job": job.pk, "state": state}

        self._for_each(request, rows, cancel)

    def _for_each(
        self,
        request: HttpRequest,
        rows: QuerySet[Job],
        act: Callable[[Job], tuple[int, str]],
    ) -> None:
        """Act on one job after another; a refusal of one is reported and stops no other."""
        for job in rows.order_by("pk"):
            try:
                level, text = act(job)
            except SegRelayError as error:
                explained = explain_code(error.code, error.message, error.remedy)
                level = messages.ERROR
                text = (
                    f"{job.pk}: {explained.message} {explained.remedy} {explained.detail}".rstrip()
                )
            self.message_user(request, text, level)
