"""What the fields are called on the pages for people; nothing changes in the database."""

# ruff: noqa: RUF012  (the framework's own form)
from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("labseg", "0006_job_report"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="job",
            options={
                "ordering": ("-job_id",),
                "verbose_name": "job",
                "verbose_name_plural": "jobs",
            },
        ),
        migrations.AlterModelOptions(
            name="jobevent",
            options={
                "ordering": ("id",),
                "verbose_name": "line of the history",
                "verbose_name_plural": "history",
            },
        ),
        migrations.AlterField(
            model_name="job",
            name="agent",
            field=models.CharField(blank=True, max_length=40, verbose_name="agent"),
        ),
        migrations.AlterField(
            model_name="job",
            name="attempt",
            field=models.PositiveIntegerField(default=0, verbose_name="attempt"),
        ),
        migrations.AlterField(
            model_name="job",
            name="cancel_requested_at",
            field=models.DateTimeField(
                blank=True, null=True, verbose_name="cancelling asked for at"
            ),
        ),
        migrations.AlterField(
            model_name="job",
            name="done",
            field=models.PositiveIntegerField(default=0, verbose_name="images done"),
        ),
        migrations.AlterField(
            model_name="job",
            name="failure_code",
            field=models.CharField(blank=True, max_length=64, verbose_name="error code"),
        ),
        migrations.AlterField(
            model_name="job",
            name="failure_reason",
            field=models.TextField(blank=True, verbose_name="what went wrong"),
        ),
        migrations.AlterField(
            model_name="job",
            name="failure_remedy",
            field=models.TextField(blank=True, verbose_name="what to do"),
        ),
        migrations.AlterField(
            model_name="job",
            name="finished_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="ended at"),
        ),
        migrations.AlterField(
            model_name="job",
            name="job_id",
            field=models.CharField(
                max_length=26, primary_key=True, serialize=False, verbose_name="job"
            ),
        ),
        migrations.AlterField(
            model_name="job",
            name="labels",
            field=models.JSONField(blank=True, default=list, verbose_name="labels"),
        ),
        migrations.AlterField(
            model_name="job",
            name="max_attempts",
            field=models.PositiveSmallIntegerField(verbose_name="attempts allowed"),
        ),
        migrations.AlterField(
            model_name="job",
            name="measurements",
            field=models.JSONField(blank=True, default=list, verbose_name="measurements"),
        ),
        migrations.AlterField(
            model_name="job",
            name="missing_since",
            field=models.DateTimeField(
                blank=True, null=True, verbose_name="not in the bucket since"
            ),
        ),
        migrations.AlterField(
            model_name="job",
            name="orthanc_study_id",
            field=models.CharField(db_index=True, max_length=44, verbose_name="study in Orthanc"),
        ),
        migrations.AlterField(
            model_name="job",
            name="percent",
            field=models.PositiveSmallIntegerField(default=0, verbose_name="percent of the stage"),
        ),
        migrations.AlterField(
            model_name="job",
            name="priority",
            field=models.PositiveSmallIntegerField(verbose_name="priority"),
        ),
        migrations.AlterField(
            model_name="job",
            name="profile",
            field=models.CharField(max_length=48, verbose_name="profile"),
        ),
        migrations.AlterField(
            model_name="job",
            name="provenance",
            field=models.JSONField(blank=True, null=True, verbose_name="how it was made"),
        ),
        migrations.AlterField(
            model_name="job",
            name="report_orthanc_id",
            field=models.CharField(blank=True, max_length=44, verbose_name="report in Orthanc"),
        ),
        migrations.AlterField(
            model_name="job",
            name="report_series_instance_uid",
            field=models.CharField(
                blank=True, max_length=64, verbose_name="report Series Instance UID"
            ),
        ),
        migrations.AlterField(
            model_name="job",
            name="report_sop_instance_uid",
            field=models.CharField(
                blank=True, max_length=64, verbose_name="report SOP Instance UID"
            ),
        ),
        migrations.AlterField(
            model_name="job",
            name="requested_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                # Users may be in another database.
                db_constraint=False,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="requested by",
            ),
        ),
        migrations.AlterField(
            model_name="job",
            name="retry_of",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="retries",
                to="labseg.job",
                verbose_name="retry of",
            ),
        ),
        migrations.AlterField(
            model_name="job",
            name="revision",
            field=models.PositiveIntegerField(default=0, verbose_name="writes"),
        ),
        migrations.AlterField(
            model_name="job",
            name="seg_orthanc_id",
            field=models.CharField(
                blank=True, db_index=True, max_length=44, verbose_name="SEG in Orthanc"
            ),
        ),
        migrations.AlterField(
            model_name="job",
            name="seg_series_instance_uid",
            field=models.CharField(
                blank=True, max_length=64, verbose_name="SEG Series Instance UID"
            ),
        ),
        migrations.AlterField(
            model_name="job",
            name="seg_sop_instance_uid",
            field=models.CharField(blank=True, max_length=64, verbose_name="SEG SOP Instance UID"),
        ),
        migrations.AlterField(
            model_name="job",
            name="series",
            field=models.JSONField(verbose_name="series"),
        ),
        migrations.AlterField(
            model_name="job",
            name="stage",
            field=models.CharField(blank=True, max_length=64, verbose_name="stage"),
        ),
        migrations.AlterField(
            model_name="job",
            name="state",
            field=models.CharField(
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
        migrations.AlterField(
            model_name="job",
            name="study_instance_uid",
            field=models.CharField(max_length=64, verbose_name="Study Instance UID"),
        ),
        migrations.AlterField(
            model_name="job",
            name="submitted_at",
            field=models.DateTimeField(verbose_name="requested at"),
        ),
        migrations.AlterField(
            model_name="job",
            name="total",
            field=models.PositiveIntegerField(default=0, verbose_name="images in all"),
        ),
        migrations.AlterField(
            model_name="job",
            name="tumour_found",
            field=models.BooleanField(blank=True, null=True, verbose_name="tumour found"),
        ),
        migrations.AlterField(
            model_name="job",
            name="updated_at",
            field=models.DateTimeField(verbose_name="changed at"),
        ),
        migrations.AlterField(
            model_name="job",
            name="warnings",
            field=models.JSONField(blank=True, default=list, verbose_name="notes on the result"),
        ),
        migrations.AlterField(
            model_name="jobevent",
            name="agent",
            field=models.CharField(blank=True, max_length=40, verbose_name="agent"),
        ),
        migrations.AlterField(
            model_name="jobevent",
            name="at",
            field=models.DateTimeField(verbose_name="noticed at"),
        ),
        migrations.AlterField(
            model_name="jobevent",
            name="attempt",
            field=models.PositiveIntegerField(verbose_name="attempt"),
        ),
        migrations.AlterField(
            model_name="jobevent",
            name="code",
            field=models.CharField(blank=True, max_length=64, verbose_name="error code"),
        ),
        migrations.AlterField(
            model_name="jobevent",
            name="job",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="events",
                to="labseg.job",
                verbose_name="job",
            ),
        ),
        migrations.AlterField(
            model_name="jobevent",
            name="kind",
            field=models.CharField(
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
                verbose_name="what happened",
            ),
        ),
        migrations.AlterField(
            model_name="jobevent",
            name="outcome",
            field=models.CharField(
                blank=True,
                choices=[("handed-back", "handed back"), ("failed", "failed"), ("lost", "lost")],
                max_length=20,
                verbose_name="outcome",
            ),
        ),
        migrations.AlterField(
            model_name="jobevent",
            name="text",
            field=models.TextField(blank=True, verbose_name="in its own words"),
        ),
    ]
