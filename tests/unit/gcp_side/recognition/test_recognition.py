"""Which series plays which role: rules that hold for all studies, and studies as scanners make
them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcp_side.labseg.recognition import (
    SENTENCES,
    Confidence,
    Recognised,
    SeriesAttributes,
    attributes_of,
    plane_of,
    recognise,
    usual_rule,
)
from lab_side.settings.config import PACKAGED_PROFILES
from segrelay.profiles import Recognition, load_profile

PHASES = ("dce-0", "dce-1", "dce-2", "dce-3")
BRAIN = ("t1", "t1c", "t2", "flair")
START = datetime(2026, 5, 4, 23, 58)
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def phase(number: int, /, **changes: object) -> SeriesAttributes:
    """Phase ``number`` of a DCE acquisition, with nothing that tells the time."""
    known = SeriesAttributes(
        series_id=f"phase-{number}",
        description="dyn",
        instances=60,
        rows=256,
        columns=256,
        orientation=AXIAL,
        echo_ms=2.0,
        repetition_ms=5.0,
    )
    return replace(known, **changes)  # type: ignore[arg-type]


def brain(name: str, /, **changes: object) -> SeriesAttributes:
    known = SeriesAttributes(series_id=name, description=name, instances=150, orientation=AXIAL)
    return replace(known, **changes)  # type: ignore[arg-type]


def chosen(found: Sequence[Recognised]) -> dict[str, str | None]:
    return {item.role: item.series_id for item in found}


def confidences(found: Sequence[Recognised]) -> set[str]:
    return {item.confidence.value for item in found}


RIGHT = {role: f"phase-{number}" for number, role in enumerate(PHASES)}


@pytest.mark.parametrize("name", ["t1 fl3d post 1-4", "t1 fl3d 4 x post", "Ph1-4 +C"])
def test_a_name_that_all_phases_of_a_series_share_counts_none_of_them(name: str) -> None:
    """Before contrast in a series of its own, the rest in one."""
    before = phase(0, series_id="a", number=5, description="t1 fl3d pre", acquired=START)
    rest = [
        phase(
            number,
            series_id=f"b:{number - 1}",
            part=number - 1,
            number=6,
            description=name,
            temporal_position=number,
            acquired=START + timedelta(minutes=number),
        )
        for number in range(1, 5)
    ]
    found = recognise(PHASES, [*rest, before])
    assert list(chosen(found).values()) == ["a", "b:0", "b:1", "b:2"]
    assert confidences(found) == {"certain"}


@pytest.mark.parametrize(
    ("told", "confidence"),
    [
        (lambda n: {"acquired": START + timedelta(minutes=n)}, "certain"),
        (lambda n: {"temporal_position": n + 1}, "certain"),
        (lambda n: {"trigger_ms": 90_000.0 * n}, "certain"),
        (lambda n: {"content": START + timedelta(minutes=n)}, "certain"),
        (lambda n: {"number": 7 + 100 * n}, "likely"),
        (lambda n: {"description": "T1 dyn pre" if n == 0 else f"T1 dyn post {n}"}, "likely"),
        (lambda n: {"description": f"DCE-MRI Sequence {n + 1}"}, "likely"),
    ],
)
def test_one_piece_of_evidence_is_enough_for_the_order(told: object, confidence: str) -> None:
    """Any of them; a scanner's clock makes it certain. Midnight is no border."""
    series = [phase(number, **told(number)) for number in (2, 0, 3, 1)]  # type: ignore[operator]
    found = recognise(PHASES, series)
    assert chosen(found) == RIGHT
    assert confidences(found) == {confidence}


def test_evidence_that_disagrees_makes_a_guess_that_says_so() -> None:
    series = [
        phase(n, acquired=START + timedelta(minutes=n), number=9 - n, description="dyn")
        for n in range(4)
    ]
    found = recognise(PHASES, series)
    assert chosen(found) == RIGHT
    assert confidences(found) == {"guess"}
    assert all("but the order by series number is another one" in r.sentence for r in found)


