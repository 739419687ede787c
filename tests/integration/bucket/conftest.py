"""The directory's tests run over the cloud as well: usually with one fault of each way."""

from __future__ import annotations

import pytest

from tests.support.buckets.faulty_bucket import Fault


def pytest_itemcollected(item: pytest.Item) -> None:
    """Leave to ``--long`` what fails in other manners than the network's own."""
    callspec = getattr(item, "callspec", None)
    fault = None if callspec is None else callspec.params.get("fault")
    if isinstance(fault, Fault) and fault is not Fault.LOST_ANSWER:
        item.add_marker("long")
