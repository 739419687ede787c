"""What an event's error was, and how its attempt ended: to be told in any language."""

# ruff: noqa: RUF012  (the framework's own form)
from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("labseg", "0003_job_instances_done"),
    ]

    operations = [
        migrations.AddField(
            model_name="jobevent",
            name="code",
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.AddField(
            model_name="jobevent",
            name="outcome",
            field=models.CharField(
                blank=True,
                choices=[("handed-back", "handed back"), ("failed", "failed"), ("lost", "lost")],
                max_length=20,
            ),
        ),
    ]
