"""Which contradictions of the input a person has confirmed, and who."""

# ruff: noqa: RUF012  (the framework's own form)
from __future__ import annotations

from django.db import migrations, models

KINDS = [
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
]


class Migration(migrations.Migration):
    dependencies = [
        ("labseg", "0008_guess_count"),
    ]

    operations = [
        migrations.AddField(
            model_name="job",
            name="confirmed",
            field=models.JSONField(
                blank=True, default=list, verbose_name="confirmed contradictions"
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="confirmed_by",
            field=models.CharField(blank=True, max_length=150, verbose_name="confirmed by"),
        ),
        migrations.AlterField(
            model_name="jobevent",
            name="kind",
            field=models.CharField(choices=KINDS, max_length=20, verbose_name="what happened"),
        ),
    ]
