"""Completion in a real bash, as it is switched on by the README's line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.networks.tiny_profile import write_tiny_profile

PROGRAMS = Path(sys.executable).parent

SCRIPT = """\
eval "$(register-python-argcomplete lab-agent)"
COMP_LINE="$1" COMP_POINT=${#1} COMP_TYPE=9
read -r -a COMP_WORDS <<< "$1"
[[ "$1" == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_python_argcomplete lab-agent "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An account whose settings name a folder with a profile of its own."""
    write_tiny_profile(tmp_path / "profiles", "tiny-2026")
    file = tmp_path / ".config" / "segrelay" / "agent.toml"
    file.parent.mkdir(parents=True)
    file.write_text(f'profiles_dir = "{tmp_path}/profiles"\n')
    return tmp_path


@pytest.mark.parametrize(
    ("line", "offered", "not_offered"),
    [
        ("lab-agent do", {"doctor"}, {"drain"}),
        ("lab-agent segment --ser", {"--series-ids"}, {"--profile"}),
        ("lab-agent segment --profile ", {"demo", "brats-segresnet", "tiny-2026"}, set()),
        ("lab-agent profile show ti", {"tiny-2026"}, {"demo"}),
        ("lab-agent profile ", {"list", "show", "check", "import"}, {"doctor"}),
    ],
)
@pytest.mark.process
def test_bash_offers(home: Path, line: str, offered: set[str], not_offered: set[str]) -> None:
    environment = {key: value for key, value in os.environ.items() if "SEGRELAY" not in key}
    environment |= {"HOME": str(home), "PATH": f"{PROGRAMS}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", SCRIPT, "bash", line],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found = {word.strip() for word in done.stdout.splitlines()}
    assert offered <= found, done.stderr
    assert not found & not_offered
