"""Rows are read where they are written, users may be elsewhere, and have longer names."""

# ruff: noqa: RUF012  (the framework's own form)
from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("labseg", "0009_job_confirmed"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="guesscount",
            options={"base_manager_name": "objects", "default_permissions": ()},
        ),
        migrations.AlterModelOptions(
            name="job",
            options={
                "base_manager_name": "objects",
                "ordering": ("-job_id",),
                "verbose_name": "job",
                "verbose_name_plural": "jobs",
            },
        ),
        migrations.AlterModelOptions(
            name="jobevent",
            options={
                "base_manager_name": "objects",
                "ordering": ("id",),
                "verbose_name": "line of the history",
                "verbose_name_plural": "history",
            },
        ),
        migrations.AlterField(
            model_name="job",
            name="confirmed_by",
            field=models.CharField(blank=True, max_length=254, verbose_name="confirmed by"),
        ),
        migrations.AlterField(
            model_name="job",
            name="requested_by",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="requested by",
            ),
        ),
    ]
