"""What ``lab-agent segment`` says of ids and their order, before it loads a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from lab_side.agent.by_hand.inputs import inputs_of
from lab_side.agent.by_hand.manual import with_confirmation
from lab_side.agent.by_hand.series_ids import check_ids, check_in_orthanc, check_number
from lab_side.agent.by_hand.series_order import order_notes
from lab_side.settings.config import PACKAGED_PROFILES
from segrelay.errors import ManifestRejectedError
from segrelay.manifest import JobManifest, SeriesInput, schema_for, utc_now
from segrelay.orthanc import InstanceInfo, OrthancClient, SeriesInfo
from segrelay.parts import PartImage
from segrelay.profiles import load_profile
from segrelay.ulid import new_ulid

DEMO = load_profile(PACKAGED_PROFILES / "demo")
BRAIN = load_profile(PACKAGED_PROFILES / "brats-segresnet")


def orthanc_id(number: int) -> str:
    return "-".join([f"abcdef{number:02}"] * 5)


IDS = [orthanc_id(number) for number in range(1, 5)]
UIDS = [f"1.2.826.0.1.{number}" for number in range(1, 5)]
STUDY, GONE = orthanc_id(50), orthanc_id(60)


class OneSeries:
    """An Orthanc with a series of four phases, which temporal positions count."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self.numbers = numbers

    def inventory(self, _: Sequence[str]) -> list[InstanceInfo]:
        return []

    def series_images(self, series_id: str, _: Sequence[str]) -> list[PartImage]:
        return [
            PartImage(
                instance=f"{series_id}/{phase}/{place}",
                position=(0.0, 0.0, 2.0 * place),
                orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
                temporal_position=phase,
                number=10 * number + place,
            )
            for phase, number in enumerate(self.numbers)
            for place in range(3)
        ]


def test_phases_of_one_series_are_taken_in_their_order() -> None:
    client = cast(OrthancClient, OneSeries([0, 1, 2, 3]))
    found = inputs_of(client, IDS[:1], ["a", "b", "c", "d"])
    assert [item.part.index for item in found if item.part] == [0, 1, 2, 3]


@pytest.mark.parametrize("numbers", [[3, 2, 1, 0], [0, 2, 1, 3]])
def test_phases_that_one_key_orders_against_the_instance_numbers_are_to_be_chosen(
    numbers: list[int],
) -> None:
    client = cast(OrthancClient, OneSeries(numbers))
    with pytest.raises(ManifestRejectedError) as caught:
        inputs_of(client, IDS[:1], ["a", "b", "c", "d"])
    assert caught.value.code == "part-needed"
    assert "in another order than temporal position" in caught.value.message


def parts_of(found: Sequence[SeriesInput]) -> list[tuple[str, int | None]]:
    return [(item.orthanc_id, item.part.index if item.part else None) for item in found]


def test_volumes_are_named_by_their_number_where_nothing_says_the_order() -> None:
    client = cast(OrthancClient, OneSeries([3, 2, 1, 0]))
    names = [f"{IDS[0]}:{index}" for index in (3, 2, 0, 1)]
    check_ids(names, DEMO.roles)
    found = inputs_of(client, names, DEMO.roles)
    assert parts_of(found) == [(IDS[0], index) for index in (3, 2, 0, 1)]
    mixed = inputs_of(client, [IDS[1], f"{IDS[0]}:0", f"{IDS[0]}:2", IDS[2]], DEMO.roles)
    assert parts_of(mixed) == [(IDS[1], None), (IDS[0], 0), (IDS[0], 2), (IDS[2], None)]


def test_a_volume_that_a_series_has_not_is_answered_with_those_that_it_has() -> None:
    with pytest.raises(ManifestRejectedError) as caught:
        inputs_of(cast(OrthancClient, OneSeries([0, 1, 2, 3])), [f"{IDS[0]}:4"], DEMO.roles)
    assert caught.value.code == "no-such-part"
    assert f"{IDS[0]}:0 to {IDS[0]}:3" in caught.value.remedy


