"""A command's output: a reader that left, a closed or full stream, a code page without a letter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

COMMAND = """
import sys
from segrelay.system.console import finish_output, prepare_output
prepare_output()
for number in range(4_000):
    print("한국어 … \\udcff", number)
open({done!r}, "w").close()
sys.exit(finish_output({code}))
"""
"""Prints more than a pipe holds, then does its work."""


def run(done: Path, line: str, *, code: int = 0, **environment: str) -> tuple[int, str]:
    """The exit code of the command in a shell line, and what it said on standard error."""
    program = COMMAND.format(done=str(done), code=code)
    ended = subprocess.run(
        ["bash", "-c", line, "bash", sys.executable, "-c", program],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    lines = ended.stdout.splitlines()
    return int(lines[-1]), ended.stderr


needs_bash = pytest.mark.skipif(os.name != "posix", reason="a POSIX shell")


@needs_bash
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('"$@" | head -1 >&2; echo ${PIPESTATUS[0]}', 0),
        ('"$@" | true; echo ${PIPESTATUS[0]}', 0),
        ('"$@" | true; echo ${PIPESTATUS[0]}', 1),
        ('"$@" >&-; echo $?', 0),
        ('"$@" >&- 2>&- <&-; echo $?', 1),
        ('"$@" >/dev/null 2>&-; echo $?', 0),
        ('"$@" >/dev/null 2>/dev/full; echo $?', 0),
    ],
)
@pytest.mark.process
def test_a_command_goes_on_without_a_reader_and_keeps_its_exit_code(
    tmp_path: Path, line: str, code: int, unbuffered: str
) -> None:
    done = tmp_path / "done"
    ended, said = run(done, line, code=code, PYTHONUNBUFFERED=unbuffered, PYTHONUTF8="1")
    assert ended == code
    assert done.exists()
    assert "Error" not in said
    assert "Exception" not in said


@needs_bash
@pytest.mark.parametrize(("code", "seen"), [(0, 75), (1, 1)])
@pytest.mark.process
def test_what_a_full_disk_did_not_take_is_said(tmp_path: Path, code: int, seen: int) -> None:
    done = tmp_path / "done"
    ended, said = run(done, '"$@" >/dev/full; echo $?', code=code)
    assert ended == seen
    assert done.exists()
    first, remedy = said.splitlines()
    assert first.startswith("error: Standard output refused")
    assert first.endswith("(No space left on device). [output-refused]")
    assert remedy.startswith("remedy: ")


@needs_bash
@pytest.mark.parametrize("codec", ["ascii", "ascii:strict", "cp437", "cp949", "cp1252", "latin-1"])
@pytest.mark.process
def test_a_letter_that_the_code_page_lacks_is_its_code(tmp_path: Path, codec: str) -> None:
    out = tmp_path / "out"
    ended, said = run(
        tmp_path / "done", f'"$@" >{out}; echo $?', PYTHONIOENCODING=codec, PYTHONUTF8="0"
    )
    assert (ended, said) == (0, "")
    first = out.read_bytes().splitlines()[0].decode(codec.partition(":")[0])
    hangul = "한국어" if codec == "cp949" else "\\ud55c\\uad6d\\uc5b4"
    assert first.startswith(hangul)
    assert first.endswith("\\udcff 0")


@needs_bash
@pytest.mark.process
def test_a_file_that_is_opened_later_never_replaces_a_closed_stream(tmp_path: Path) -> None:
    program = (
        "from segrelay.system.console import prepare_output; prepare_output(); import os;"
        f"handle = os.open({str(tmp_path / 'data')!r}, os.O_WRONLY | os.O_CREAT);"
        "os.write(1, b'noise of a library'); os._exit(0 if handle > 2 else 1)"
    )
    ended = subprocess.run(
        ["bash", "-c", '"$@" <&- >&- 2>&-', "bash", sys.executable, "-c", program],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0
    assert (tmp_path / "data").read_bytes() == b""
