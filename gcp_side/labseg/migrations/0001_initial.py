"""The job table and its history."""

# ruff: noqa: RUF012  (the framework's own form)
from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Job",
            fields=[
                ("job_id", models.CharField(max_length=26, primary_key=True, serialize=False)),
                ("profile", models.CharField(max_length=48)),
                ("priority", models.PositiveSmallIntegerField()),
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
                    ),
                ),
                ("revision", models.PositiveIntegerField(default=0)),
                ("orthanc_study_id", models.CharField(db_index=True, max_length=44)),
                ("study_instance_uid", models.CharField(max_length=64)),
                ("series", models.JSONField()),
                ("max_attempts", models.PositiveSmallIntegerField()),
                ("agent", models.CharField(blank=True, max_length=40)),
                ("attempt", models.PositiveIntegerField(default=0)),
                ("stage", models.CharField(blank=True, max_length=64)),
                ("percent", models.PositiveSmallIntegerField(default=0)),
                ("missing_since", models.DateTimeField(blank=True, null=True)),
                ("seg_orthanc_id", models.CharField(blank=True, db_index=True, max_length=44)),
                ("seg_sop_instance_uid", models.CharField(blank=True, max_length=64)),
                ("seg_series_instance_uid", models.CharField(blank=True, max_length=64)),
                ("tumour_found", models.BooleanField(blank=True, null=True)),
                ("measurements", models.JSONField(blank=True, default=list)),
                ("warnings", models.JSONField(blank=True, default=list)),
                ("provenance", models.JSONField(blank=True, null=True)),
                ("failure_code", models.CharField(blank=True, max_length=64)),
                ("failure_reason", models.TextField(blank=True)),
                ("failure_remedy", models.TextField(blank=True)),
                ("submitted_at", models.DateTimeField()),
                ("updated_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "requested_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        # Users may be in another database.
                        db_constraint=False,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
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
                    ),
                ),
            ],
            options={
                "ordering": ("-job_id",),
            },
        ),
        migrations.CreateModel(
            name="JobEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("submitting", "submitted"),
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
                    ),
                ),
                ("attempt", models.PositiveIntegerField()),
                ("at", models.DateTimeField()),
                ("agent", models.CharField(blank=True, max_length=40)),
                ("text", models.TextField(blank=True)),
                (
                    "job",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="events",
                        to="labseg.job",
                    ),
                ),
            ],
            options={
                "ordering": ("id",),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("job", "kind", "attempt"), name="labseg_event_once"
                    )
                ],
            },
        ),
    ]