def test_a_series_after_enough_volumes_is_not_left_out_in_silence() -> None:
    """Phases after contrast, given before the series without it, are enough for all roles."""
    with pytest.raises(ManifestRejectedError) as caught:
        inputs_of(cast(OrthancClient, OneSeries([0, 1, 2, 3])), IDS[:2], DEMO.roles)
    assert caught.value.code == "series-count"
    assert f"Series {IDS[1]} is not used" in caught.value.message
    assert f"{IDS[0]}:0 {IDS[0]}:1" in caught.value.message


class Client:
    """An Orthanc with four series of one study."""

    def kinds(self, ids: Sequence[str]) -> dict[str, str]:
        known = {
            **dict.fromkeys(IDS, "Series"),
            orthanc_id(9): "Series",
            STUDY: "Study",
            orthanc_id(51): "Instance",
        }
        return {text: known[text] for text in ids if text in known}

    def lookup(self, uid: str) -> list[tuple[str, str]]:
        known = {uid: [("Series", text)] for uid, text in zip(UIDS, IDS, strict=True)}
        return {**known, "1.2.3": [("Study", STUDY)]}.get(uid, [])

    def study_series(self, study_id: str) -> list[SeriesInfo]:
        assert study_id == STUDY
        return [
            SeriesInfo(
                orthanc_id=text,
                study_id=STUDY,
                study_instance_uid="1.2.3",
                series_instance_uid=uid,
                modality="MR",
                description="KIM MINSU",
                number=str(100 + place),
                instances=70,
            )
            for place, (text, uid) in enumerate(zip(IDS, UIDS, strict=True))
        ]


def refused(ids: Sequence[str], *, asks: bool = True) -> ManifestRejectedError:
    try:
        check_ids(ids, DEMO.roles)
        assert asks, "said without Orthanc"
        check_in_orthanc(cast(OrthancClient, Client()), ids, DEMO.roles)
        check_number(ids, DEMO.roles)
    except ManifestRejectedError as error:
        return error
    raise AssertionError("not refused")


def put(place: int, text: str) -> list[str]:
    return [*IDS[:place], text, *IDS[place + 1 :]]


@pytest.mark.parametrize(
    ("ids", "code", "said"),
    [
        (put(2, "KIM MINSU"), "orthanc-id", "3rd series id (dce-2) is not an id of Orthanc"),
        (put(1, IDS[0]), "orthanc-id", f"2nd series id (dce-1, {IDS[0]}) is the 1st one again"),
        (put(0, IDS[0].upper()), "orthanc-id", "1st series id (dce-0) has capital letters"),
        (put(0, IDS[0].replace("-", "")), "orthanc-id", "lacks the hyphens"),
        (put(3, f"https://o/app/explorer.html#series?uuid={IDS[3]}"), "orthanc-id", "an address"),
        ([",".join(IDS)], "orthanc-id", "ids are separated by spaces"),
        (put(1, f"{IDS[1]}:01"), "orthanc-id", "behind the colon belongs its number"),
        (put(1, f"{IDS[1]}:"), "orthanc-id", "behind the colon belongs its number"),
        ([f"{IDS[0]}:1"] * 2, "orthanc-id", f"(dce-1, {IDS[0]}:1) is the 1st one again"),
        (put(3, ""), "orthanc-id", "4th series id (dce-3) is empty"),
    ],
)
def test_what_the_text_alone_tells(ids: list[str], code: str, said: str) -> None:
    error = refused(ids, asks=False)
    assert error.code == code
    assert said in error.message
    assert "KIM" not in error.message + error.remedy


def test_an_id_inside_an_address_is_found() -> None:
    for text in (f"http://o/ui/#/series/{IDS[1]}", IDS[1].upper(), IDS[1].replace("-", "")):
        assert IDS[1] in refused(put(1, text), asks=False).remedy


