"""The closing words of a demo that stays, and the study that is put into it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from infra.demos.options import make_parser, out_folder
from infra.demos.running import RUNNING, RunningDemo, read_running, send
from infra.packages.debian import repository_root
from segrelay.errors import FixConfigurationError

DEMO = RunningDemo(
    site="http://127.0.0.1:1111",
    site_user="demo",
    site_password="site-secret",
    orthanc="http://127.0.0.1:2222",
    orthanc_user="lab",
    orthanc_password="orthanc-secret",
)


def test_it_says_where_everything_is_what_to_type_and_how_to_stop(tmp_path: Path) -> None:
    text = "\n".join(DEMO.words(repository_root() / "demo-output"))
    for words in (
        "http://127.0.0.1:1111/segmentation/",
        "log in as demo with the password site-secret",
        "http://127.0.0.1:2222/app/explorer.html",
        f"user lab; the password is in {repository_root() / 'demo-output' / RUNNING}",
        "infra/demo --send STUDY.zip",
        "Ctrl-C",
        "thrown away",
    ):
        assert words in text
    assert "orthanc-secret" not in text
    assert f"infra/demo --out '{tmp_path}/a b' --send" in "\n".join(DEMO.words(tmp_path / "a b"))


def test_every_command_that_it_names_is_understood() -> None:
    lines = [
        line.split() for line in DEMO.words(Path("/tmp/elsewhere")) if "    infra/demo" in line
    ]
    assert len(lines) == 2
    for words in lines:
        options = make_parser().parse_args(words[1:5])
        assert out_folder(options, Path("/repository")) == Path("/tmp/elsewhere")
        assert options.send is not None


def test_its_addresses_and_passwords_are_for_its_account_and_for_as_long_as_it_runs(
    tmp_path: Path,
) -> None:
    (tmp_path / RUNNING).write_text("of a demo that was killed")
    with DEMO.written(tmp_path) as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert read_running(tmp_path) == DEMO
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[", b"\xff"])
def test_without_a_demo_there_is_nowhere_to_send_to(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / RUNNING).write_bytes(content)
    with pytest.raises(FixConfigurationError) as said:
        send(tmp_path, tmp_path)
    assert said.value.code == "demo-missing"
    assert "infra/demo" in said.value.remedy
