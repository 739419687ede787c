"""The measurement report that lies in Orthanc beside a SEG."""

# ruff: noqa: RUF012  (the framework's own form)
from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("labseg", "0005_job_labels"),
    ]

    operations = [
        migrations.AddField(
            model_name="job",
            name="report_orthanc_id",
            field=models.CharField(blank=True, max_length=44),
        ),
        migrations.AddField(
            model_name="job",
            name="report_sop_instance_uid",
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.AddField(
            model_name="job",
            name="report_series_instance_uid",
            field=models.CharField(blank=True, max_length=64),
        ),
    ]