def test_a_series_uid_is_answered_with_the_whole_line() -> None:
    error = refused([IDS[0], *UIDS[1:]])
    assert f"2nd series id (dce-1, {UIDS[1]}) is a Series Instance UID" in error.message
    assert f"--series-ids {' '.join(IDS)}" in error.remedy


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("1.2.3", "orthanc-id", "is a DICOM UID, of a study"),
        ("1.2.4", "orthanc-id", "is a DICOM UID, of nothing that Orthanc has"),
        (STUDY, "orthanc-id", "is the id of a study"),
        (orthanc_id(51), "orthanc-id", "is the id of an instance"),
        (GONE, "series-missing", "is nothing that Orthanc has"),
    ],
)
def test_what_only_orthanc_knows(text: str, code: str, said: str) -> None:
    error = refused(put(1, text))
    assert (error.code, said in error.message) == (code, True), error.message
    assert f"The 2nd series id (dce-1, {text}) " in error.message


def test_a_study_is_answered_with_its_series_and_nothing_of_the_patient() -> None:
    remedy = refused(put(0, STUDY)).remedy
    assert f"{IDS[0]} (series number 100, 70 images)" in remedy
    assert "KIM" not in remedy


def phases(**changes: Mapping[str, str]) -> dict[str, dict[str, str]]:
    tags = {
        role: {
            "AcquisitionDate": "20260302",
            "AcquisitionTime": f"10{place:02}00",
            "TemporalPositionIdentifier": str(place + 1),
            "ContrastBolusAgent": "Gd" if place else "",
        }
        for place, role in enumerate(DEMO.roles)
    }
    return {role: {**tags[role], **changes.get(role.replace("-", ""), {})} for role in tags}


def swapped(tags: dict[str, dict[str, str]], one: str, other: str) -> dict[str, dict[str, str]]:
    return {**tags, one: tags[other], other: tags[one]}


def test_series_in_order_give_no_note() -> None:
    assert order_notes(phases(), DEMO) == ()
    assert order_notes({role: {} for role in DEMO.roles}, DEMO) == ()
    odd = phases(dce1={"AcquisitionTime": "noon", "TemporalPositionIdentifier": "later"})
    assert order_notes(odd, DEMO) == ()
    midnight = phases(
        **{
            f"dce{place}": {"AcquisitionTime": time}
            for place, time in enumerate(("235800", "235900", "000000", "000100"))
        }
    )
    assert order_notes(midnight, DEMO) == ()


def test_swapped_phases_and_swapped_contrast() -> None:
    notes = order_notes(swapped(phases(), "dce-0", "dce-2"), DEMO)
    order = "dce-2, dce-1, dce-0, dce-3"
    assert f"By temporal position the series come as {order}." in notes
    assert f"By acquisition time the series come as {order}." in notes
    assert any("contrast agent is named for dce-0" in note for note in notes)


def test_swapped_weightings() -> None:
    times = {
        "T1": {"EchoTime": "3", "RepetitionTime": "500"},
        "T2": {"EchoTime": "100", "RepetitionTime": "5000"},
        "FLAIR": {"EchoTime": "120", "RepetitionTime": "9000", "InversionTime": "2500"},
    }
    tags: dict[str, dict[str, str]] = {}
    for item in BRAIN.inputs:
        assert item.recognition is not None
        tags[item.role] = dict(times[str(item.recognition.weighting)])
    assert order_notes(tags, BRAIN) == ()
    notes = order_notes(swapped(tags, "t2", "flair"), BRAIN)
    assert "Echo and repetition time of t2 are those of FLAIR." in notes