def test_a_phase_before_contrast_that_is_not_the_first_makes_a_guess() -> None:
    """The descriptions alone give no order: two are the same."""
    names = ("dyn post", "dyn pre", "dyn post", "dyn late post")
    series = [
        phase(n, acquired=START + timedelta(minutes=n), description=name)
        for n, name in enumerate(names)
    ]
    assert confidences(recognise(PHASES, series)) == {"guess"}
    usual = [
        phase(n, acquired=START + timedelta(minutes=n), description=name)
        for n, name in enumerate(("dyn pre", "dyn post", "dyn post", "dyn late post"))
    ]
    found = recognise(PHASES, usual)
    assert confidences(found) == {"certain"}


def test_nothing_that_tells_the_order_makes_a_guess() -> None:
    found = recognise(PHASES, [phase(number) for number in range(4)])
    assert confidences(found) == {"guess"}
    assert {item.evidence[0].code for item in found} == {"no-order"}


def test_equal_times_are_no_order() -> None:
    found = recognise(PHASES, [phase(number, acquired=START) for number in range(4)])
    assert confidences(found) == {"guess"}


def test_the_first_of_many_phases_are_taken() -> None:
    series = [phase(n, acquired=START + timedelta(minutes=n)) for n in range(7)]
    assert chosen(recognise(PHASES, series)) == RIGHT


def test_too_few_phases_leave_roles_open() -> None:
    found = recognise(PHASES, [phase(n, number=n) for n in range(3)])
    assert chosen(found) == RIGHT | {"dce-3": None}
    assert [item.confidence.value for item in found] == ["guess"] * 3 + ["none"]


def test_two_acquisitions_make_a_guess() -> None:
    first = [phase(n, number=n) for n in range(4)]
    second = [phase(n, series_id=f"again-{n}", number=20 + n, rows=512) for n in range(4)]
    found = recognise(PHASES, first + second)
    assert confidences(found) == {"guess"}
    assert {item.evidence[-1].code for item in found} == {"more-groups"}


def test_what_is_no_phase_is_left_out() -> None:
    phases = [phase(n, number=10 + n) for n in range(4)]
    others = [
        phase(20, number=1, description="localizer"),
        phase(21, number=2, description="t2_tse_tra"),
        phase(22, number=3, description="dyn SUB 1"),
        phase(23, number=4, derived=True),
        phase(24, number=5, rows=512),
        phase(25, number=6, orientation=(0.0, 1.0, 0.0, 0.0, 0.0, -1.0)),
    ]
    assert chosen(recognise(PHASES, phases + others)) == RIGHT


def test_no_phases_at_all() -> None:
    found = recognise(PHASES, [brain("T1")])
    assert set(chosen(found).values()) == {None}
    assert confidences(found) == {"none"}


T1 = {"echo_ms": 14.0, "repetition_ms": 500.0}
T2 = {"echo_ms": 100.0, "repetition_ms": 4000.0}
FLAIR = {"echo_ms": 120.0, "repetition_ms": 9000.0, "inversion_ms": 2500.0}


@pytest.mark.parametrize(
    "four",
    [
        ("T1 AX", "MRHR T1 AX POST GAD", "MRHR T2 AX", "MRHR FLAIR AX"),
        ("t1_se_tra", "t1_se_tra_km", "t2_tse_tra", "t2_tirm_tra_dark-fluid"),
        ("Ax T1", "Ax T1 +C", "Ax T2", "Ax T2 FLAIR"),
        ("T1W_SE", "T1W_SE_GD", "T2W_TSE", "FLAIR_longTR"),
        ("t1_mprage_sag_iso", "t1_mprage_sag_iso_post", "t2_space", "t2_space_dark-fluid_flair"),
        ("AX T1 PRE GD", "AX T1 POST", "AX T2 FSE", "AX FLAIR"),
        ("t1n", "t1c", "t2w", "t2-flair"),
        ("Ax T1 FLAIR", "Ax T1 FLAIR +C", "Ax T2 PROPELLER", "Ax T2 FLAIR"),
    ],
)
@pytest.mark.parametrize("timed", [True, False])
def test_names_that_scanners_give(four: tuple[str, ...], timed: bool) -> None:
    agents = ("", "GAD", "", "")
    timings: list[dict[str, float]] = [T1, T1, T2, FLAIR] if timed else [{}] * 4
    series = [
        brain(name, agent=agent, **timing)
        for name, agent, timing in zip(four, agents, timings, strict=True)
    ]
    found = recognise(BRAIN, [*reversed(series), brain("ADC"), brain("T2* GRE"), brain("SWI")])
    assert chosen(found) == dict(zip(BRAIN, four, strict=True))
    assert confidences(found) == ({"certain"} if timed else {"likely"})


