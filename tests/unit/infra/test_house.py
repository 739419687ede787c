"""The figures of the house, on a few lines of code; and the rules that all of the code keeps."""

from __future__ import annotations

import pytest

from infra import house
from tests.support.paths import ROOT

CODE = '''"""A module that stands for itself."""


def walk(self, one, *, two=2):
    """Walk the tree.

    It says so.
    """
    # Why.
    try:
        return one + two  # type: ignore
    except (ValueError, Exception):  # noqa: BLE001
        return 0
'''
TEXTS = {"common/a/one.py": CODE, "common/a/two.py": "", "infra/three.py": "x = 1\n"}


def test_the_figures_of_some_files() -> None:
    found = house.figures(TEXTS)
    assert found["files / lines"] == f"3 / {len(CODE.splitlines()) + 1}"
    assert found["body lines: median / p90 / max"].endswith(" / 4")
    assert found["parameters: median / p90 / max"] == "2 / 2 / 2"
    assert found["files in the fullest folder"] == "2 (a)"
    assert found["broad excepts / type: ignore / noqa"] == "1 / 1 / 1"
    assert found["docstrings with an idiom"] == "1"
    assert found[f"functions over {house.LONG} lines"] == "0"
    assert found["comments a 100 lines"] == "7.1"


@pytest.mark.parametrize(
    ("line", "expected"),
    [("What is told of it.", True), ("Mends a row.", True), ("Recommend a slice.", False)],
)
def test_idioms_are_whole_words_of_the_first_line(line: str, expected: bool) -> None:
    assert house.has_idiom(line) is expected
    assert not house.has_idiom(f"Plain.\n\n{line}")


def test_the_middle_and_the_ends_of_numbers() -> None:
    assert house.spread(range(1, 101)) == "50 / 90 / 100"
    assert house.spread([7]) == "7 / 7 / 7"
    assert house.spread([]) == "0 / 0 / 0"


@pytest.mark.process
def test_a_revision_is_read_as_the_tree_is() -> None:
    texts = house.at("HEAD")
    assert texts["README.md"].startswith("# SegRelay\n")
    assert {"infra/house.py", "tests/unit/infra/test_house.py"} <= {*texts, *house.in_the_tree()}


def test_the_rules_of_the_house_hold() -> None:
    files = {
        file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8")
        for room in house.ROOMS
        for file in (ROOT / room).rglob("*.py")
    }
    assert int(house.fullest_folder(files).split()[0]) <= 15, house.fullest_folder(files)
    product = {name: text for name, text in files.items() if not name.startswith("tests/")}
    for name, text in product.items():
        nodes = house.nodes_of(text) if len(text.splitlines()) > house.LONG else []
        for node in nodes:
            if isinstance(node, house.Function):
                assert not house.is_long(node), f"{name}: {node.name}"
