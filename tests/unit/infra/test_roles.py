"""The project's own studies: no role is wrong with confidence, and the command says so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

from gcp_side.labseg.recognition.contrast_words import ContrastWord, read_contrast
from gcp_side.labseg.recognition.words import is_no_phase, is_no_sequence, plain
from infra.role_sets import ROLE_SETS, SITES, VENDORS, RoleSet
from infra.roles import count, judge, main, read_sets
from tests.support.paths import ROOT

RIGHT = 1076
"""Of 1304 roles; a change may raise it, never lower it."""

MOST = 0.9
"""Of the roles of whole examinations that have to be recognised with confidence."""

_SHARED = ROOT.parent / "shared" / "cases" / "roles.json"
SHARED_SETS = read_sets(_SHARED) if _SHARED.is_file() else []
"""Studies that are kept beside the project on some machines; each is skipped elsewhere."""


@pytest.mark.parametrize("study", [*ROLE_SETS, *SHARED_SETS], ids=lambda study: study.name)
def test_no_role_is_wrong_with_confidence(study: RoleSet) -> None:
    assert [one for one in judge(study) if one.verdict == "WRONG"] == []


@pytest.mark.parametrize("study", [*ROLE_SETS, *SHARED_SETS], ids=lambda study: study.name)
def test_no_name_speaks_against_a_series_that_is_proposed(study: RoleSet) -> None:
    """Nor for a guess: one called before contrast is no T1 after it, a subtraction no phase."""
    for one in judge(study):
        if one.found in (None, one.expected):
            continue
        text = plain(study.series[one.found].description)
        said = read_contrast(text).word
        if one.role == "t1":
            assert said is not ContrastWord.AFTER
        if one.role == "t1c":
            assert said is not ContrastWord.BEFORE
        assert not (is_no_phase if one.role.startswith("dce") else is_no_sequence)(text)


@pytest.mark.parametrize(
    "studies", [VENDORS, SITES, SHARED_SETS], ids=["vendors", "sites", "shared"]
)
def test_most_roles_of_whole_examinations_are_recognised(studies: Sequence[RoleSet]) -> None:
    if not studies:
        pytest.skip("the shared studies are not on this machine")
    right, unsure, wrong = (sum(c) for c in zip(*(count(judge(s)) for s in studies), strict=True))
    assert right >= MOST * (right + unsure + wrong)


def test_right_answers_do_not_become_guesses() -> None:
    counts = [count(judge(study)) for study in ROLE_SETS]
    assert sum(right for right, _, _ in counts) >= RIGHT


def test_what_is_unsure_says_why() -> None:
    """More than the evidence of a sure answer: at least one that begins with a doubt."""
    for study in ROLE_SETS:
        for one in judge(study):
            if one.verdict == "unsure" and one.found is not None:
                assert one.answer.confidence.value == "guess"
                doubts = ("; but ", "another group", "series fit")
                assert any(doubt in one.answer.sentence for doubt in doubts)


def written(folder: Path, study: RoleSet, **changes: object) -> Path:
    path = folder / "sets.json"
    path.write_text(json.dumps([{**asdict(study), **changes}]))
    return path


def test_a_file_of_studies_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = ROLE_SETS[0]
    path = written(tmp_path, study, roles=list(study.asked))
    assert [judge(one) for one in read_sets(path)] == [judge(study)]
    assert main(["--file", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["1", "studies", "4", "0", "0"]


def test_a_role_that_is_wrong_with_confidence_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = ROLE_SETS[0]
    path = written(tmp_path, study, right={**study.right, "dce-0": 4, "dce-1": None})
    assert main(["--file", str(path), "--details"]) == 1
    out = capsys.readouterr().out
    assert out.splitlines()[-1].split() == ["1", "studies", "2", "0", "2"]
    assert "WRONG dce-0: series 0, right is 4; certain: It was acquired at" in out


@pytest.mark.parametrize("content", ["", "[1]", '[{"name": "x"}]'])
def test_a_file_of_another_form_is_refused(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sets.json"
    path.write_text(content)
    with pytest.raises(SystemExit):
        main(["--file", str(path)])
    assert "the file cannot be used" in capsys.readouterr().err
