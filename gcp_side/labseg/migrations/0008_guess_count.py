"""Wrong passwords are counted in the database, for all processes of a site."""

# ruff: noqa: RUF012  (the framework's own form)
from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("labseg", "0007_names_for_people"),
    ]

    operations = [
        migrations.CreateModel(
            name="GuessCount",
            fields=[
                ("key", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("count", models.PositiveIntegerField(default=0)),
                ("ends_at", models.PositiveBigIntegerField(db_index=True)),
            ],
            options={"default_permissions": ()},
        ),
    ]
