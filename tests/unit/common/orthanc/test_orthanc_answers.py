"""Answers of Orthanc that are not what they should be become one named error."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from segrelay.errors import (
    OrthancRefusedError,
    OrthancUnavailableError,
    SegRelayError,
    TransientError,
)
from segrelay.orthanc import OrthancClient, OrthancSettings, answers
from segrelay.orthanc.answers import InstanceInfo, UnexpectedAnswerError
from tests.support.jobs import orthanc_id
from tests.support.servers.raw_server import answer, raw_server

SERIES, STUDY, IMAGE = orthanc_id(1), orthanc_id(2), orthanc_id(3)

INSTANCE = {
    "ID": IMAGE,
    "Type": "Instance",
    "ParentSeries": SERIES,
    "MainDicomTags": {"SOPInstanceUID": "1.2.3"},
    "FileSize": 526_000,
    "FileUuid": "5f2e",
}

ODD_INSTANCES: dict[str, Any] = {
    "no size": {"FileSize": None},
    "a size in words": {"FileSize": "large"},
    "a negative size": {"FileSize": -1},
    "a size that is no number": {"FileSize": True},
    "a size with a fraction": {"FileSize": 1.5},
    "a size of a zettabyte": {"FileSize": 10**18},
    "a size of many digits": {"FileSize": "9" * 5000},
    "tags null": {"MainDicomTags": None},
    "tags a list": {"MainDicomTags": []},
    "a UID that is a number": {"MainDicomTags": {"SOPInstanceUID": 7}},
    "an id that is none": {"ID": "../../etc/passwd"},
    "an id in a list": {"ID": [IMAGE]},
    "a parent that is none": {"ParentSeries": None},
    "another series": {"ParentSeries": orthanc_id(9)},
    "a type that is a number": {"Type": 3},
    "a file id that is an object": {"FileUuid": {}},
}


@pytest.mark.parametrize("change", ODD_INSTANCES.values(), ids=ODD_INSTANCES)
def test_an_odd_instance_is_named_without_its_value(change: dict[str, Any]) -> None:
    with pytest.raises(UnexpectedAnswerError) as raised:
        answers.inventory([INSTANCE | change], [SERIES])
    assert "passwd" not in raised.value.message
    assert raised.value.code == "orthanc-answer"
    # It is tried again, and says nothing about Orthanc as a whole.
    assert isinstance(raised.value, TransientError)
    assert not isinstance(raised.value, OrthancUnavailableError)


@pytest.mark.parametrize("field", ["ID", "ParentSeries", "MainDicomTags", "FileSize"])
def test_a_field_that_is_missing_is_odd(field: str) -> None:
    item = {name: value for name, value in INSTANCE.items() if name != field}
    with pytest.raises(UnexpectedAnswerError, match=field):
        answers.inventory([item], [SERIES])


@pytest.mark.parametrize("answered", [None, {}, {"items": 7}, 7, "x", [None], [7], [[]]])
def test_something_else_where_a_list_of_objects_belongs(answered: object) -> None:
    with pytest.raises(UnexpectedAnswerError):
        answers.inventory(answered, [SERIES])
    if answered != [None]:
        with pytest.raises(UnexpectedAnswerError):
            answers.ids(answered, "a search")


def test_an_instance_that_comes_twice() -> None:
    with pytest.raises(UnexpectedAnswerError, match="twice"):
        answers.inventory([INSTANCE, copy.deepcopy(INSTANCE)], [SERIES])


def test_what_older_and_newer_orthancs_answer_is_read() -> None:
    wanted = InstanceInfo(
        orthanc_id=IMAGE,
        series_id=SERIES,
        sop_instance_uid="1.2.3",
        size_bytes=526_000,
        file_uuid="5f2e",
    )
    padded = {"MainDicomTags": {"SOPInstanceUID": "1.2.3\0"}, "FileSize": "526000"}
    for change in ({}, padded, {"Labels": [], "IsStable": True, "Metadata": {"a": [1]}}):
        assert answers.inventory([INSTANCE | change], [SERIES]) == [wanted]
    assert answers.inventory([INSTANCE | {"Type": "Series"}], [SERIES]) == []


UPLOADED = {"ID": IMAGE, "ParentSeries": SERIES, "Status": "Success"}


@pytest.mark.parametrize(
    "change", [{"Status": "Odd"}, {"Status": None}, {"ID": 7}, {"ParentSeries": []}]
)
def test_an_odd_answer_to_an_upload_costs_no_seg(change: dict[str, Any]) -> None:
    with pytest.raises(UnexpectedAnswerError):
        answers.upload_reply(UPLOADED | change)


ODD_JSON = {
    "deep": b"[" * 5000 + b"]" * 5000,
    "half a character": json.dumps(["\ud800"]).encode(),
    "not UTF-8": b'["\xff"]',
    "NaN": b"[NaN]",
    "a huge number": b"[" + b"9" * 100_000 + b"]",
    "cut": json.dumps([INSTANCE]).encode()[:-9],
    "twice the same name": b'[{"ID": 1, "ID": 2}]',
}


@pytest.mark.parametrize("body", ODD_JSON.values(), ids=ODD_JSON)
def test_json_that_is_none_is_odd_at_every_call(body: bytes) -> None:
    with raw_server(answer(body)) as server:
        client = OrthancClient(OrthancSettings.model_validate({"url": server.url, "retries": 0}))
        for call in (
            client.system,
            lambda: client.series(SERIES),
            lambda: client.inventory([SERIES]),
            lambda: client.study_series(STUDY),
            lambda: client.upload(b"x"),
            lambda: client.find_instance("1.2.3"),
        ):
            with pytest.raises(TransientError) as raised:
                call()
            assert raised.value.code == "orthanc-answer"
        client.close()


@pytest.mark.parametrize(
    ("status", "kind"),
    [("Failure", OrthancUnavailableError), ("FilteredOut", OrthancRefusedError)],
)
def test_an_index_that_fails_costs_no_seg_and_a_filter_does(
    status: str, kind: type[SegRelayError]
) -> None:
    """Orthanc answers so while its database is away."""
    with pytest.raises(kind):
        answers.upload_reply({"Status": status})
