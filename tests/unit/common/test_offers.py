"""The profiles that a heartbeat offers: told in full, in brief, or not at all."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from lab_side.agent.reporting.status_board import StatusBoard
from lab_side.settings.config import PACKAGED_PROFILES
from segrelay.notices import notice
from segrelay.offers import Offer
from segrelay.profiles import load_profile
from segrelay.queue import AgentState, Heartbeat
from segrelay.queue.lease import _METADATA_LIMIT
from tests.support.jobs import make_identity

SHIPPED = [load_profile(path.parent) for path in sorted(PACKAGED_PROFILES.glob("*/profile.json"))]
DEMO = next(Offer.of(profile) for profile in SHIPPED if profile.name == "demo")


def heartbeat_of(*offers: Offer, reason: str = "") -> Heartbeat:
    return Heartbeat(
        identity=make_identity(),
        state="listening",
        reason=reason,
        version="1",
        profiles=tuple(offer.name for offer in offers),
        offers=offers,
    )


def read_back(heartbeat: Heartbeat) -> Heartbeat:
    metadata = heartbeat.to_metadata()
    assert len(metadata["beat"].encode()) <= _METADATA_LIMIT
    found = Heartbeat.from_metadata(metadata)
    assert found is not None
    return found


def test_every_profile_that_is_shipped_fits_in_full() -> None:
    offers = tuple(Offer.of(profile) for profile in SHIPPED)
    status = StatusBoard(
        identity=make_identity(),
        version="1",
        profiles=tuple(offer.name for offer in offers),
        offers=offers,
    )
    assert read_back(status.heartbeat()).offers == offers
    for profile, offer in zip(SHIPPED, offers, strict=True):
        assert tuple(item.role for item in offer.roles) == profile.roles
        assert offer.title == profile.title


def test_a_reason_has_its_code_and_a_code_that_cannot_be_read_is_no_death() -> None:
    why = notice("disk-low", free_gb=1.5)
    board = StatusBoard(identity=make_identity(), version="1", profiles=("demo",))
    board.set_state(AgentState.WAITING, why)
    found = read_back(board.heartbeat())
    assert (found.reason, found.notice) == (why.text, why)
    for odd in ({"code": 7}, "odd", {"code": "disk-low", "parameters": {"x": "a b"}, "text": "x"}):
        written = json.loads(board.heartbeat().to_metadata()["beat"]) | {"notice": odd}
        read = Heartbeat.from_metadata({"beat": json.dumps(written)})
        assert read is not None
        assert (read.reason, read.notice) == (why.text, None)
    older = json.loads(board.heartbeat().to_metadata()["beat"])
    del older["notice"]
    read = Heartbeat.from_metadata({"beat": json.dumps(older)})
    assert read is not None
    assert (read.reason, read.notice) == (why.text, None)


def many(count: int) -> tuple[Offer, ...]:
    return tuple(DEMO.model_copy(update={"name": f"demo-{number}"}) for number in range(count))


@given(count=st.integers(0, 150), reason=st.text(max_size=3000))
def test_any_number_of_profiles_leaves_a_readable_heartbeat(count: int, reason: str) -> None:
    heartbeat = heartbeat_of(*many(count), reason=reason)
    found = read_back(heartbeat)
    brief = tuple(offer.without_texts() for offer in heartbeat.offers)
    assert found.offers in (heartbeat.offers, brief, ())
    assert found.profiles == heartbeat.profiles or not found.offers
    assert found.identity == heartbeat.identity


def test_texts_go_first_then_roles_then_names() -> None:
    by_count = {count: read_back(heartbeat_of(*many(count))) for count in (1, 10, 60, 1000)}
    assert by_count[1].offers[0].title is not None
    assert by_count[10].offers[0].title is None
    assert by_count[10].offers[0].roles[0].role == "dce-0"
    assert by_count[60].offers == ()
    assert len(by_count[60].profiles) == 60
    assert by_count[1000].profiles == ()


def test_offers_of_another_version_are_no_reason_to_count_an_agent_as_dead() -> None:
    document = json.loads(heartbeat_of(DEMO).to_metadata()["beat"])
    document["offers"][0]["roles"] = "all of them"
    found = Heartbeat.from_metadata({"beat": json.dumps(document)})
    assert found is not None
    assert (found.offers, found.profiles) == ((), ("demo",))


def test_what_a_newer_agent_tells_on_top_is_left_out() -> None:
    document = json.loads(heartbeat_of(DEMO).to_metadata()["beat"])
    document["offers"][0]["speed"] = 9
    found = Heartbeat.from_metadata({"beat": json.dumps(document)})
    assert found is not None
    assert found.offers == (DEMO,)


def test_region_and_use_travel_even_without_texts_and_an_older_agent_tells_none() -> None:
    for offers in ((DEMO,), many(10)):
        found = read_back(heartbeat_of(*offers)).offers[0]
        assert (found.body_part, found.for_patients) == ("BREAST", False)
        assert found.trained_on_synthetic is False
    document = json.loads(heartbeat_of(DEMO).to_metadata()["beat"])
    del document["offers"][0]["body_part"], document["offers"][0]["for_patients"]
    older = Heartbeat.from_metadata({"beat": json.dumps(document)})
    assert older is not None
    assert (older.offers[0].body_part, older.offers[0].for_patients) == (None, None)
    assert older.offers[0].roles == DEMO.roles


def test_a_rule_travels_and_one_that_says_nothing_here_is_none() -> None:
    for profile in SHIPPED:
        told = read_back(heartbeat_of(Offer.of(profile))).offers[0].roles
        for item, role in zip(profile.inputs, told, strict=True):
            assert role.recognition is not None
            assert role.recognition.rule == item.recognition
    document = json.loads(heartbeat_of(DEMO).to_metadata()["beat"])
    document["offers"][0]["roles"][0]["recognition"] = {"weighting": "DWI", "b_value": 1000}
    found = Heartbeat.from_metadata({"beat": json.dumps(document)})
    assert found is not None
    rule = found.offers[0].roles[0].recognition
    assert rule is not None
    assert rule.rule is None
