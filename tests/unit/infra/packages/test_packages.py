"""What each extra installs is used, and what the code uses is declared."""

from __future__ import annotations

import ast
import functools
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BASE: list[str] = PROJECT["dependencies"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
OURS = {"segrelay", "lab_side", "gcp_side", "infra", "tests"}
TYPES = {"_typeshed"}
WINDOWS = {
    *("pywintypes", "servicemanager", "win32api", "win32com", "win32con", "win32evtlogutil"),
    *("win32file", "win32service", "win32serviceutil"),
}
"""Modules of pywin32."""

PARTS = {
    "google-cloud-storage": {"google-api-core", "google-auth"},
    "django": {"asgiref"},
    "pydantic": {"pydantic-core"},
}
"""What a package's makers publish as a package of its own, and its users import."""

UNIMPORTED = {
    "einops": "MONAI's SwinUNETR calls it",
    "dcmqi": "its programs are run",
    "nibabel": "MONAI's Orientationd calls it, beside which the bench measures",
    "pytest-xdist": "infra/test runs pytest with -n",
    "ruff": "a program",
    "import-linter": "its program lint-imports is run",
    "mypy": "a program",
    "django-stubs": "read by mypy",
    "djangorestframework-stubs": "read by mypy",
    "scipy-stubs": "read by mypy",
    "types-psutil": "read by mypy",
    "types-requests": "read by mypy",
    "pywin32": "its modules have other names",
}
"""Required without an import of ours, and why."""

BY_NAME = {"importlib.import_module", "pytest.importorskip"}
"""Calls whose argument is imported."""

OPTIONAL = {
    "segrelay": {"redis": "redis"},
    "lab_side": {"deepbet": "brain", "openvino": "openvino"},
    "gcp_side": {"drf_spectacular": "an API description, if wished", "gunicorn": "site.Dockerfile"},
}
"""Imported by a side without being in its own extra, and where it comes from."""

GUI = re.compile(
    r"customtkinter|darkdetect|pyqt\d?|pyside\d?|wxpython|kivy|pygobject|opencv-python"
)


def names(texts: list[str]) -> set[str]:
    """Canonical names of the requirements that apply on this computer."""
    found = [Requirement(text) for text in texts]
    return {
        canonicalize_name(one.name)
        for one in found
        if one.marker is None or one.marker.evaluate({"extra": ""})
    }


def closure(wanted: set[str]) -> set[str]:
    """The same with everything that those require, as far as it is installed here."""
    found: set[str] = set()
    waiting = set(wanted)
    while waiting:
        name = waiting.pop()
        found.add(name)
        try:
            required = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        waiting |= names(required) - found
    return found


def modules_of(package: Distribution) -> set[str]:
    """Top-level names that its files can be imported by."""
    paths = [file for file in package.files or [] if file.suffix in {".py", ".so"}]
    return {path.parts[0].split(".")[0] for path in paths}


@functools.cache
def imported_by(folder: str) -> frozenset[str]:
    """Top-level modules of others that the sources of a folder import."""
    found: set[str] = set()
    place = ROOT / "common" / folder if folder == "segrelay" else ROOT / folder
    for path in place.rglob("*.py"):
        found |= set(imports(ast.parse(path.read_text(encoding="utf-8"))))
    return frozenset(found - OURS - TYPES - sys.stdlib_module_names)


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]
        elif isinstance(node, ast.Call) and _name(node.func) in BY_NAME:
            yield from (str(word.value).split(".")[0] for word in literals(node))


def _name(function: ast.expr) -> str:
    """``module.function``, or nothing for what is written in another way."""
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return f"{function.value.id}.{function.attr}"
    return ""


def literals(call: ast.Call) -> list[ast.Constant]:
    return [word for word in call.args if isinstance(word, ast.Constant)]


def required(*lists: list[str]) -> set[str]:
    return set().union(*(names(texts) for texts in lists))


def test_a_lab_without_a_brain_profile_installs_no_toolkit_for_windows() -> None:
    lab = closure(required(BASE, EXTRAS["lab"]))
    assert lab >= {"torch", "monai", "highdicom", "numpy", "typing-extensions"}
    assert "deepbet" not in lab
    assert [name for name in lab if GUI.fullmatch(name)] == []
    assert "customtkinter" in closure(names(EXTRAS["brain"])), "the search would see it"


@pytest.mark.parametrize("extra", ["gcp", "lab"])
def test_neither_side_installs_what_belongs_to_the_other(extra: str) -> None:
    foreign = {
        "gcp": {"torch", "monai", "scipy", "simpleitk", "highdicom", "pandas", "openvino"},
        "lab": {"django", "djangorestframework", "gunicorn", "pandas", "openvino"},
    }
    assert closure(required(BASE, EXTRAS[extra])) & foreign[extra] == set()


@pytest.mark.parametrize("extra", ["", *EXTRAS])
def test_every_requirement_is_imported_or_says_why_not(extra: str) -> None:
    used = set().union(*map(imported_by, OURS))
    for name in names(EXTRAS[extra] if extra else BASE):
        if name not in UNIMPORTED:
            assert modules_of(distribution(name)) & used, name


@pytest.mark.parametrize(
    ("folder", "extra"),
    [("segrelay", "lab"), ("segrelay", "gcp"), ("lab_side", "lab"), ("gcp_side", "gcp")],
)
def test_every_import_of_the_product_is_declared(folder: str, extra: str) -> None:
    declared = required(BASE, EXTRAS[extra])
    for name in tuple(declared):
        declared |= PARTS.get(name, set())
    modules = WINDOWS if folder == "lab_side" else set()
    modules = modules.union(OPTIONAL.get(folder, {}), *map(modules_of, map(distribution, declared)))
    assert imported_by(folder) - modules == set()
