"""The tables of jobs, their history, the last pass of sync, and wrong passwords."""

# ruff: noqa: RUF012  (the framework's own form)
from __future__ import annotations

from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def _text(label: str, length: int, **options: Any) -> models.CharField[Any, Any]:
    return models.CharField(blank=True, max_length=length, verbose_name=label, **options)


def _list(label: str) -> models.JSONField[Any, Any]:
    return models.JSONField(blank=True, default=list, verbose_name=label)


def _time(label: str) -> models.DateTimeField[Any, Any]:
    return models.DateTimeField(blank=True, null=True, verbose_name=label)


def _id() -> models.BigAutoField[Any, Any]:
    return models.BigAutoField(
        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
    )


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="GuessCount",
            fields=[
                ("key", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("count", models.PositiveIntegerField(default=0)),
                ("ends_at", models.PositiveBigIntegerField(db_index=True)),
            ],
            options={
                "default_permissions": (),
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="SyncPass",
            fields=[
                ("id", _id()),
                ("passed_at", models.DateTimeField()),
            ],
            options={
                "default_permissions": (),
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="Job",
            fields=[
                (
                    "job_id",
                    models.CharField(
                        max_length=26, primary_key=True, serialize=False, verbose_name="job"
                    ),
                ),
                ("profile", models.CharField(max_length=48, verbose_name="profile")),
                ("priority", models.PositiveSmallIntegerField(verbose_name="priority")),
                ("labels", _list("labels")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("submitting", "not yet in the queue"),
                            ("pending", "waiting in the queue"),
                            ("claimed", "an agent works on it"),
                            ("succeeded", "done: the SEG is in Orthanc"),
                            ("failed", "failed"),
                            ("cancelled", "cancelled"),
                            ("rejected", "the agent could not accept the manifest"),
                            ("result-unreadable", "its result cannot be read"),
                        ],
                        db_index=True,
                        default="submitting",
                        max_length=20,
                        verbose_name="state",
                    ),
                ),
                ("revision", models.PositiveIntegerField(default=0, verbose_name="writes")),
                (
                    "orthanc_study_id",
                    models.CharField(db_index=True, max_length=44, verbose_name="study in Orthanc"),
                ),
                (
                    "study_instance_uid",
                    models.CharField(max_length=64, verbose_name="Study Instance UID"),
                ),
                ("series", models.JSONField(verbose_name="series")),
                ("max_attempts", models.PositiveSmallIntegerField(verbose_name="attempts allowed")),
                ("confirmed", _list("confirmed contradictions")),
                ("confirmed_by", _text("confirmed by", 254)),
                ("agent", _text("agent", 40)),
                ("attempt", models.PositiveIntegerField(default=0, verbose_name="attempt")),
                ("stage", _text("stage", 64)),
                (
                    "percent",
                    models.PositiveSmallIntegerField(
                        default=0, verbose_name="percent of the stage"
                    ),
                ),
                ("done", models.PositiveIntegerField(default=0, verbose_name="images done")),
                ("total", models.PositiveIntegerField(default=0, verbose_name="images in all")),
                ("cancel_requested_at", _time("cancelling asked for at")),
                ("missing_since", _time("not in the bucket since")),
                ("seg_orthanc_id", _text("SEG in Orthanc", 44, db_index=True)),
                ("seg_sop_instance_uid", _text("SEG SOP Instance UID", 64)),
                ("seg_series_instance_uid", _text("SEG Series Instance UID", 64)),
                ("report_orthanc_id", _text("report in Orthanc", 44)),
                ("report_sop_instance_uid", _text("report SOP Instance UID", 64)),
                ("report_series_instance_uid", _text("report Series Instance UID", 64)),
                (
                    "tumour_found",
                    models.BooleanField(blank=True, null=True, verbose_name="tumour found"),
                ),
                ("measurements", _list("measurements")),
                ("warnings", _list("notes on the result")),
                ("notices", _list("notes on the result, by code")),
                (
                    "provenance",
                    models.JSONField(blank=True, null=True, verbose_name="how it was made"),
                ),
                ("failure_code", _text("error code", 64)),
                ("failure_reason", models.TextField(blank=True, verbose_name="what went wrong")),
                ("failure_remedy", models.TextField(blank=True, verbose_name="what to do")),
                ("submitted_at", models.DateTimeField(verbose_name="requested at")),
                ("updated_at", models.DateTimeField(verbose_name="changed at")),
                ("finished_at", _time("ended at")),
                (
                    "requested_by",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        # Users may be in another database.
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="requested by",
                    ),
                ),
                (
                    "retry_of",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="retries",
                        to="labseg.job",
                        verbose_name="retry of",
                    ),
                ),
            ],
            options={
                "verbose_name": "job",
                "verbose_name_plural": "jobs",
                "ordering": ("-job_id",),
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="JobEvent",
            fields=[
                ("id", _id()),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("submitting", "submitted"),
                            ("confirmed", "confirmed in spite of contradictions"),
                            ("pending", "put into the queue"),
                            ("claimed", "claimed"),
                            ("attempt-ended", "attempt ended"),
                            ("succeeded", "succeeded"),
                            ("failed", "failed"),
                            ("cancelled", "cancelled"),
                            ("rejected", "rejected"),
                            ("result-unreadable", "result cannot be read"),
                        ],
                        max_length=20,
                        verbose_name="what happened",
                    ),
                ),
                ("attempt", models.PositiveIntegerField(verbose_name="attempt")),
                ("at", models.DateTimeField(verbose_name="time")),
                ("agent", _text("agent", 40)),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("handed-back", "handed back"),
                            ("failed", "failed"),
                            ("lost", "lost"),
                        ],
                        max_length=20,
                        verbose_name="outcome",
                    ),
                ),
                ("code", _text("error code", 64)),
                ("text", models.TextField(blank=True, verbose_name="in its own words")),
                (
                    "job",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="events",
                        to="labseg.job",
                        verbose_name="job",
                    ),
                ),
            ],
            options={
                "verbose_name": "line of the history",
                "verbose_name_plural": "history",
                "ordering": ("id",),
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("job", "kind", "attempt"), name="labseg_event_once"
                    )
                ],
            },
        ),
    ]
