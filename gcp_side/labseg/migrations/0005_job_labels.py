"""Which labels an agent must have to run a job."""

# ruff: noqa: RUF012  (the framework's own form)
from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("labseg", "0004_jobevent_code_outcome"),
    ]

    operations = [
        migrations.AddField(
            model_name="job",
            name="labels",
            field=models.JSONField(blank=True, default=list),
        ),
    ]
