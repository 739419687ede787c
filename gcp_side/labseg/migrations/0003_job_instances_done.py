"""How many instances of the download are done."""

# ruff: noqa: RUF012  (the framework's own form)
from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("labseg", "0002_job_cancel_requested_at"),
    ]

    operations = [
        migrations.AddField(
            model_name="job",
            name="done",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="job",
            name="total",
            field=models.PositiveIntegerField(default=0),
        ),
    ]
