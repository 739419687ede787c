"""What is harmless never makes a confident answer wrong: rounding, order, spelling, prefixes."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from gcp_side.labseg.recognition.contrast_words import ContrastWord, read_contrast
from gcp_side.labseg.recognition.words import names_delay, plain
from infra.role_sets import PHASE_SETS, ROLE_SETS, RoleSet, Scan
from infra.roles import judge

SETS = st.sampled_from(ROLE_SETS)
ROUNDED = (
    "EchoTime",
    "RepetitionTime",
    "InversionTime",
    "FlipAngle",
    "PixelSpacing",
    "ImageOrientationPatient",
)
NOISE = 2e-4
"""Relative, or of a direction cosine: scanners write 4 to 16 digits."""

PREFIXES = ("", "BRST ", "KNUH_", "Neuro^", "R1 ", "연구 ")


def verdicts(study: RoleSet) -> set[str]:
    return {one.verdict for one in judge(study)}


def rounded(tags: Mapping[str, str], noise: random.Random) -> dict[str, str]:
    changed = dict(tags)
    for keyword in ROUNDED:
        if keyword in tags:
            values = [float(value) for value in tags[keyword].split("\\")]
            changed[keyword] = "\\".join(
                f"{value + NOISE * noise.uniform(-1, 1) * max(abs(value), 1.0):.7g}"
                for value in values
            )
    return changed


@given(study=SETS, noise=st.randoms(use_true_random=False))
def test_rounding_makes_nothing_wrong(study: RoleSet, noise: random.Random) -> None:
    """In each series another one, as in a study that went through several systems."""
    series = [replace(one, tags=rounded(one.tags, noise)) for one in study.series]
    assert "WRONG" not in verdicts(replace(study, series=series))


@given(study=SETS, shuffle=st.randoms(use_true_random=False))
def test_the_order_of_the_series_makes_nothing_wrong(
    study: RoleSet, shuffle: random.Random
) -> None:
    """Their ids change with it, as after another upload."""
    places = list(range(len(study.series)))
    shuffle.shuffle(places)
    now = {old: new for new, old in enumerate(places)}
    right = {role: None if old is None else now[old] for role, old in study.right.items()}
    moved = replace(study, series=[study.series[old] for old in places], right=right)
    assert [one.verdict for one in judge(moved)].count("right") == [
        one.verdict for one in judge(study)
    ].count("right")
    assert "WRONG" not in verdicts(moved)


@st.composite
def renamed(draw: st.DrawFn) -> RoleSet:
    study = draw(SETS)
    prefix = draw(st.sampled_from(PREFIXES))
    suffix = draw(st.sampled_from(("", " ", "_ND", " 3T")))
    space = draw(st.sampled_from((" ", "_", "  ", " _ ", "-")))
    cases: list[Callable[[str], str]] = [str, str.upper, str.lower, str.title]
    case = draw(st.sampled_from(cases))

    def name(one: Scan) -> Scan:
        text = one.description.replace("_", " ")
        return replace(one, description=prefix + case(text).replace(" ", space) + suffix)

    return replace(study, series=[name(one) for one in study.series])


@given(study=renamed())
def test_another_spelling_makes_nothing_wrong(study: RoleSet) -> None:
    assert "WRONG" not in verdicts(study)


@given(study=SETS, agent=st.sampled_from(("", "NONE", "0", "No", "GADAVIST", "Dotarem 10 ml")))
def test_one_agent_in_all_series_makes_nothing_wrong(study: RoleSet, agent: str) -> None:
    """Scanners that copy what was typed in at registration; where words say it, they still do."""
    assume(
        all(
            contrast_said(one.description) is not ContrastWord.NOTHING
            for one in study.series
            if one.tags.get("ContrastBolusAgent")
        )
    )
    series = [replace(one, tags={**one.tags, "ContrastBolusAgent": agent}) for one in study.series]
    assert "WRONG" not in verdicts(replace(study, series=series))


@given(study=SETS, data=st.data())
def test_a_frame_of_reference_of_its_own_makes_nothing_wrong(
    study: RoleSet, data: st.DataObject
) -> None:
    frames = data.draw(
        st.lists(
            st.sampled_from(("1.2.3", "1.2.4", "")),
            min_size=len(study.series),
            max_size=len(study.series),
        )
    )
    series = [
        replace(one, tags={**one.tags, "FrameOfReferenceUID": frame})
        for one, frame in zip(study.series, frames, strict=True)
    ]
    assert "WRONG" not in verdicts(replace(study, series=series))


@given(study=st.sampled_from(PHASE_SETS), data=st.data())
def test_a_phase_that_is_missing_is_not_replaced_with_confidence(
    study: RoleSet, data: st.DataObject
) -> None:
    """Deleted, or not yet sent: its words and those of the others show that one is missing.

    Left out: names that do not distinguish the phases, a copy of the phase, a count that may
    begin with the phase before contrast, and minutes, which may begin at any one.
    """
    lost = data.draw(st.integers(0, len(study.series) - 1))
    kept = [one for place, one in enumerate(study.series) if place != lost]
    names = [one.description for one in kept]
    said = {contrast_said(name) for name in names}
    is_first = study.right["dce-0"] == lost
    assume(study.series[lost].description not in names)
    assume(is_first or not names_delay(plain(study.series[lost].description)))
    assume(not is_first or (ContrastWord.AFTER in said and ContrastWord.BEFORE not in said))
    right = {
        role: None if old is None or old == lost else old - (old > lost)
        for role, old in study.right.items()
    }
    assert "WRONG" not in verdicts(replace(study, series=kept, right=right))


def contrast_said(name: str) -> ContrastWord:
    return read_contrast(plain(name)).word
