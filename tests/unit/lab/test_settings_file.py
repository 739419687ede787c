"""Every command reads the same settings file, and says where it has looked."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from lab_side import cli
from lab_side.settings import settings_file
from lab_side.settings.loading import load_config
from lab_side.settings.settings_file import find_settings, new_settings_path
from segrelay.system.command_line import HelpfulParser
from tests.support.command_line import Cli

CONFIGURATION = 78


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A computer with an empty home and an empty /etc."""
    monkeypatch.setattr(settings_file, "_SYSTEM_FOLDER", tmp_path / "etc")
    for variable in [name for name in os.environ if name.startswith("SEGRELAY_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def lab(home: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def write(path: Path, agent: str = "lab-1") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'bucket = "file://{path.parent}/queue"\nagent_id = "{agent}"\n'
        f'work_dir = "{path.parent}/work"\n[orthanc]\nurl = "http://127.0.0.1:9"\n'
    )
    return path


def own(home: Path) -> Path:
    return home / ".config" / "segrelay" / "agent.toml"


def test_the_first_that_is_there_is_read(home: Path, tmp_path: Path) -> None:
    system = write(tmp_path / "etc" / "agent.toml", "of-system")
    assert find_settings().path == system
    mine = write(own(home), "of-account")
    assert (find_settings().path, find_settings().passed_over) == (mine, (system,))
    variable = write(tmp_path / "variable.toml", "of-variable")
    environment = {"HOME": str(home), "SEGRELAY_CONFIG": str(variable)}
    assert find_settings(None, environment).path == variable
    option = write(tmp_path / "option.toml", "of-option")
    assert find_settings(option, environment).path == option
    assert load_config(option, environment).agent_id == "of-option"
    assert load_config(None, environment).agent_id == "of-variable"
    assert load_config(None, {"HOME": str(home)}).agent_id == "of-account"
    assert load_config(None, {}).agent_id == "of-system"


def test_a_variable_overrules_the_file_that_was_found(home: Path) -> None:
    write(own(home))
    environment = {"HOME": str(home), "SEGRELAY_AGENT_ID": "lab-9"}
    assert load_config(None, environment).agent_id == "lab-9"


def test_an_empty_variable_means_no_file(home: Path) -> None:
    write(own(home))
    found = find_settings(None, {"HOME": str(home), "SEGRELAY_CONFIG": ""})
    assert found.path is None
    assert "SEGRELAY_CONFIG (set, and empty)" in found.in_words()


def leaves(parser: argparse.ArgumentParser, *words: str) -> list[tuple[str, ...]]:
    """Every command that runs, as its words and what it must be given."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return [
                found
                for name, inner in action.choices.items()
                for found in leaves(inner, *words, name)
            ]
    return [words]


GIVEN: Mapping[str, tuple[str, ...]] = {
    "segment": ("--series-ids", "a"),
    "export": ("x", "/tmp"),
    "cancel": ("01m8mnmjts8c2t4dpjgrjzqsqg",),
    "requeue": ("01m8mnmjts8c2t4dpjgrjzqsqg",),
}
WITHOUT_SETTINGS = {"setup", "keygen", "profile", "evaluate", "start", "stop", "status"}
"""Commands that need none, or ask the system's services by the usual name."""

COMMANDS = [
    words
    for words in leaves(cli._parser())
    if words[0] not in WITHOUT_SETTINGS and words[0] != "service"
]


@pytest.mark.parametrize("words", [*COMMANDS, ("status",), ("service", "install")], ids=" ".join)
def test_every_command_says_where_it_looked_and_what_to_run(
    lab: Cli, home: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    lab(*words, *GIVEN.get(words[-1], ()), code=CONFIGURATION)
    said = lab.said.out + lab.said.err
    assert str(own(home)) in said
    assert str(tmp_path / "etc" / "agent.toml") in said
    assert "SEGRELAY_CONFIG" in said
    assert "lab-agent setup" in said


def test_doctor_and_verbose_say_which_file_won(lab: Cli, home: Path, tmp_path: Path) -> None:
    mine, system = write(own(home)), write(tmp_path / "etc" / "agent.toml")
    said = lab("doctor", "--quick", code=75)
    assert f"settings: {mine} (this account's); not read: {system}" in said
    lab("queue", "--verbose")
    assert f"settings: {mine} (this account's); not read: {system}" in lab.said.err
    lab("--config", str(system), "-v", "queue")
    assert f"settings: {system} (--config)" in lab.said.err


def test_a_service_is_given_the_file_that_commands_read(lab: Cli, home: Path) -> None:
    mine = write(own(home))
    assert str(mine) in lab("service", "install", "--print")


def test_options_of_every_command_may_follow_it(lab: Cli, home: Path) -> None:
    path = write(home / "other.toml")
    both = lab("queue", "--config", str(path)), lab("--config", str(path), "queue")
    # Each names the second in which it was given.
    after, before = (re.sub(r"\d\d:\d\d:\d\d", "", answer) for answer in both)
    assert after == before


def test_setup_writes_where_the_others_look(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert new_settings_path() == own(home)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert find_settings().looked_at[-1] == str(new_settings_path())


def test_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {
        "USERPROFILE": str(tmp_path / "kim"),
        "PROGRAMDATA": str(tmp_path / "ProgramData"),
    }
    monkeypatch.setattr(settings_file, "os", argparse.Namespace(name="nt", environ=environment))
    assert find_settings().looked_at[-2:] == (
        str(own(tmp_path / "kim")),
        str(tmp_path / "ProgramData" / "SegRelay" / "agent.toml"),
    )
    assert new_settings_path() == own(tmp_path / "kim")


def test_a_file_that_may_not_be_read(lab: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(own(home))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    lab("queue", code=CONFIGURATION)
    assert f"{path} may not be read by this account" in lab.said.err
    assert "sudo" in lab.said.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dcotor"], "no command 'dcotor'; did you mean doctor?"),
        (["segmnt", "--series-ids", "a"], "no command 'segmnt'; did you mean segment?"),
        (["zzzz"], "no command 'zzzz'; there are: run, once,"),
        (["profile", "shwo"], "no command 'shwo'; did you mean show?"),
        (["doctor", "--qick"], "no option --qick; did you mean --quick?"),
        (["segment", "--seris-ids", "a"], "no option --seris-ids; did you mean --series-ids?"),
        (["--confg", "x", "queue"], "no option --confg; did you mean --config?"),
        (["setup", "--secrets", "flie"], "no choice 'flie'; did you mean file?"),
        (["--log", "jsn", "queue"], "no choice 'jsn'; did you mean json?"),
        (["queue", "extra"], "unrecognized arguments: extra"),
        (["segment"], "required: --series-ids"),
    ],
)
def test_a_slip_is_answered_with_the_nearest(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.run(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_beginning_of_an_option_is_the_option() -> None:
    parser = HelpfulParser()
    parser.add_argument("--series-ids")
    parser.add_argument("word", nargs="*")
    assert parser.parse_args(["--series", "a"]).series_ids == "a"
    assert parser.parse_args(["--", "--seris"]).word == ["--seris"]