def test_timing_and_agent_alone() -> None:
    series = [
        brain("a", description="", **T1),
        brain("b", description="", agent="Dotarem", **T1),
        brain("c", description="", **T2),
        brain("d", description="", **FLAIR),
    ]
    found = recognise(BRAIN, series)
    assert chosen(found) == dict(zip(BRAIN, "abcd", strict=True))
    assert confidences(found) == {"likely"}


def test_a_flair_without_its_inversion_time_is_not_taken_for_a_t2() -> None:
    hidden = brain("x", description="", echo_ms=120.0, repetition_ms=9000.0)
    assert chosen(recognise(("t2", "flair"), [hidden])) == {"t2": None, "flair": None}


def test_a_description_against_the_timing_is_a_guess() -> None:
    (found,) = recognise(("t1",), [brain("T1 AX", **T2)])
    assert (found.series_id, found.confidence) == ("T1 AX", Confidence.GUESS)
    assert "but TE 100 ms, TR 4000 ms would fit T2" in found.sentence


def test_a_description_against_the_agent_is_not_certain() -> None:
    """The scanner keeps the agent's name, or nobody typed it in."""
    (kept,) = recognise(("t1",), [brain("T1 PRE", agent="GAD", **T1)])
    (missing,) = recognise(("t1c",), [brain("T1 POST", **T1)])
    assert kept.confidence is missing.confidence is Confidence.LIKELY


@pytest.mark.parametrize(
    "tags",
    [
        {"ContrastBolusAgent": text}
        for text in ("None", "NO", "0", "0.0", "0 ml", "No contrast given", "ohne KM", "없음", "-")
    ]
    + [
        {"ContrastBolusAgent": "Dotarem", "ContrastBolusVolume": "0"},
        {"ContrastBolusAgent": "Dotarem", "ContrastBolusTotalDose": "0,0"},
    ],
    ids=str,
)
def test_no_agent_in_words_or_amounts_is_none(tags: dict[str, str]) -> None:
    assert attributes_of("x", description="", number=1, instances=1, tags=tags).agent == ""


@pytest.mark.parametrize("agent", ["Gadovist", "NOVAPAQUE", "10 ml Dotarem", "Nonionic"])
def test_an_agent_whose_name_begins_like_a_word_for_none(agent: str) -> None:
    tags = {"ContrastBolusAgent": agent, "ContrastBolusVolume": "7.5"}
    assert attributes_of("x", description="", number=1, instances=1, tags=tags).agent == agent


def test_where_contrast_does_not_matter_nothing_said_of_it_is_a_doubt() -> None:
    rules = {"any": Recognition(weighting="T1")}
    (found,) = recognise(("any",), [brain("STEALTH T1 W/O AND W", **T1)], rules)
    assert found.confidence is Confidence.CERTAIN


def test_of_several_the_largest_is_guessed() -> None:
    series = [brain("T2 small", instances=20), brain("T2 big", instances=160)]
    (found,) = recognise(("t2",), series)
    assert (found.series_id, found.confidence) == ("T2 big", Confidence.GUESS)
    (tie,) = recognise(("t2",), [replace(item, instances=9) for item in series])
    assert tie.confidence is Confidence.GUESS
    assert tie.evidence[-1].code == "several-equal"


