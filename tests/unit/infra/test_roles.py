"""The project's own studies: no role is wrong with confidence, and the command says so."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from infra.role_sets import ROLE_SETS, RoleSet
from infra.roles import count, judge, main, read_sets

RIGHT = 599
"""Of 828 roles; a change may raise it, never lower it."""


@pytest.mark.parametrize("study", ROLE_SETS, ids=lambda study: study.name)
def test_no_role_is_wrong_with_confidence(study: RoleSet) -> None:
    assert [one for one in judge(study) if one.verdict == "WRONG"] == []


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
