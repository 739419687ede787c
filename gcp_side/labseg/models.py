"""The job table and its history. Only :mod:`gcp_side.labseg.jobs.rows` writes here."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from gcp_side.labseg.host.database import FreshManager, UserReference, UtcTimeField

# Django looks for tables in this module.
from gcp_side.labseg.queue.rows import AgentToken, QueueChange, QueueObject  # noqa: F401
from gcp_side.labseg.volume_ids import volume_name
from segrelay.profiles import MAX_PROFILE_LENGTH

LONGEST_USER_NAME = 254
"""Characters: an e-mail address may be a user's name (RFC 5321)."""


class State(models.TextChoices):
    """Where a job is: as :class:`segrelay.queue.JobState`, and one before those."""

    SUBMITTING = "submitting", _("not yet in the queue")
    PENDING = "pending", _("waiting in the queue")
    CLAIMED = "claimed", _("an agent works on it")
    SUCCEEDED = "succeeded", _("done: the SEG is in Orthanc")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")
    REJECTED = "rejected", _("the agent could not accept the manifest")
    RESULT_UNREADABLE = "result-unreadable", _("its result cannot be read")


OPEN_STATES = (State.SUBMITTING, State.PENDING, State.CLAIMED)
"""The job goes on without anyone."""

CHANGEABLE_STATES = (*OPEN_STATES, State.REJECTED, State.RESULT_UNREADABLE)
"""A later reading of the bucket may change the state: all others are final. An operator may put
a rejected job back, or the true bytes of a result."""

FINAL_STATES = (State.SUCCEEDED, State.FAILED, State.CANCELLED)
"""The job has its one result."""


class EventKind(models.TextChoices):
    """What happened to a job: it came into a state, or an attempt ended."""

    SUBMITTING = "submitting", _("submitted")
    CONFIRMED = "confirmed", _("confirmed in spite of contradictions")
    PENDING = "pending", _("put into the queue")
    CLAIMED = "claimed", _("claimed")
    ATTEMPT_ENDED = "attempt-ended", _("attempt ended")
    SUCCEEDED = "succeeded", _("succeeded")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")
    REJECTED = "rejected", _("rejected")
    RESULT_UNREADABLE = "result-unreadable", _("result cannot be read")


class Outcome(models.TextChoices):
    """How an attempt ended: as :class:`segrelay.manifest.AttemptOutcome`."""

    HANDED_BACK = "handed-back", _("handed back")
    FAILED = "failed", _("failed")
    LOST = "lost", _("lost")