def test_a_role_without_a_rule() -> None:
    (found,) = recognise(("bold-1",), [brain("T1")])
    assert (found.series_id, found.confidence) == (None, Confidence.NONE)


def test_a_profile_tells_the_rule_of_a_role_with_a_name_of_its_own() -> None:
    rules = {
        "late": Recognition(phase=4),
        "native": Recognition(phase=0),
        "t1": Recognition(weighting="T1", contrast=True),
    }
    series = [phase(n, acquired=START + timedelta(minutes=n)) for n in range(4)]
    found = recognise(("late", "native"), series, rules)
    assert chosen(found) == {"late": "phase-1", "native": "phase-0"}
    both = [brain("T1 POST", agent="GAD"), brain("T1 PRE")]
    assert chosen(recognise(("t1",), both, rules)) == {"t1": "T1 POST"}
    assert chosen(recognise(("t1",), both)) == {"t1": "T1 PRE"}


def test_the_shipped_profiles_say_what_their_roles_names_say() -> None:
    for folder in PACKAGED_PROFILES.glob("*/profile.json"):
        for item in load_profile(folder.parent).inputs:
            assert item.recognition == usual_rule(item.role)


ROLES = st.permutations([*PHASES, *BRAIN, "t1ce", "dwi"]).flatmap(
    lambda roles: st.integers(1, len(roles)).map(lambda count: tuple(roles[:count]))
)
TIMES = st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2000, 1, 3))
NUMBERS = st.none() | st.integers(0, 5).map(float) | st.floats(0, 10000)


@st.composite
def studies(draw: st.DrawFn) -> list[SeriesAttributes]:
    words = st.sampled_from(
        ["", "T1", "T2", "FLAIR", "post", "pre", "+C", "dyn 1", "dyn 2", "DCE", "loc", "T1_GD"]
    )
    count = draw(st.integers(0, 7))
    return [
        SeriesAttributes(
            series_id=f"series-{number}",
            description=" ".join(draw(st.lists(words, max_size=3))),
            number=draw(st.none() | st.integers(0, 9)),
            instances=draw(st.sampled_from([1, 20, 60])),
            rows=draw(st.sampled_from([None, 256])),
            orientation=draw(st.sampled_from([None, AXIAL])),
            temporal_position=draw(st.none() | st.integers(1, 4)),
            acquired=draw(TIMES),
            trigger_ms=draw(NUMBERS),
            content=draw(TIMES),
            echo_ms=draw(st.sampled_from([None, 2.0, 14.0, 100.0])),
            repetition_ms=draw(st.sampled_from([None, 5.0, 500.0, 4000.0, 9000.0])),
            inversion_ms=draw(st.sampled_from([None, 900.0, 2500.0])),
            agent=draw(st.sampled_from(["", "GAD"])),
            derived=draw(st.booleans()),
        )
        for number in range(count)
    ]


@given(roles=ROLES, study=studies(), shuffle=st.randoms(use_true_random=False))
def test_rules_that_hold_for_every_study(
    roles: tuple[str, ...], study: list[SeriesAttributes], shuffle: random.Random
) -> None:
    found = recognise(roles, study)
    assert tuple(item.role for item in found) == roles
    used = [item.series_id for item in found if item.series_id is not None]
    assert len(used) == len(set(used))
    assert set(used) <= {item.series_id for item in study}
    for item in found:
        assert (item.series_id is None) == (item.confidence is Confidence.NONE)
        assert item.evidence
        assert {piece.code for piece in item.evidence} <= SENTENCES.keys()
        assert item.sentence.endswith(".")
        assert "{" not in item.sentence
    shuffled = study[:]
    shuffle.shuffle(shuffled)
    assert recognise(roles, shuffled) == found


@given(study=studies(), twin=st.integers(0, 6))
def test_a_role_that_two_equal_series_fit_is_never_more_than_a_guess(
    study: list[SeriesAttributes], twin: int
) -> None:
    """Whatever was recognised: with an exact copy of that series beside it nobody can tell."""
    for role in (*PHASES, *BRAIN):
        (found,) = recognise((role,), study)
        if found.series_id is None:
            continue
        original = next(item for item in study if item.series_id == found.series_id)
        copy = replace(original, series_id="copy")
        (again,) = recognise((role,), [*study, copy])
        if again.series_id in (original.series_id, "copy"):
            assert again.confidence is Confidence.GUESS


