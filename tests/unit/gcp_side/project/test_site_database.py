"""``SEGRELAY_DATABASE``: a path, or an address of PostgreSQL."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from gcp_side.site.database import database


def test_a_path_is_sqlite_that_waits_instead_of_failing() -> None:
    found = database("/srv/segrelay/site.sqlite3")
    assert found["ENGINE"] == "django.db.backends.sqlite3"
    assert found["NAME"] == "/srv/segrelay/site.sqlite3"
    assert found["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (
            "postgresql://site:p%40ss@db.example.org:5433/segrelay",
            {
                "NAME": "segrelay",
                "USER": "site",
                "PASSWORD": "p@ss",
                "HOST": "db.example.org",
                "PORT": "5433",
            },
        ),
        (
            "postgres://site@/segrelay?host=/run/postgresql",
            {"NAME": "segrelay", "USER": "site", "HOST": "/run/postgresql", "PORT": ""},
        ),
        ("postgresql:///segrelay", {"NAME": "segrelay", "USER": "", "HOST": ""}),
    ],
)
def test_addresses_of_postgresql(address: str, expected: dict[str, str]) -> None:
    found = database(address)
    assert found["ENGINE"] == "django.db.backends.postgresql"
    assert expected.items() <= found.items()


@pytest.mark.parametrize(
    "address",
    [
        "mysql://site:hunter2@db/segrelay",
        "postgresql://site:hunter2@db",
        "postgresql://site:hunter2@db:port/x",
        "postgresql://site:hunter2@[db/x",
    ],
)
def test_another_address_is_refused_without_its_password(address: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="SEGRELAY_DATABASE") as caught:
        database(address)
    assert "hunter2" not in str(caught.value)
