"""README and programs stay in step, in both languages."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lab_side import cli
from lab_side.config import CONFIG_VARIABLE, PROFILES_VARIABLE, VARIABLES
from lab_side.secrets import EVERY_SECRET

ROOT = Path(__file__).resolve().parents[2]
READMES = ["README.md", "README.ko.md"]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", READMES)
def test_every_setting_of_the_agent_is_documented(name: str) -> None:
    text = read(name)
    secrets = [places.variable for places in EVERY_SECRET]
    for variable in [*VARIABLES, CONFIG_VARIABLE, PROFILES_VARIABLE, *secrets]:
        assert f"`{variable}`" in text, variable
    for places in EVERY_SECRET:
        assert f"`{places.credential}`" in text
        assert f"keyring set {places.service} " in text


@pytest.mark.parametrize("name", READMES)
def test_every_exit_code_and_command_is_documented(name: str) -> None:
    text = read(name)
    codes = {value for key, value in vars(cli).items() if key.startswith("EXIT_")}
    assert codes == {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    helped = subprocess.run(
        [sys.executable, "-m", "lab_side.cli", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    commands = re.findall(r"^    (\w+) ", helped, re.MULTILINE)
    assert {"run", "once", "segment"} <= set(commands)
    for command in commands:
        assert f"`lab-agent {command}`" in text


@pytest.mark.parametrize("name", READMES)
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", read(name)):
        assert (ROOT / target).exists(), target


def test_both_languages_have_the_same_sections() -> None:
    counts = [len(re.findall(r"^#+ ", read(name), re.MULTILINE)) for name in READMES]
    assert counts[0] == counts[1]
