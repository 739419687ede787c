"""``manage.py`` where its output leads nowhere, or to a full disk."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.paths import ROOT


@pytest.mark.skipif(os.name != "posix", reason="a POSIX shell")
@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ('"$@" labseg --help >/dev/full', 75, "[output-refused]"),
        ('"$@" labseg --help | true; exit ${PIPESTATUS[0]}', 0, ""),
    ],
)
@pytest.mark.process
def test_the_command_ends_with_a_code_and_a_line(line: str, code: int, said: str) -> None:
    ended = subprocess.run(
        ["bash", "-c", line, "bash", sys.executable, str(ROOT / "gcp_side" / "manage.py")],
        env={
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "PYTHONIOENCODING": "ascii",
            "PYTHONUNBUFFERED": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == code, ended.stderr
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Exception" not in ended.stderr
