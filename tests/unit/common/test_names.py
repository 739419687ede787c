"""Object names: round trip, order of service, and safety on every file system."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segrelay import names
from segrelay.names import (
    JobName,
    agent_id_of,
    is_agent_id,
    is_reserved,
    parse_job_name,
    set_aside_name,
    why_no_agent_id,
)
from segrelay.ulid import is_ulid, new_ulid

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


@pytest.mark.parametrize(
    ("host", "agent"),
    [
        ("LAB_PC.01", "lab-pc-01"),
        ("연구실-PC", "pc"),
        ("연구실", "lab"),
        ("", "lab"),
        ("-x-", "x"),
        ("con", "lab-con"),
        ("NUL", "lab-nul"),
        ("com1", "lab-com1"),
        ("site", "lab-site"),
        ("a" * 60, "a" * 40),
        ("lab pc", "lab-pc"),
    ],
)
def test_a_computers_name_becomes_an_agent_id(host: str, agent: str) -> None:
    assert agent_id_of(host) == agent


@given(st.text(max_size=80))
def test_any_name_of_a_computer_becomes_a_valid_agent_id(host: str) -> None:
    assert is_agent_id(agent_id_of(host))


@given(st.from_regex(r"[a-z0-9]+(-[a-z0-9]+)*", fullmatch=True))
def test_a_name_that_is_an_agent_id_stays(host: str) -> None:
    assert agent_id_of(host) == host or not is_agent_id(host)


@pytest.mark.parametrize(
    ("text", "words"), [("con", "Windows"), ("site", "site"), ("Lab", "lower-case")]
)
def test_why_a_text_names_no_agent(text: str, words: str) -> None:
    assert words in why_no_agent_id(text)


@pytest.mark.parametrize(
    "name",
    [
        "con",
        "CON",
        "con.json",
        "nul.tar.gz",
        "com1",
        "COM¹.json",
        "aux ",
        "lpt9.",
        "x.",
        "x ",
        "prn:",
    ],
)
def test_names_that_windows_keeps_for_itself(name: str) -> None:
    assert is_reserved(name)
    aside = set_aside_name(f"{names.PENDING}{name}")
    assert not is_reserved(aside.rpartition("/")[2])


@pytest.mark.parametrize("name", ["icon", "console", "com10", "com", "a.con", "nullable.json"])
def test_names_that_it_does_not(name: str) -> None:
    assert not is_reserved(name)


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
