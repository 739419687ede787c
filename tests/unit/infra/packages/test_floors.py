"""The lowest versions of libraries that read foreign input: the table, pyproject and the pins."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.support.paths import ROOT

TEXT = (ROOT / "infra" / "FLOORS.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([\w-]+)` \| ([\d.]+) \| (.+?) \| .+ \|$", re.MULTILINE)
HOLE = re.compile(r"CVE-\d{4}-\d{4,}|GHSA(-[0-9a-z]{4}){3}|openSUSE-SU-[\d:-]+")

FLOORS = {canonicalize_name(name): Version(floor) for name, floor, _ in ROW.findall(TEXT)}
LOOKED_AT = {canonicalize_name(name) for name in re.findall(r"`([\w-]+)`", TEXT)}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

READERS = {
    *("cryptography", "django", "djangorestframework", "filelock", "google-cloud-storage"),
    *("gunicorn", "highdicom", "imagecodecs", "monai", "numpy", "pillow", "psycopg", "pydantic"),
    *(
        "pydicom",
        "redis",
        "requests",
        "safetensors",
        "scipy",
        "setuptools",
        "simpleitk",
        "torch",
        "urllib3",
    ),
}
"""What reads images, archives, weights, keys or answers of servers."""


def requirements() -> list[Requirement]:
    lists = [
        PROJECT["build-system"]["requires"],
        PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"].values(),
    ]
    return [Requirement(text) for texts in lists for text in texts]


def pins() -> dict[str, Version]:
    lines = (ROOT / "infra" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if "==" in line and not line.startswith("#")]
    return {canonicalize_name(name): Version(pinned) for name, pinned in pairs}


def applying(name: str) -> list[Requirement]:
    return [
        one
        for one in requirements()
        if canonicalize_name(one.name) == name and (one.marker is None or one.marker.evaluate())
    ]


def test_every_reader_was_looked_at() -> None:
    assert LOOKED_AT >= READERS
    assert all(HOLE.search(holes) for _, _, holes in ROW.findall(TEXT))
    assert len(FLOORS) == len(ROW.findall(TEXT)) >= 11


@pytest.mark.parametrize("name", sorted(FLOORS))
def test_pyproject_admits_nothing_below(name: str) -> None:
    found = applying(name)
    assert found
    for requirement in found:
        floors = [Version(item.version) for item in requirement.specifier if item.operator == ">="]
        assert floors == [max(floors)], requirement
        assert floors[0] >= FLOORS[canonicalize_name(name)]


@pytest.mark.parametrize("name", sorted(FLOORS.keys() - {"setuptools"}))
def test_the_pins_and_what_is_installed_are_no_older(name: str) -> None:
    for requirement in applying(name):
        assert pins()[name] in requirement.specifier
        assert Version(version(name)) in requirement.specifier


def test_django_6_is_admitted_as_it_was_tried() -> None:
    (django,) = applying("django")
    assert [
        text
        for text in ("5.2.14", "6.0", "6.0.6", "6.0.10", "6.2", "7.0")
        if text in django.specifier
    ] == []
    assert all(text in django.specifier for text in ("5.2.15", "5.2.19", "6.1", "6.1.3"))
