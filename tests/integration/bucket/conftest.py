"""The directory's tests run over the cloud as well: usually with one fault of each way.

And with a job that nobody has, or that a dead agent has; a rejected one has a test of its own.
"""

from __future__ import annotations

import pytest

from tests.support.buckets.faulty_bucket import Fault
from tests.unit.common.queue import test_queue_operator as operator


def pytest_itemcollected(item: pytest.Item) -> None:
    """Leave to ``--long`` what fails in other manners than the network's own."""
    callspec = getattr(item, "callspec", None)
    params = {} if callspec is None else callspec.params
    fault = params.get("fault")
    if not isinstance(fault, Fault):
        return
    is_usual = params.get("prepare", operator.nothing) in (operator.nothing, operator.claim_and_die)
    if fault is not Fault.LOST_ANSWER or not is_usual:
        item.add_marker("long")