@pytest.mark.parametrize(
    ("orientation", "plane"),
    [
        ((1, 0, 0, 0, 1, 0), "axial"),
        ((-1, 0, 0, 0, 1, 0), "axial"),
        ((0, 1, 0, 0, 0, -1), "sagittal"),
        ((1, 0, 0, 0, 0, -1), "coronal"),
        ((0.998, 0.016, 0.055, 0, -0.958, 0.286), "axial"),
        ((1, 0, 0, 0, 0.7071, 0.7071), "oblique"),
        ((0, 0, 0, 0, 0, 0), "oblique"),
        (None, None),
    ],
)
def test_planes(orientation: tuple[float, ...] | None, plane: str | None) -> None:
    assert plane_of(orientation) == plane


TAGS = {
    "Rows": "256",
    "Columns": "x",
    "ImageOrientationPatient": "1\\0\\0\\0\\1\\0",
    "AcquisitionDate": "20260504",
    "AcquisitionTime": "235959.250",
    "ContentTime": "1234",
    "TriggerTime": "nan",
    "EchoTime": "2.5",
    "ImageType": "DERIVED\\SECONDARY",
    "ContrastBolusAgent": " GAD ",
    "RepetitionTime": [{"nested": "sequence"}],
}


def test_tags_are_read_and_what_cannot_be_read_is_left_out() -> None:
    attributes = attributes_of("x", description="d" * 500, number=3, instances=9, tags=TAGS)
    assert attributes == SeriesAttributes(
        series_id="x",
        description="d" * 120,
        number=3,
        instances=9,
        rows=256,
        orientation=AXIAL,
        derived=True,
        acquired=datetime(2026, 5, 4, 23, 59, 59, 250000),
        content=datetime(2000, 1, 1, 12, 34),
        echo_ms=2.5,
        image_type=("DERIVED", "SECONDARY"),
        agent="GAD",
    )


def test_of_an_enhanced_image_the_first_frame_speaks() -> None:
    shared = {
        "PlaneOrientationSequence": [{"ImageOrientationPatient": "1\\0\\0\\0\\1\\0"}],
        "MRTimingAndRelatedParametersSequence": [{"RepetitionTime": "500"}],
    }
    frames = [
        {
            "FrameContentSequence": [{"TemporalPositionIndex": str(number)}],
            "MREchoSequence": [{"EffectiveEchoTime": "12.5"}],
        }
        for number in (3, 4)
    ]
    tags = {
        "NumberOfFrames": "2",
        "SharedFunctionalGroupsSequence": [shared],
        "PerFrameFunctionalGroupsSequence": frames,
        "ContrastBolusAgentSequence": [{"CodeMeaning": "Gadoterate"}],
    }
    attributes = attributes_of("x", description="", number=1, instances=3, tags=tags)
    assert attributes == SeriesAttributes(
        series_id="x",
        number=1,
        instances=6,
        orientation=AXIAL,
        temporal_position=3,
        echo_ms=12.5,
        repetition_ms=500.0,
        agent="Gadoterate",
    )
    junk = {**tags, "PerFrameFunctionalGroupsSequence": "x", "NumberOfFrames": "many"}
    assert attributes_of("x", description="", number=1, instances=3, tags=junk).instances == 3


@given(
    tags=st.dictionaries(
        st.sampled_from([*TAGS, "AcquisitionDateTime", "ContentDate", "InversionTime"]),
        st.text(max_size=30) | st.text("0123456789.\\-+", max_size=30) | st.none() | st.integers(),
    )
)
def test_no_file_breaks_the_reading(tags: dict[str, object]) -> None:
    recognise(
        (*PHASES, *BRAIN), [attributes_of("x", description="", number=None, instances=1, tags=tags)]
    )
