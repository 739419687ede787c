"""The tables of the queue that the site keeps itself, and of the tokens of its agents."""

# ruff: noqa: RUF012  (the framework's own form)
from __future__ import annotations

from django.db import migrations, models

from gcp_side.labseg.host.database import NameField


def _id() -> models.BigAutoField[int, int]:
    return models.BigAutoField(
        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
    )


class Migration(migrations.Migration):
    dependencies = [("labseg", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="QueueObject",
            fields=[
                ("id", _id()),
                ("name", NameField(max_length=512, unique=True, verbose_name="object")),
                ("generation", models.BigIntegerField(verbose_name="generation")),
                ("updated", models.DateTimeField(verbose_name="changed at")),
                ("size", models.PositiveIntegerField(verbose_name="bytes")),
                ("content", models.BinaryField()),
                ("metadata", models.TextField(null=True)),
                ("nonce", models.CharField(blank=True, max_length=32)),
            ],
            options={
                "verbose_name": "object in the queue",
                "verbose_name_plural": "objects in the queue",
                "default_permissions": ("view",),
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="QueueChange",
            fields=[
                ("id", _id()),
                ("number", models.PositiveBigIntegerField(default=0)),
            ],
            options={"default_permissions": (), "base_manager_name": "objects"},
        ),
        migrations.CreateModel(
            name="AgentToken",
            fields=[
                ("id", _id()),
                (
                    "agent",
                    models.CharField(db_index=True, max_length=40, verbose_name="agent"),
                ),
                ("digest", models.CharField(editable=False, max_length=64, unique=True)),
                ("created_at", models.DateTimeField(verbose_name="made at")),
                (
                    "used_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="last used at"),
                ),
                (
                    "revoked_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="revoked at"),
                ),
            ],
            options={
                "verbose_name": "token of an agent",
                "verbose_name_plural": "tokens of agents",
                "ordering": ("agent", "created_at"),
                "base_manager_name": "objects",
            },
        ),
    ]
