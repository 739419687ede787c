"""A study whose phases are one series: recognised, shown, chosen, and named in the manifest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from rest_framework.test import APIClient

from gcp_side.labseg.errors import ConfirmationNeededError, SubmissionRefusedError
from gcp_side.labseg.jobs.queue_from_row import manifest_of
from gcp_side.labseg.jobs.submission import Submission, retry, submit
from gcp_side.labseg.models import Job
from segrelay.manifest import PARTS_SCHEMA, parse_job_manifest
from segrelay.parts import PartImage, split_series
from segrelay.parts.volume_ids import VolumeId, volume_id_of
from tests.unit.gcp_side.fakes import (
    ROLES,
    STUDY_ID,
    FakeOrthanc,
    phase_tags,
    series_entry,
    series_id,
    series_info,
)

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = "/api/mri/segmentation"
SERIES = series_id(5)
SLICES = 6
Change = Callable[[PartImage, int, int], PartImage]


def dynamic(
    orthanc: FakeOrthanc,
    *,
    phases: int = 5,
    slices: int = SLICES,
    change: Change | None = None,
    number: int = 5,
) -> None:
    """Let the study be one series of phases, a minute apart."""
    entry = series_entry(number, description="ax dyn", number=str(number))
    images = []
    for phase in range(phases):
        for place in range(slices):
            image = PartImage(
                instance=f"{number}-{phase}-{place}",
                position=(0.0, 4.0 * place, 0.0),
                orientation=(1.0, 0.0, 0.0, 0.0, 0.0, -1.0),
                image_type=("ORIGINAL", "PRIMARY"),
                temporal_position=phase + 1,
                acquired=datetime(2026, 5, 4, 3, 20) + timedelta(minutes=phase),
            )
            images.append(image if change is None else change(image, phase, place))
    instances = tuple(image.instance for image in images)
    orthanc.series_index = [replace(entry, instances=instances)]
    orthanc.known = {entry.orthanc_id: series_info(number, instances=len(instances))}
    orthanc.images = {entry.orthanc_id: images}
    tags = phase_tags(0) | {"EchoTime": "1.8", "RepetitionTime": "4.6"}
    orthanc.tags_of = dict.fromkeys(instances, tags)


def volumes(*indices: int) -> tuple[str, ...]:
    return tuple(f"{SERIES}:{index}" for index in indices)


def ask(orthanc: FakeOrthanc, *volume_ids: str, **more: Any) -> Job:
    return submit(Submission(series_ids=volume_ids, **more), orthanc=orthanc)


def study(client: APIClient) -> Any:
    answer = client.get(f"{ROOT}/studies/{STUDY_ID}/")
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_the_study_shows_its_phases(client: APIClient, orthanc: FakeOrthanc) -> None:
    dynamic(orthanc)
    found = study(client)
    (series,) = found["series"]
    assert series["images"] == 5 * SLICES
    held = series["parts"].pop("volumes")
    assert [item["volume_id"] for item in held] == list(volumes(0, 1, 2, 3, 4))
    assert {(item["images"], item["stack"]) for item in held} == {(SLICES, 0)}
    assert [item["role"] for item in held] == ["dce-0", "dce-1", "dce-2", "dce-3", None]
    assert [item["confidence"] for item in held] == ["certain"] * 4 + [None]
    assert held[1]["taken"] == "acquisition time 03:21:00"
    assert held[1]["evidence"] == found["roles"][1]["evidence"]
    assert series["parts"] == {
        "count": 5,
        "stacks": 1,
        "images": SLICES,
        "key": "temporal-position",
        "volume_ids": list(volumes(0, 1, 2, 3, 4)),
        "text": "5 phases of 6 images, by temporal position",
        "code": "",
        "remedy": "",
    }
    assert [role["series_id"] for role in found["roles"]] == list(volumes(0, 1, 2, 3))
    assert {role["confidence"] for role in found["roles"]} == {"certain"}
    assert found["roles"][1]["evidence"].startswith("The temporal position is 2 of 5")


def test_the_stacks_of_both_breasts_are_named_by_their_side(
    client: APIClient, orthanc: FakeOrthanc
) -> None:
    def sagittal(image: PartImage, _phase: int, place: int) -> PartImage:
        x = 4.0 * place - 80 if place < SLICES // 2 else 4.0 * place + 60
        return replace(image, position=(x, 0.0, 0.0), orientation=(0.0, 1.0, 0.0, 0.0, 0.0, -1.0))

    dynamic(orthanc, phases=4, slices=SLICES + 1, change=sagittal)
    (series,) = study(client)["series"]
    assert series["parts"]["stacks"] == 2
    assert series["parts"]["text"].startswith("2 stacks, each with 4 phases of 3–4 images, by ")  # noqa: RUF001
    by_x = {
        image.instance: "right" if (image.position or ())[0] < 0 else "left"
        for image in orthanc.images[SERIES]
    }
    split = split_series(orthanc.images[SERIES])
    expected = [by_x[part.images[0].instance] for part in split.parts]
    assert [item["side"] for item in series["parts"]["volumes"]] == expected
    assert set(expected) == {"right", "left"}


@pytest.mark.parametrize(("series", "listed"), [(1, 4), (3, 4), (4, 0), (5, 0)])
def test_phases_in_series_of_their_own_are_not_listed_as_in_one(
    client: APIClient, orthanc: FakeOrthanc, series: int, listed: int
) -> None:
    orthanc.series_index = [series_entry(number, temporal_positions=4) for number in range(series)]
    (found,) = client.get(f"{ROOT}/studies/").json()["studies"]
    assert found["phases"] == listed


def test_the_tags_of_all_images_are_read_once(client: APIClient, orthanc: FakeOrthanc) -> None:
    study(client)
    assert "series_images" not in orthanc.calls
    dynamic(orthanc)
    study(client)
    study(client)
    assert orthanc.calls.count("series_images") == 1


def test_the_job_names_parts_of_the_series(orthanc: FakeOrthanc) -> None:
    dynamic(orthanc)
    job = ask(orthanc, *volumes(0, 1, 2, 3))
    manifest = parse_job_manifest(manifest_of(job).to_json())
    assert manifest.schema_version == PARTS_SCHEMA
    assert {item.orthanc_id for item in manifest.series} == {SERIES}
    assert {item.expected_instances for item in manifest.series} == {5 * SLICES}
    parts = [item.part for item in manifest.series]
    assert [part and (part.index, part.count, part.expected_images) for part in parts] == [
        (index, 5, SLICES) for index in range(4)
    ]
    assert job.series_ids == volumes(0, 1, 2, 3)


def test_one_series_is_enough(orthanc: FakeOrthanc) -> None:
    dynamic(orthanc)
    assert ask(orthanc, SERIES).series_ids == volumes(0, 1, 2, 3)


def test_a_series_before_contrast_and_one_with_the_rest(
    client: APIClient, orthanc: FakeOrthanc
) -> None:
    dynamic(orthanc, phases=1, number=4)
    before = (orthanc.series_index[0], orthanc.known, orthanc.images, orthanc.tags_of)
    dynamic(
        orthanc,
        phases=4,
        change=lambda image, *_: replace(
            image, acquired=(image.acquired or datetime.min) + timedelta(minutes=3)
        ),
    )
    orthanc.series_index.append(before[0])
    orthanc.known |= before[1]
    orthanc.images |= before[2]
    orthanc.tags_of |= before[3]
    found = [role["series_id"] for role in study(client)["roles"]]
    assert found == [series_id(4), *volumes(0, 1, 2)]
    assert {role["confidence"] for role in study(client)["roles"]} <= {"certain", "likely"}
    assert ask(orthanc, series_id(4), SERIES).series_ids == (series_id(4), *volumes(0, 1, 2))


def test_trigger_times_of_two_series_are_not_compared(
    client: APIClient, orthanc: FakeOrthanc
) -> None:
    """As GE writes them: each series begins at 0, and all images have one time of acquisition."""

    def triggered(image: PartImage, phase: int, _: int) -> PartImage:
        return replace(image, temporal_position=None, acquired=None, trigger_ms=30_000.0 * phase)

    dynamic(orthanc, phases=1, change=triggered, number=4)
    tags = phase_tags(0) | {"EchoTime": "1.8", "RepetitionTime": "4.6", "TriggerTime": "45000"}
    tags |= {"TemporalPositionIdentifier": ""}
    before = (orthanc.series_index[0], orthanc.known, orthanc.images, orthanc.tags_of)
    dynamic(orthanc, phases=4, change=triggered)
    orthanc.series_index.append(before[0])
    orthanc.known |= before[1]
    orthanc.images |= before[2]
    orthanc.tags_of |= dict.fromkeys(before[3], tags)
    roles = study(client)["roles"]
    assert [role["series_id"] for role in roles] == [series_id(4), *volumes(0, 1, 2)]
    assert {role["confidence"] for role in roles} == {"likely"}


def test_a_retry_does_not_take_other_phases_than_the_job(orthanc: FakeOrthanc) -> None:
    """A phase came later that is before those of the job: their numbers are those of others now."""
    dynamic(orthanc, change=lambda image, phase, _: replace(image, temporal_position=phase + 2))
    job = ask(orthanc, *volumes(0, 1, 2, 3), confirm=True)
    dynamic(orthanc, phases=6)
    with pytest.raises(SubmissionRefusedError) as caught:
        retry(_failed(job), orthanc=orthanc, confirm=True)
    assert caught.value.code == "parts-changed"


def test_other_phases_than_the_recognised_want_a_yes(orthanc: FakeOrthanc) -> None:
    dynamic(orthanc)
    with pytest.raises(ConfirmationNeededError):
        ask(orthanc, *volumes(1, 2, 3, 4))
    job = ask(orthanc, *volumes(1, 2, 3, 4), confirm=True)
    assert [item["part"]["index"] for item in job.series] == [1, 2, 3, 4]
    again = retry(_failed(job), orthanc=orthanc, confirm=True).job
    assert again.series == job.series


def _failed(job: Job) -> str:
    job.refresh_from_db()
    Job.objects.filter(pk=job.pk).update(state="failed")
    return str(job.pk)


@pytest.mark.parametrize(
    ("ids", "code"),
    [
        (volumes(0, 1, 2, 2), "series-twice"),
        (volumes(0, 1, 2, 5), "no-such-part"),
        ((SERIES, *volumes(1, 2, 3)), "part-needed"),
        (volumes(0, 1, 2), "series-count"),
        ((f"{SERIES}:01", *volumes(1, 2, 3)), "volume-id"),
        ((f"{SERIES}:x", *volumes(1, 2, 3)), "volume-id"),
        (("x:0", *volumes(1, 2, 3)), "series-id"),
    ],
)
def test_what_names_no_volume_is_refused(
    orthanc: FakeOrthanc, ids: tuple[str, ...], code: str
) -> None:
    dynamic(orthanc)
    with pytest.raises(SubmissionRefusedError) as caught:
        ask(orthanc, *ids)
    assert caught.value.code == code
    assert Job.objects.count() == 0


def test_a_series_after_enough_volumes_is_not_left_out_in_silence(orthanc: FakeOrthanc) -> None:
    """Phases after contrast, given before the series without it: also where all is confirmed."""
    before = (orthanc.series_index[1], orthanc.known)
    dynamic(orthanc)
    orthanc.series_index.append(before[0])
    orthanc.known |= before[1]
    with pytest.raises(SubmissionRefusedError) as caught:
        ask(orthanc, SERIES, series_id(1), confirm=True)
    assert caught.value.code == "series-count"
    assert f"Series {series_id(1)} is not used" in caught.value.message
    job = ask(orthanc, series_id(1), SERIES, confirm=True)
    assert [item["orthanc_id"] for item in job.series] == [series_id(1), SERIES, SERIES, SERIES]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (f"{SERIES}:5", "no-such-part"),
        (f"{SERIES}:x", "volume-id"),
        (f"{series_id(1)}:0", "no-such-part"),
        ("x", "series-id"),
    ],
)
def test_a_request_for_what_is_no_volume_is_bad(
    client: APIClient, orthanc: FakeOrthanc, name: str, code: str
) -> None:
    whole = (orthanc.series_index[1], orthanc.known)
    dynamic(orthanc)
    orthanc.series_index.append(whole[0])
    orthanc.known |= whole[1]
    body = {"series": dict(zip(ROLES, (name, *volumes(1, 2, 3)), strict=True))}
    answer = client.post(f"{ROOT}/studies/{STUDY_ID}/segment/", body, format="json")
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert answer.json()["remedy"]
    viewed = client.get(f"{ROOT}/series/{name}/geometry/")
    assert viewed.status_code == 400
    assert viewed.json()["code"] == code.replace("series-id", "orthanc-id")


def test_the_tags_are_read_again_when_an_instance_was_replaced(
    client: APIClient, orthanc: FakeOrthanc
) -> None:
    dynamic(orthanc)
    study(client)
    orthanc.series_index[0] = replace(orthanc.series_index[0], last_update="20261130T101112")
    study(client)
    assert orthanc.calls.count("series_images") == 2


def test_a_series_that_cannot_be_split_says_why(client: APIClient, orthanc: FakeOrthanc) -> None:
    dynamic(orthanc, change=lambda image, *_: replace(image, temporal_position=None, acquired=None))
    found = study(client)
    parts = found["series"][0]["parts"]
    assert (parts["count"], parts["code"]) == (0, "parts-unordered")
    assert (
        parts["text"]
        == "The series holds 5 images at every place, and nothing tells the volumes apart."
    )
    assert {role["series_id"] for role in found["roles"]} == {None}
    with pytest.raises(SubmissionRefusedError) as caught:
        ask(orthanc, SERIES)
    assert caught.value.code == "parts-unordered"


def test_fewer_phases_than_the_series_declares_are_not_certain(
    client: APIClient, orthanc: FakeOrthanc
) -> None:
    dynamic(orthanc, change=lambda image, *_: replace(image, positions_declared=6))
    roles = study(client)["roles"]
    assert {role["confidence"] for role in roles} == {"likely"}
    assert "says that it has 6 temporal positions" in roles[0]["evidence"]


def test_fewer_phases_than_declared_are_a_guess_where_nothing_counts_them_from_the_first_on(
    client: APIClient, orthanc: FakeOrthanc
) -> None:
    def later(image: PartImage, *_: int) -> PartImage:
        position = (image.temporal_position or 0) + 1
        return replace(image, positions_declared=6, temporal_position=position)

    dynamic(orthanc, change=later)
    assert {role["confidence"] for role in study(client)["roles"]} == {"guess"}


def test_a_localizer_inside_is_left_out_and_said(client: APIClient, orthanc: FakeOrthanc) -> None:
    def scout(image: PartImage, phase: int, place: int) -> PartImage:
        is_scout = (phase, place) == (4, 5)
        return (
            replace(image, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER")) if is_scout else image
        )

    dynamic(orthanc, phases=5, change=scout)
    orthanc.images[SERIES] = [
        image
        for image in orthanc.images[SERIES]
        if image.temporal_position != 5 or "LOCALIZER" in image.image_type
    ]
    orthanc.series_index = [
        replace(
            orthanc.series_index[0],
            instances=tuple(image.instance for image in orthanc.images[SERIES]),
        )
    ]
    text = study(client)["series"][0]["parts"]["text"]
    assert text == "4 phases of 6 images, by temporal position; 1 image left out (localizer)"


@pytest.mark.parametrize("key", ["content", "acquisition_number"])
def test_volumes_of_one_time_of_acquisition_are_a_guess(
    client: APIClient, orthanc: FakeOrthanc, key: str
) -> None:
    """Water and fat of one phase may look like this: only the times of writing differ."""
    start = datetime(2026, 5, 4, 3, 20)

    def written(image: PartImage, phase: int, _: int) -> PartImage:
        value: Any = start + timedelta(minutes=phase) if key == "content" else phase + 1
        return replace(image, temporal_position=None, acquired=start, **{key: value})

    dynamic(orthanc, phases=4, change=written)
    roles = study(client)["roles"]
    assert [role["series_id"] for role in roles] == list(volumes(0, 1, 2, 3))
    assert {role["confidence"] for role in roles} == {"guess"}
    dynamic(
        orthanc,
        phases=5,
        change=lambda *at: replace(written(*at), acquired=None),
    )
    assert {role["confidence"] for role in study(client)["roles"]} == {"likely"}


def test_uneven_places_are_looked_at_for_shifted_phases(
    client: APIClient, orthanc: FakeOrthanc
) -> None:
    def shifted(image: PartImage, phase: int, place: int) -> PartImage:
        position = (0.0, 4.0 * place + 0.5 * phase, 0.0)
        return replace(image, temporal_position=None, position=position)

    dynamic(orthanc, change=shifted)
    assert study(client)["series"][0]["parts"]["code"] == "parts-shifted"


def test_urgent_is_for_those_who_may_change_requests(orthanc: FakeOrthanc) -> None:
    dynamic(orthanc)
    user = User.objects.create_user("nurse")
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_job", "add_job"]))
    client = APIClient()
    client.force_authenticate(user)
    body = {
        "series": dict(zip(("dce-0", "dce-1", "dce-2", "dce-3"), volumes(0, 1, 2, 3), strict=True))
    }
    address = f"{ROOT}/studies/{STUDY_ID}/segment/"
    refused = client.post(address, {**body, "priority": 0}, format="json")
    assert refused.status_code == 403
    assert "served before others" in refused.json()["error"]
    assert Job.objects.count() == 0
    assert client.post(address, {**body, "priority": 7}, format="json").status_code == 202
    user.user_permissions.add(Permission.objects.get(codename="change_job"))
    client.force_authenticate(User.objects.get(pk=user.pk))
    assert client.post(address, {**body, "priority": 0}, format="json").status_code == 202


@pytest.mark.parametrize("text", ["", "x", f"{SERIES}:", f"{SERIES}:-1", f"{SERIES}:1:2", ":1"])
def test_what_is_no_name_of_a_volume(text: str) -> None:
    assert volume_id_of(text) is None


def test_names_of_volumes() -> None:
    assert volume_id_of(SERIES) == VolumeId(SERIES)
    assert volume_id_of(f"{SERIES}:12") == VolumeId(SERIES, 12)
    assert str(VolumeId(SERIES, 12)) == f"{SERIES}:12"