def test_the_right_order_is_given_and_confirm_goes_on() -> None:
    tags = swapped(phases(), "dce-0", "dce-3")

    class Tagged(Client):
        def inventory(self, series_ids: Sequence[str]) -> list[InstanceInfo]:
            return [
                InstanceInfo(
                    orthanc_id=text,
                    series_id=text,
                    sop_instance_uid="1",
                    size_bytes=1,
                    file_uuid="",
                )
                for text in series_ids
            ]

        def tags(self, instance_id: str) -> dict[str, Any]:
            return dict(tags[DEMO.roles[IDS.index(instance_id)]])

    manifest = JobManifest(
        job_id=new_ulid(),
        profile="demo",
        submitted_at=utc_now(),
        orthanc_study_id=STUDY,
        series=tuple(
            SeriesInput(role=role, orthanc_id=text)
            for role, text in zip(DEMO.roles, IDS, strict=True)
        ),
    )
    client = cast(OrthancClient, Tagged())
    with pytest.raises(ManifestRejectedError) as caught:
        with_confirmation(manifest, client, DEMO, confirm=False)
    assert caught.value.code == "confirmation-needed"
    right = [IDS[3], IDS[1], IDS[2], IDS[0]]
    assert f"--series-ids {' '.join(right)}. If it is right" in caught.value.remedy
    assert with_confirmation(manifest, client, DEMO, confirm=True).confirmed == ()


class Volumes(OneSeries):
    """Two series that hold phases, of which the second was acquired first."""

    def __init__(self, minutes: Mapping[str, Sequence[int]]) -> None:
        super().__init__([0, 1, 2, 3])
        self.minutes = minutes

    def series_images(self, series_id: str, _: Sequence[str]) -> list[PartImage]:
        images = super().series_images(series_id, [])
        minutes = self.minutes[series_id]
        return [
            replace(image, instance=f"{series_id}/{minutes[image.temporal_position or 0]}")
            for image in images
            if (image.temporal_position or 0) < len(minutes)
        ]

    def tags(self, instance_id: str) -> dict[str, Any]:
        return {"AcquisitionTime": f"10{int(instance_id.partition('/')[2]):02}00"}


@pytest.mark.parametrize(
    ("names", "right"),
    [
        ([IDS[0], IDS[1]], [f"{IDS[1]}:0", f"{IDS[1]}:1", f"{IDS[0]}:0", f"{IDS[0]}:1"]),
        (
            [f"{IDS[0]}:{index}" for index in (1, 0)] + [f"{IDS[2]}:{index}" for index in (0, 1)],
            [
                f"{IDS[0]}:0",
                f"{IDS[0]}:1",
                f"{IDS[2]}:0",
                f"{IDS[2]}:1",
            ],
        ),
        ([IDS[1], IDS[0]], None),
    ],
)
def test_volumes_of_several_series_in_another_order_than_that_of_time(
    names: list[str], right: list[str] | None
) -> None:
    minutes = {IDS[0]: [4, 5], IDS[1]: [1, 2], IDS[2]: [7, 8]}
    client = cast(OrthancClient, Volumes(minutes))
    manifest = JobManifest(
        job_id=new_ulid(),
        profile="demo",
        submitted_at=utc_now(),
        orthanc_study_id=STUDY,
        series=inputs_of(client, names, DEMO.roles),
        schema_version=schema_for((), has_parts=True),
    )
    if right is None:
        assert with_confirmation(manifest, client, DEMO, confirm=False) == manifest
        return
    with pytest.raises(ManifestRejectedError) as caught:
        with_confirmation(manifest, client, DEMO, confirm=False)
    assert caught.value.code == "confirmation-needed"
    assert f"--series-ids {' '.join(right)}. If it is right" in caught.value.remedy


@pytest.mark.parametrize("ids", [IDS[:3], [*IDS, orthanc_id(9)]])
def test_too_few_or_too_many_series(ids: list[str]) -> None:
    error = refused(ids)

    assert error.code == "series-count"
    assert f"needs 4 series, {len(ids)} given" in error.message


def test_the_id_of_a_study_alone_is_answered_with_its_series() -> None:
    error = refused([STUDY])

    assert (error.code, error.message.endswith("is the id of a study.")) == ("orthanc-id", True)
    assert all(text in error.remedy for text in IDS)
