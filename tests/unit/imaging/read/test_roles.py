"""What speaks against the role of a series: told, or refused, as the profile wants."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from infra.phantom.case import make_case
from lab_side.imaging.read.roles import check_roles
from lab_side.imaging.read.series import SeriesVolume
from lab_side.settings.config import PACKAGED_PROFILES
from segrelay.errors import SeriesRefusedError
from segrelay.profiles import Profile, load_profile
from tests.conftest import SEED

BRAIN = load_profile(PACKAGED_PROFILES / "brats-segresnet")
BREAST = load_profile(PACKAGED_PROFILES / "breast-dce-swinunetr")
SHAPE = (21, 42, 42)
HEADERS: dict[str, dict[str, object]] = {
    "t1c": {"ContrastBolusAgent": "GAD", "EchoTime": "14"},
    "t1": {"EchoTime": "14"},
    "t2": {"EchoTime": "100"},
    "flair": {"EchoTime": "120"},
}
TIMES = {
    f"dce-{n}": {"AcquisitionDate": "20240105", "AcquisitionTime": f"10{15 + n}00"}
    for n in range(4)
}


def images() -> dict[str, NDArray[np.float32]]:
    """By role; T1c is T1 with a bright rim."""
    rng = np.random.default_rng(SEED)
    tissue = rng.uniform(200, 400, (4, *SHAPE)).astype(np.float32)
    tissue[:, :2] = 0
    t1, t2, flair, noise = tissue
    t1c = t1 + 0.1 * noise * (t1 > 0)
    t1c[9:12, 12:30, 12:30] += 500
    return {"t1c": t1c, "t1": t1, "t2": t2, "flair": flair}


def volumes(
    pixels: Mapping[str, NDArray[np.float32]], headers: Mapping[str, Mapping[str, object]]
) -> dict[str, SeriesVolume]:
    found = {}
    for role, voxels in pixels.items():
        header = Dataset()
        for keyword, value in headers[role].items():
            setattr(header, keyword, value)
        found[role] = SeriesVolume(
            voxels=voxels,
            affine=np.eye(4),
            sop_instance_uids=(),
            frame_numbers=(),
            headers=(header,),
            series_uid=role,
            study_uid="",
            frame_of_reference_uid="",
            patient_id="",
        )
    return found


def doubts(
    pixels: Mapping[str, NDArray[np.float32]],
    headers: Mapping[str, Mapping[str, object]] = HEADERS,
    profile: Profile = BRAIN,
) -> tuple[str, ...]:
    return tuple(doubt.text for doubt in check_roles(volumes(pixels, headers), pixels, profile))


def swapped(values: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    return {**values, "t1": values["t1c"], "t1c": values["t1"]}


def test_series_in_their_roles_raise_no_doubt() -> None:
    assert doubts(images()) == ()


def test_swapped_pixels_are_told() -> None:
    (told,) = doubts(swapped(images()))
    assert told.startswith("The pixels of t1c are darker than those of t1 where")


def test_swapped_headers_are_told() -> None:
    (told,) = doubts(images(), {**HEADERS, "t1": HEADERS["t1c"], "t1c": HEADERS["t1"]})
    assert told.startswith("The headers name a contrast agent for t1, which")


def test_a_forgotten_agent_is_no_reason_for_doubt() -> None:
    assert doubts(images(), {**HEADERS, "t1c": HEADERS["t1"]}) == ()
    assert doubts(images(), {**HEADERS, "t1": HEADERS["t1c"]}) == ()
    nothing: Mapping[str, Mapping[str, object]] = {role: {} for role in HEADERS}
    assert doubts(images(), nothing) == ()


def test_a_series_twice_is_told() -> None:
    pixels = images()
    told = doubts({**pixels, "flair": pixels["t2"].copy()})
    assert told == ("t2 and flair hold the same pixels.",)


def test_an_echo_time_that_does_not_fit_is_told() -> None:
    told = doubts(images(), {**HEADERS, "t2": {"EchoTime": "14"}, "t1": {"EchoTime": "90"}})
    assert told == (
        "An echo time of 90 ms does not fit t1 (T1).",
        "An echo time of 14 ms does not fit t2 (T2).",
    )


def test_phases_in_another_order_than_the_clock_are_told() -> None:
    pixels = {role: values + 0 for role, values in zip(TIMES, images().values(), strict=True)}
    late = replace_keys(pixels, TIMES)
    assert "By acquisition time" not in " ".join(doubts(late, TIMES, BREAST))
    other = {**TIMES, "dce-2": TIMES["dce-3"], "dce-3": TIMES["dce-2"]}
    told = [s for s in doubts(late, other, BREAST) if s.startswith("By ")]
    assert told == ["By acquisition time the phases come as dce-0, dce-1, dce-3, dce-2."]


def test_an_inversion_time_that_does_not_fit_is_told() -> None:
    """A STIR in the place of the FLAIR, and a FLAIR in that of the T2."""
    told = doubts(
        images(),
        {
            **HEADERS,
            "flair": {"EchoTime": "60", "InversionTime": "160"},
            "t2": {"EchoTime": "110", "InversionTime": "2500"},
        },
    )
    assert told == (
        "An inversion time of 2500 ms does not fit t2 (T2).",
        "An inversion time of 160 ms does not fit flair (FLAIR).",
    )


def test_pixels_that_were_rounded_in_another_way_are_the_same() -> None:
    pixels = images()
    rounded = pixels["t2"] + np.float32(0.01)
    assert doubts({**pixels, "flair": rounded}) == ("t2 and flair hold the same pixels.",)


@pytest.mark.parametrize("agent", ["NONE", "0", "No contrast", "없음"])
def test_an_agent_that_was_not_given_is_none(agent: str) -> None:
    """Named for the series after contrast as such, it is no agent before contrast either."""
    none: dict[str, object] = {"ContrastBolusAgent": agent}
    (told,) = doubts(images(), {**HEADERS, "t1": HEADERS["t1c"], "t1c": none})
    assert told.startswith("The headers name a contrast agent for t1, which")
    empty: dict[str, object] = {"ContrastBolusAgent": "GAD", "ContrastBolusVolume": "0"}
    assert doubts(images(), {**HEADERS, "t1": empty, "t1c": {}}) == ()


def four_phases() -> dict[str, NDArray[np.float32]]:
    return dict(zip(TIMES, images().values(), strict=True))


def changed(role: str, **values: object) -> dict[str, dict[str, object]]:
    """The headers of one dynamic scan, with other values for one phase."""
    usual: dict[str, object] = {"EchoTime": "2.3", "RepetitionTime": "4.4"}
    usual["ImageType"] = "DERIVED\\PRIMARY\\DIXON\\WATER"
    phases = {one: {**usual, **times} for one, times in TIMES.items()}
    return {**phases, role: {**phases[role], **values}}


def about_headers(headers: Mapping[str, Mapping[str, object]]) -> list[str]:
    found = doubts(four_phases(), headers, BREAST)
    return [sentence for sentence in found if not sentence.startswith("The pixels")]


def test_rounding_parts_no_phases() -> None:
    assert about_headers(changed("dce-0", EchoTime="2.30001", RepetitionTime="4.39998")) == []


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"EchoTime": "4.6"}, "The echo times of dce-0 and dce-1 are those of two scans."),
        (
            {"RepetitionTime": "9"},
            "The repetition times of dce-0 and dce-1 are those of two scans.",
        ),
        (
            {"ImageType": "DERIVED\\PRIMARY\\DIXON\\FAT"},
            "Of a Dixon scan dce-0 and dce-1 are different images.",
        ),
        (
            {"ImageType": "DERIVED\\PRIMARY\\DIXON\\WATER\\SUB"},
            "The Image Type says that dce-0 was computed from other images.",
        ),
        (
            {"AcquisitionTime": "101600"},
            "By acquisition time dce-0 and dce-1 are one phase.",
        ),
    ],
)
def test_phases_of_two_scans_are_told(values: dict[str, object], sentence: str) -> None:
    assert about_headers(changed("dce-0", **values)) == [sentence]


def test_series_that_hold_phases_count_them_from_their_own_beginning() -> None:
    """Before contrast in a series of its own, the rest in one: both have a first position."""
    headers = changed("dce-0")
    for place, role in enumerate(TIMES):
        headers[role] |= {
            "SeriesInstanceUID": "1.2.4" if place else "1.2.3",
            "TemporalPositionIdentifier": max(place, 1),
            "TriggerTime": f"{60_000 * max(place - 1, 0)}",
        }
    assert about_headers(headers) == []
    for role in TIMES:
        headers[role]["SeriesInstanceUID"] = "1.2.3"
    assert "By temporal position dce-0 and dce-1 are one phase." in about_headers(headers)


def test_phases_over_midnight_are_in_order() -> None:
    """The date was written once, for all."""
    clock = dict(zip(TIMES, ("235830", "235959.5", "000130", "000300"), strict=True))
    headers = {
        role: {"AcquisitionDate": "20240105", "AcquisitionTime": time}
        for role, time in clock.items()
    }
    assert about_headers(headers) == []
    headers["dce-1"], headers["dce-2"] = headers["dce-2"], headers["dce-1"]
    assert about_headers(headers) == [
        "By acquisition time the phases come as dce-0, dce-2, dce-1, dce-3."
    ]


def replace_keys(
    pixels: Mapping[str, NDArray[np.float32]], keys: Mapping[str, object]
) -> dict[str, NDArray[np.float32]]:
    return dict(zip(keys, pixels.values(), strict=True))


@cache
def phantom(seed: int, *, has_lesion: bool) -> dict[str, NDArray[np.float32]]:
    """Only read: made once."""
    return dict(zip(TIMES, make_case(seed, has_lesion=has_lesion).phases, strict=True))


@pytest.mark.parametrize("seed", [500, 503])
def test_phases_in_their_roles_raise_no_doubt(seed: int) -> None:
    """The second is healthy, and hardly enhances."""
    assert doubts(phantom(seed, has_lesion=seed == 500), TIMES, BREAST) == ()


@pytest.mark.parametrize("late", ["dce-1", "dce-3"])
def test_a_phase_after_contrast_in_the_place_of_that_before_it_is_told(late: str) -> None:
    right = phantom(500, has_lesion=True)
    told = doubts({**right, "dce-0": right[late], late: right["dce-0"]}, TIMES, BREAST)
    assert any(sentence.startswith(f"The pixels of {late} are darker") for sentence in told)


@pytest.mark.parametrize("order", [(3, 2, 1, 0), (1, 2, 3, 0), (2, 1, 0, 3)])
def test_phases_in_an_order_that_no_header_contradicts_are_reported_by_their_pixels(
    order: tuple[int, ...],
) -> None:
    """As of one series whose temporal positions lie: that before contrast is not the first."""
    phases = list(phantom(500, has_lesion=True).values())
    pixels = dict(zip(TIMES, (phases[place] for place in order), strict=True))
    nothing: Mapping[str, Mapping[str, object]] = {role: {} for role in TIMES}
    (found,) = {text.split(" are ")[0] for text in doubts(pixels, nothing, BREAST)} & {
        f"The pixels of dce-{order.index(0)}"
    }
    assert found


def test_the_profile_says_what_a_doubt_means() -> None:
    pixels = swapped(images())
    strict = BRAIN.model_copy(update={"role_checks": "fail"})
    with pytest.raises(SeriesRefusedError, match="t1c are darker") as caught:
        doubts(pixels, profile=strict)
    assert caught.value.code == "role-mismatch"
    assert doubts(pixels, profile=BRAIN.model_copy(update={"role_checks": "off"})) == ()
    unnamed = [item.model_copy(update={"recognition": None}) for item in BRAIN.inputs]
    assert doubts(pixels, profile=BRAIN.model_copy(update={"inputs": tuple(unnamed)})) == ()
