"""Whole runs of a bench take long, however tiny: only ``--long`` has them."""

from __future__ import annotations

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what needs the report of a whole run."""
    if "report" in getattr(item, "fixturenames", ()):
        item.add_marker("long")