class Job(models.Model):
    """One request to segment a set of series."""

    job_id = models.CharField(_("job"), max_length=26, primary_key=True)
    """ULID: sorts by the time of submission."""
    profile = models.CharField(_("profile"), max_length=MAX_PROFILE_LENGTH)
    priority = models.PositiveSmallIntegerField(_("priority"))
    """0..9, 0 first."""
    labels = models.JSONField(_("labels"), default=list, blank=True)
    """What an agent must have to run it, sorted; any agent may where there is none."""
    state = models.CharField(
        _("state"), max_length=20, choices=State.choices, default=State.SUBMITTING, db_index=True
    )
    revision = models.PositiveIntegerField(_("writes"), default=0)
    """Counts the writes: a caller that read an older one changes nothing."""

    orthanc_study_id = models.CharField(_("study in Orthanc"), max_length=44, db_index=True)
    study_instance_uid = models.CharField(_("Study Instance UID"), max_length=64)
    series = models.JSONField(_("series"))
    """In channel order: ``role``, ``orthanc_id``, ``series_instance_uid``,
    ``expected_instances`` of each, and ``part`` where it is one of several volumes, as the
    manifest has it."""
    max_attempts = models.PositiveSmallIntegerField(_("attempts allowed"))
    retry_of = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="retries",
        verbose_name=_("retry of"),
    )
    requested_by = UserReference(to=settings.AUTH_USER_MODEL, verbose_name=_("requested by"))

    confirmed = models.JSONField(_("confirmed contradictions"), default=list, blank=True)
    """In what the series contradict the profile, each as ``code`` and ``parameters`` of
    :mod:`gcp_side.labseg.jobs.confirmation`; a person has confirmed them."""
    confirmed_by = models.CharField(_("confirmed by"), max_length=LONGEST_USER_NAME, blank=True)
    """The user's name, or ``manage.py``; empty where nothing was to be confirmed."""

    agent = models.CharField(_("agent"), max_length=40, blank=True)
    """Who owns it, or wrote its result."""
    attempt = models.PositiveIntegerField(_("attempt"), default=0)
    """How often it was claimed."""
    stage = models.CharField(_("stage"), max_length=64, blank=True)
    percent = models.PositiveSmallIntegerField(_("percent of the stage"), default=0)
    """0..100 of the stage, as the agent reports it."""
    done = models.PositiveIntegerField(_("images done"), default=0)
    total = models.PositiveIntegerField(_("images in all"), default=0)
    """Instances, in a stage that counts them (the download); 0 in any other."""
    cancel_requested_at = UtcTimeField(_("cancelling asked for at"), null=True, blank=True)
    """This site's clock; an open job is called off as soon as the bucket answers."""
    missing_since = UtcTimeField(_("not in the bucket since"), null=True, blank=True)
    """Since when the bucket shows nothing of the job, by this site's clock."""

    seg_orthanc_id = models.CharField(_("SEG in Orthanc"), max_length=44, blank=True, db_index=True)
    seg_sop_instance_uid = models.CharField(_("SEG SOP Instance UID"), max_length=64, blank=True)
    seg_series_instance_uid = models.CharField(
        _("SEG Series Instance UID"), max_length=64, blank=True
    )
    report_orthanc_id = models.CharField(_("report in Orthanc"), max_length=44, blank=True)
    """Of the measurements as a DICOM SR; empty where the result names none."""
    report_sop_instance_uid = models.CharField(
        _("report SOP Instance UID"), max_length=64, blank=True
    )
    report_series_instance_uid = models.CharField(
        _("report Series Instance UID"), max_length=64, blank=True
    )
    tumour_found = models.BooleanField(_("tumour found"), null=True, blank=True)
    """Whether any segment has a voxel; None without a result."""
    measurements = models.JSONField(_("measurements"), default=list, blank=True)
    """One object a segment: ``number``, ``label``, ``voxels``, ``volume_ml``,
    ``longest_diameter_mm``."""
    warnings = models.JSONField(_("notes on the result"), default=list, blank=True)
    notices = models.JSONField(_("notes on the result, by code"), default=list, blank=True)
    """Code, parameters and text of those of ``warnings`` that have a code."""
    provenance = models.JSONField(_("how it was made"), null=True, blank=True)
    """As :class:`segrelay.manifest.Provenance`."""

    failure_code = models.CharField(_("error code"), max_length=64, blank=True)
    failure_reason = models.TextField(_("what went wrong"), blank=True)
    failure_remedy = models.TextField(_("what to do"), blank=True)

    submitted_at = UtcTimeField(_("requested at"))
    """This site's clock; also the date and time that the SEG carries."""
    updated_at = UtcTimeField(_("changed at"))
    """This site's clock at the last change."""
    finished_at = UtcTimeField(_("ended at"), null=True, blank=True)
    """From the result: the store's clock."""

    objects = FreshManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ("-job_id",)
        verbose_name = _("job")
        verbose_name_plural = _("jobs")

    def __str__(self) -> str:
        return f"{self.job_id} ({self.get_state_display()})"

    @property
    def is_open(self) -> bool:
        """Whether the job has not ended."""
        return self.state in OPEN_STATES

    @property
    def series_ids(self) -> tuple[str, ...]:
        """Names of the inputs (``VolumeId``), in channel order."""
        return tuple(volume_name(item) for item in self.series)


class JobEvent(models.Model):
    """One line of a job's history; the same thing is never recorded twice."""

    job = models.ForeignKey(
        Job, on_delete=models.CASCADE, related_name="events", verbose_name=_("job")
    )
    kind = models.CharField(_("what happened"), max_length=20, choices=EventKind.choices)
    attempt = models.PositiveIntegerField(_("attempt"))
    at = UtcTimeField(_("time"))
    """When it happened, by the queue's clock, however late this site looked; by this site's clock
    for what happens here (submitted, confirmed) and where the queue has no time."""
    agent = models.CharField(_("agent"), max_length=40, blank=True)
    outcome = models.CharField(_("outcome"), max_length=20, choices=Outcome.choices, blank=True)
    """Of the attempt that ended; empty for any other event."""
    code = models.CharField(_("error code"), max_length=64, blank=True)
    """Of the error; empty where there is none."""
    text = models.TextField(_("in its own words"), blank=True)
    """The error's own words."""

    objects = FreshManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ("id",)
        verbose_name = _("line of the history")
        verbose_name_plural = _("history")
        constraints = (
            models.UniqueConstraint(fields=("job", "kind", "attempt"), name="labseg_event_once"),
        )

    def __str__(self) -> str:
        return f"{self.job_id} {self.kind} (attempt {self.attempt})"


class SyncPass(models.Model):
    """When the queue was last read for all open jobs; one row, which all processes write."""

    passed_at = UtcTimeField()
    """This site's clock at the end of that pass."""

    objects = FreshManager()

    class Meta:
        base_manager_name = "objects"
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.passed_at:%Y-%m-%d %H:%M:%S}"


class GuessCount(models.Model):
    """Wrong passwords of one account or address in one window of time.

    In the database, so that all processes of a site count together.
    """

    key = models.CharField(max_length=100, primary_key=True)
    """A digest of whose they are, and which window it is; neither a name nor an address."""
    count = models.PositiveIntegerField(default=0)
    ends_at = models.PositiveBigIntegerField(db_index=True)
    """When the window ends: seconds since 1970."""

    objects = FreshManager()

    class Meta:
        base_manager_name = "objects"
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.count} until {self.ends_at}"
