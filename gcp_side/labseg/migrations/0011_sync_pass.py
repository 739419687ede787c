"""When the queue was last read for all open jobs; an event's time is the queue's."""

# ruff: noqa: RUF012  (the framework's own form)
from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("labseg", "0010_odd_projects"),
    ]

    operations = [
        migrations.CreateModel(
            name="SyncPass",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("passed_at", models.DateTimeField()),
            ],
            options={"base_manager_name": "objects", "default_permissions": ()},
        ),
        migrations.AlterField(
            model_name="jobevent",
            name="at",
            field=models.DateTimeField(verbose_name="time"),
        ),
    ]
