"""Object names: round trip, order of service, and safety on every file system."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import names
from common.names import JobName, is_agent_id, parse_job_name
from common.ulid import is_ulid, new_ulid

profiles = st.from_regex(r"[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,5}){0,3}", fullmatch=True)
job_names = st.builds(
    JobName,
    priority=st.integers(0, 9),
    job_id=st.integers(0, 2**48 - 1).map(lambda ms: new_ulid(milliseconds=ms)),
    profile=profiles,
    fence=st.integers(0, 999_999),
)


@given(job_names)
def test_a_name_reads_back_as_what_it_says(name: JobName) -> None:
    assert parse_job_name(name.file_name) == name


@given(job_names)
def test_names_are_safe_on_every_file_system(name: JobName) -> None:
    assert re.fullmatch(r"[0-9a-z~.-]+", name.file_name)
    assert not name.file_name.endswith(".")


@given(st.lists(job_names, min_size=2, max_size=8))
def test_plain_listing_order_is_priority_then_age(items: list[JobName]) -> None:
    by_listing = sorted(items, key=lambda item: item.pending)
    served = [(item.priority, item.job_id) for item in by_listing]
    assert served == sorted(served)


@given(st.text(max_size=60))
def test_any_other_text_is_no_job_name(text: str) -> None:
    parsed = parse_job_name(text)
    assert parsed is None or parsed.file_name == text


@pytest.mark.parametrize(
    "bad", ["site", "con", "nul", "com1", "Lab", "a_b", "-a", "a--b", "", "a" * 41]
)
def test_agent_ids_that_nobody_may_have(bad: str) -> None:
    assert not is_agent_id(bad)


def test_one_listing_brings_heartbeats_then_claims_then_queue() -> None:
    assert sorted([names.PENDING, names.CLAIMED, names.AGENTS]) == [
        names.AGENTS,
        names.CLAIMED,
        names.PENDING,
    ]


@given(st.integers(0, 2**48 - 2))
def test_ulids_sort_by_time(ms: int) -> None:
    first, second = new_ulid(milliseconds=ms), new_ulid(milliseconds=ms + 1)
    assert is_ulid(first)
    assert first < second
