"""Manifests are read strictly, and every refusal has its code and a remedy."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from segrelay.errors import ManifestRejectedError
from segrelay.manifest import (
    MANIFEST_BYTES_LIMIT,
    JobManifest,
    ReportReference,
    notes_of,
    parse_job_manifest,
    parse_result,
    schema_for,
)
from segrelay.notices import Notice, notice
from tests.support.jobs import make_manifest, make_result, orthanc_id


def _changed(**changes: Any) -> bytes:
    document = json.loads(make_manifest().to_json())
    document.update(changes)
    return json.dumps(document).encode()


def _parts(first: dict[str, object]) -> list[dict[str, object]]:
    """Four phases of one series; ``first`` changes the first."""
    part = {"key": "temporal-position", "count": 4, "expected_images": 70}
    return [
        {
            "role": f"dce-{index}",
            "orthanc_id": orthanc_id(1),
            "part": part | {"index": index} | (first if index == 0 else {}),
        }
        for index in range(4)
    ]


def _series(*numbers: int) -> list[dict[str, str]]:
    return [{"role": f"dce-{n}", "orthanc_id": orthanc_id(k)} for n, k in enumerate(numbers)]


def test_a_manifest_reads_back_as_written() -> None:
    manifest = make_manifest()
    assert parse_job_manifest(manifest.to_json()) == manifest


def test_a_manifest_with_labels_is_of_a_newer_schema_and_without_them_of_the_old_one() -> None:
    """An older agent sets the first aside politely, and reads the second as before."""
    labelled = make_manifest(labels=("site-a", "gpu-24gb"))
    assert parse_job_manifest(labelled.to_json()) == labelled
    assert json.loads(labelled.to_json())["schema_version"] == "1.1"
    plain = json.loads(make_manifest().to_json())
    assert plain["schema_version"] == "1.0"
    assert "labels" not in plain


def test_confirmed_contradictions_have_a_newer_schema_and_are_written_where_there_are_some() -> (
    None
):
    for labels in ((), ("site-a",)):
        confirmed = make_manifest(labels=labels, confirmed=("body-part", "role-unsure"))
        assert parse_job_manifest(confirmed.to_json()) == confirmed
        document = json.loads(confirmed.to_json())
        assert document["schema_version"] == "1.2"
        assert ("labels" in document) == bool(labels)
    plain = json.loads(make_manifest().to_json())
    assert plain["schema_version"] == "1.0"
    assert "confirmed" not in plain
    empty = parse_job_manifest(_changed(schema_version="1.2"))
    assert empty.confirmed == ()


def test_parts_of_one_series_are_written_only_where_there_are_any() -> None:
    manifest = parse_job_manifest(_changed(schema_version="1.4", series=_parts({})))
    assert parse_job_manifest(manifest.to_json()) == manifest
    assert [item.part and item.part.name for item in manifest.series] == [
        f"temporal-position {index}/4" for index in range(4)
    ]
    assert schema_for((), has_parts=manifest.has_parts) == "1.4"
    plain = json.loads(make_manifest().to_json())
    assert plain["schema_version"] == "1.0"
    assert all("part" not in item for item in plain["series"])


def test_a_result_reads_back_as_written() -> None:
    result = make_result(make_manifest().job_id)
    assert parse_result(result.to_json()) == result


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "manifest-not-json"),
        (b"{", "manifest-not-json"),
        (b"[1]", "manifest-not-json"),
        (b"\xff\xfe", "manifest-not-json"),
        (b"[" * 100_000, "manifest-too-large"),
        (b"[" * 60_000, "manifest-not-json"),
        (b" " * (MANIFEST_BYTES_LIMIT + 1), "manifest-too-large"),
        (_changed(schema_version="2.0"), "schema-newer"),
        (_changed(schema_version="1.5"), "schema-newer"),
        (_changed(series=_parts({})), "manifest-invalid"),
        (_changed(schema_version="1.3", series=_parts({})), "manifest-invalid"),
        (_changed(schema_version="1.4", series=_parts({"index": 4})), "manifest-invalid"),
        (_changed(schema_version="1.4", series=_parts({"index": 1})), "manifest-invalid"),
        (_changed(schema_version="1.4", series=_parts({"count": 5})), "manifest-invalid"),
        (_changed(schema_version="1.4", series=_parts({"key": "Kim"})), "manifest-invalid"),
        (_changed(confirmed=["body-part"]), "manifest-invalid"),
        (_changed(schema_version="1.1", confirmed=["body-part"]), "manifest-invalid"),
        (_changed(schema_version="1.2", confirmed=["Hong^Gildong"]), "manifest-invalid"),
        (_changed(schema_version="1.2", confirmed=["role-unsure"] * 17), "manifest-invalid"),
        (_changed(labels=["site-a"]), "manifest-invalid"),
        (_changed(schema_version="1.1", labels=["Site A"]), "manifest-invalid"),
        (_changed(schema_version=1), "manifest-invalid"),
        (_changed(surprise=1), "manifest-invalid"),
        (_changed(profile="Demo"), "manifest-invalid"),
        (_changed(priority=10), "manifest-invalid"),
        (_changed(submitted_at="2026-01-01T00:00:00"), "manifest-invalid"),
        (_changed(orthanc_study_id="../../etc"), "manifest-invalid"),
        (_changed(series=[]), "manifest-invalid"),
        (_changed(series=_series(1, 1)), "manifest-invalid"),
        (_changed(job_id="01"), "manifest-invalid"),
    ],
)
def test_bad_manifests_are_rejected_with_their_code(data: bytes, code: str) -> None:
    with pytest.raises(ManifestRejectedError) as caught:
        parse_job_manifest(data)
    assert caught.value.code == code
    assert caught.value.remedy


def test_a_result_without_report_is_what_an_older_site_reads() -> None:
    result = make_result(make_manifest().job_id)
    document = json.loads(result.to_json())
    assert "report" not in document
    assert document["provenance"].keys().isdisjoint({"registrations", "flips"})
    assert result.provenance is not None
    flipped = result.provenance.model_copy(update={"flips": ((0,), (1, 2))})
    told = result.model_copy(update={"provenance": flipped})
    assert parse_result(told.to_json()) == told
    assert result.seg is not None
    reported = result.model_copy(
        update={
            "report": ReportReference(
                orthanc_id=result.seg.orthanc_id,
                sop_instance_uid="2.25.1",
                series_instance_uid="2.25.2",
                sha256="0" * 64,
                size_bytes=1,
            )
        }
    )
    assert parse_result(reported.to_json()) == reported


NOTES = (
    notice("resampled", role="t2", other="t1"),
    notice("brain-found", role="t1", volume_ml=1234),
)


def test_a_result_says_its_notices_twice_so_that_every_site_can_show_them() -> None:
    plain = make_result(make_manifest().job_id)
    document = json.loads(plain.to_json())
    assert document["schema_version"] == "1.0"
    assert "notices" not in document
    result = plain.model_copy(update=notes_of(NOTES, before=["of an older draft"]))
    document = json.loads(result.to_json())
    assert document["schema_version"] == "1.3"
    assert document["warnings"] == ["of an older draft", *(item.text for item in NOTES)]
    assert document["notices"][1] == {
        "code": "brain-found",
        "parameters": {"role": "t1", "volume_ml": 1234},
        "text": "The brain was found in t1: 1234 ml.",
    }
    assert parse_result(result.to_json()) == result


def test_a_site_reads_the_results_of_newer_and_older_agents() -> None:
    result = make_result(make_manifest().job_id).model_copy(update=notes_of(NOTES))
    newer = json.loads(result.to_json()) | {"schema_version": "1.9", "surprise": [1]}
    newer["provenance"]["surprise"] = "x"
    newer["notices"].append({"code": "odd", "parameters": {"name": "Hong^Gildong"}, "text": "x"})
    assert parse_result(json.dumps(newer).encode()) == result.model_copy(
        update={"schema_version": "1.9"}
    )
    older = json.loads(result.to_json()) | {"schema_version": "1.0"}
    del older["notices"]
    found = parse_result(json.dumps(older).encode())
    assert (found.notices, found.warnings) == ((), result.warnings)
    for change in ({"surprise": 1}, {"schema_version": "1.2"}, {"schema_version": "2.0"}):
        with pytest.raises(ManifestRejectedError):
            parse_result(json.dumps(json.loads(result.to_json()) | change).encode())


@pytest.mark.parametrize(
    "value", ["Hong^Gildong", "Hong Gildong", "19700101 ", "", "/mnt/x", "a\n", True, None, ["a"]]
)
def test_a_parameter_is_a_number_or_names_and_codes(value: object) -> None:
    with pytest.raises(ValidationError):
        Notice.model_validate({"code": "a", "parameters": {"role": value}, "text": "x"})


def test_a_refusal_never_quotes_the_value() -> None:
    with pytest.raises(ManifestRejectedError) as caught:
        parse_job_manifest(_changed(orthanc_study_id="Hong^Gildong"))
    assert "orthanc_study_id" in caught.value.message
    assert "Hong" not in caught.value.message


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    with pytest.raises(ManifestRejectedError):
        parse_job_manifest(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(st.sampled_from(sorted(JobManifest.model_fields)), json_values)
def test_any_value_in_any_field_is_read_or_rejected(field: str, value: Any) -> None:
    data = _changed(**{field: value})
    try:
        manifest = parse_job_manifest(data)
    except ManifestRejectedError:
        return
    assert parse_job_manifest(manifest.to_json()) == manifest
