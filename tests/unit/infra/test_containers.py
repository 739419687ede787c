"""The trial of the containers: what it reads from the files that it tries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.containers import engine, images
from infra.containers.trial import QUESTIONS
from segrelay.errors import FixConfigurationError
from tests.support.paths import ROOT
from tests.support.servers import compose

FOLDER = compose.FOLDER / "compose"
DOCKERFILES = sorted(FOLDER.glob("*.Dockerfile"))


@pytest.fixture
def document() -> dict[str, Any]:
    """As ``docker compose config`` gives it: folders are absolute."""
    found = compose.load()
    for service in found["services"].values():
        if "build" in service:
            service["build"] = service["build"] | {"context": str(ROOT)}
    return found


def test_every_image_of_others_has_a_stand_in(document: dict[str, Any]) -> None:
    names = images.needed(document)
    assert len(names) == 4
    stand_ins = {path.name.partition(".")[0] for path in images.FOLDER.glob("*.Dockerfile")}
    assert {name.rpartition("/")[2].partition(":")[0] for name in names} <= stand_ins


@pytest.mark.parametrize("path", sorted(images.FOLDER.glob("*.Dockerfile")), ids=lambda p: p.stem)
def test_stand_ins_are_of_one_release_and_copy_what_is_there(path: Path) -> None:
    assert images.base_of(path) == images.BASE
    for line in path.read_text().splitlines():
        word, *rest = line.split()[:2] or [""]
        if word == "COPY" and rest != ["ca-certificates.crt"]:
            assert (images.FOLDER / rest[0]).is_file(), line


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_what_an_image_copies_is_let_through_by_its_dockerignore(path: Path) -> None:
    ignored = path.with_name(f"{path.name}.dockerignore").read_text().splitlines()
    let_through = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = set()
    for line in path.read_text().splitlines():
        if line.startswith("COPY "):
            copied |= set(line.split()[1:-1])
    assert copied == let_through
    assert all((ROOT / name).exists() for name in copied)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_images_are_of_one_base_and_run_as_any_user(path: Path) -> None:
    assert images.base_of(path) == images.base_of(DOCKERFILES[0])
    lines = path.read_text().splitlines()
    assert [line for line in lines if line.startswith("USER ")] == ["USER 10001"]
    assert any("--group 0 --mode 277" in line for line in lines)
    assert any(line.startswith("ENV HOME=/tmp") for line in lines)


def test_an_image_that_is_nowhere_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    here = engine.Engine()

    class Absent:
        returncode = 1

    monkeypatch.setattr(engine.Engine, "attempt", lambda *_, **__: Absent)
    with pytest.raises(FixConfigurationError, match="example/other:1") as caught:
        images.provide(here, ["example/other:1"])
    assert "docker pull example/other:1" in caught.value.remedy


def test_where_no_engine_can_be_had_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert engine.hindrance() == "no docker command"
    with pytest.raises(FixConfigurationError, match="no docker command"), engine.running_engine():
        pass


def test_each_question_says_what_it_asks() -> None:
    texts = [question.__doc__ or "" for question in QUESTIONS]
    assert all(text and "\n" not in text for text in texts)
    assert len(set(texts)) == len(texts)
