"""The installer for Windows: what it calls is what there is. PowerShell itself is not here."""

from __future__ import annotations

import re

import pytest

from lab_side import cli
from lab_side.service.windows import WindowsService
from lab_side.settings.config import SERVICE_NAME
from tests.support.paths import ROOT

SCRIPT = ROOT / "infra" / "windows" / "install.ps1"
VALUES = {"$config": "agent.toml", "$device": "cuda", "$Account": "someone"}


@pytest.fixture(scope="module")
def text() -> str:
    return SCRIPT.read_text(encoding="utf-8")


def calls_of_the_agent(text: str) -> list[list[str]]:
    """The arguments of every call of lab-agent, with values in place of variables."""
    found = []
    flat = re.sub(r"\(Join-Path [^)]*\)", "'folder'", text)
    for listed in re.findall(r"Invoke-Checked '\w+' \$agent @\((.*?)\)", flat, re.DOTALL):
        words = re.findall(r"'([^']*)'|(\$\w+)", listed)
        found.append([quoted or VALUES[variable] for quoted, variable in words])
    return found


def test_every_call_of_the_agent_is_one_that_it_understands(text: str) -> None:
    calls = calls_of_the_agent(text)
    assert len(calls) == text.count("$agent @(") == 4
    for arguments in calls:
        cli._parser().parse_args(arguments)
    commands = [arguments[2] for arguments in calls if arguments[0] == "--config"]
    assert commands == ["setup", "doctor", "service"]


def test_the_service_is_the_one_that_the_agent_installs(text: str) -> None:
    assert f"$Name = '{SERVICE_NAME}'" in text
    assert f"$Account = '{WindowsService(SERVICE_NAME).default_user}'" in text


def test_a_gpu_that_is_not_seen_stops_it(text: str) -> None:
    """The settings say cuda unless the person says that no GPU is meant; the doctor then fails."""
    assert "$device = if ($Cpu) { 'cpu' } else { 'cuda' }" in text
    doctor = text.index("Invoke-Checked 'doctor'")
    assert text.index("Invoke-Checked 'settings'") < doctor < text.index("Invoke-Checked 'service'")
    assert "if ($LASTEXITCODE -ne 0)" in text


def test_the_folders_are_for_administrators_and_the_service(text: str) -> None:
    assert text.count("'/inheritance:r'") == 2
    assert text.count("New-ClosedFolder $") == 2
    assert "Everyone" not in text
    assert "S-1-1-0" not in text


def test_every_parameter_is_explained_and_none_is_a_secret(text: str) -> None:
    head, _, body = text.partition("param(")
    declared = re.findall(r"^    \[(?:string|switch)\] \$(\w+)", body.partition("\n)")[0], re.M)
    assert declared == re.findall(r"^\.PARAMETER (\w+)$", head, re.M)
    assert not re.search(r"(?i)password|secret|token", " ".join(declared))


def test_it_is_plain_text_that_every_powershell_reads(text: str) -> None:
    """Windows' own PowerShell takes a file without a mark for the old code page."""
    assert text.isascii()
    for opening, closing in ("()", "{}", "[]"):
        assert text.count(opening) == text.count(closing)
