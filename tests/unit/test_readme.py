"""The documents and the programs stay in step, in both languages."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from gcp_side.labseg.management.commands.labseg import Command
from infra.demos import picture
from lab_side import cli
from lab_side.settings.config import AgentConfig, ModelConfig, TrustConfig
from lab_side.settings.secrets import EVERY_SECRET
from lab_side.settings.settings_file import CONFIG_VARIABLE
from lab_side.settings.sources import PROFILES_VARIABLE, VARIABLES
from segrelay.orthanc import OrthancSettings
from tests.support.paths import ROOT

SUBJECTS = {
    "install": "README",
    "settings": "lab_side/README",
    "commands of the agent": "lab_side/README",
    "exit codes": "lab_side/README",
    "commands of the site": "gcp_side/README",
    "invariants": "README",
    "operation": "infra/OPERATIONS",
}
"""Where a subject is documented, in English and in Korean."""

PAIRS = sorted(set(SUBJECTS.values()))
LANGUAGES = (".md", ".ko.md")
DOCUMENTS = [f"README{language}" for language in LANGUAGES] + [
    file.relative_to(ROOT).as_posix()
    for room in (".github", "common", "gcp_side", "infra", "lab_side")
    for file in sorted((ROOT / room).rglob("*.md"))
]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def about(subject: str) -> pytest.MarkDecorator:
    """The subject's document in each language."""
    names = [SUBJECTS[subject] + language for language in LANGUAGES]
    return pytest.mark.parametrize("name", names)


def both(pair: str) -> list[str]:
    """A document's text in English and in Korean."""
    return [read(pair + language) for language in LANGUAGES]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_readme_fits_two_screens(language: str) -> None:
    assert len(read("README" + language).splitlines()) <= 200


@pytest.mark.parametrize(("walk", "files"), [(0, 25), (1, 25), (2, 8)])
def test_a_walk_names_few_files_and_what_is_in_them(walk: int, files: int) -> None:
    """At most half of the files that each took before the code was sorted into rooms."""
    text = read(".github/CONTRIBUTING.md").partition("## Three walks")[2]
    lines = re.findall(r"^\d+\. .*", text, re.MULTILINE)[10 * walk : 10 * walk + 10]
    named = re.findall(r"`([\w/.]+\.(?:py|js|po))`(?: `(\w+)`)?", "\n".join(lines))
    assert len(lines) == 10
    assert 5 <= len({file for file, _ in named}) <= files
    for file, name in named:
        assert not name or re.search(rf"^(class|def) {name}\b", read(file), re.MULTILINE), name


def test_the_picture_is_small() -> None:
    assert picture.FILE.stat().st_size <= picture.MAX_BYTES


@about("settings")
def test_every_setting_of_the_agent_is_documented(name: str) -> None:
    text = read(name)
    secrets = [places.variable for places in EVERY_SECRET]
    for variable in [*VARIABLES, CONFIG_VARIABLE, PROFILES_VARIABLE, *secrets]:
        assert f"`{variable}`" in text, variable
    for places in EVERY_SECRET:
        assert f"`{places.credential}`" in text
        assert f"keyring set {places.service} " in text


@about("settings")
def test_every_key_of_the_settings_file_is_documented(name: str) -> None:
    text = read(name)
    sections: dict[str, type[BaseModel]] = {"orthanc": OrthancSettings, "trust": TrustConfig}
    keys = AgentConfig.model_fields.keys() - {"models", *sections}
    for section, model in sections.items():
        keys |= {f"{section}.{key}" for key in model.model_fields}
    never_in_the_file = {"orthanc.password", "orthanc.token", "orthanc.proxy_password"}
    assert {key for key in keys - never_in_the_file if f"`{key}`" not in text} == set()
    for key in ModelConfig.model_fields:
        assert re.search(rf"^{key} = ", text, re.MULTILINE), key


@about("commands of the agent")
def test_every_option_of_every_command_is_documented(name: str) -> None:
    text = read(name)
    missing = {
        f"{command} {option}"
        for command, option in options(cli._parser(), "lab-agent")
        if not re.search(rf"(?<![\w-]){option}(?![\w-])", text)
    }
    assert missing == set()


def options(parser: argparse.ArgumentParser, command: str) -> Iterator[tuple[str, str]]:
    """Every long option with its command; what all programs have is left out."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield from options(inner, f"{command} {name}")
        for option in action.option_strings:
            if option.startswith("--") and option not in ("--help", "--version"):
                yield command, option


@about("exit codes")
def test_every_exit_code_and_command_is_documented(name: str) -> None:
    text = read(name)
    codes = {value for key, value in vars(cli).items() if key.startswith("EXIT_")}
    assert codes == {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    commands = re.findall(r"^    (\w+) ", cli._parser().format_help(), re.MULTILINE)
    assert {"run", "once", "segment"} <= set(commands)
    for command in commands:
        assert f"`lab-agent {command}`" in text


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    for target, _, place in (
        link.partition("#") for link in re.findall(r"\]\((?!http)([^)]+)\)", read(name))
    ):
        file = (ROOT / name).parent / target if target else ROOT / name
        assert file.exists(), target
        assert not place or place in anchors(file.read_text(encoding="utf-8")), (target, place)


def anchors(text: str) -> set[str]:
    """What a link may name after ``#``: the headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.*)", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@about("commands of the agent")
def test_every_documented_option_of_the_agent_exists(name: str) -> None:
    known = options_by_command()
    found = 0
    for words in re.findall(r"lab-agent ((?:[^`\n#|]|\\\|)*)", read(name)):
        split = words.split()
        command = next((word for word in split if word in known), None)
        for option in re.findall(r"(?<!\S)\[?(--[a-z][a-z-]*)", words):
            if command is not None:
                assert option in known[command] | known[""], (command, option)
                found += 1
    assert found > 10


@about("commands of the site")
def test_every_command_of_the_site_is_one_that_there_is(name: str) -> None:
    parser = Command().create_parser("manage.py", "labseg")
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    used = set(re.findall(r"`?labseg ([a-z-]+)", read(name)))
    assert used
    assert used - {"command"} <= set(commands.choices)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_that_are_named_are_there(name: str) -> None:
    for path in re.findall(r"`((?:infra|gcp_side|lab_side|common|tests)/[\w./-]+)", read(name)):
        if not path.startswith("infra/compose/secrets"):
            assert (ROOT / path.rstrip("./")).exists(), path


@pytest.mark.parametrize("pair", PAIRS)
def test_both_languages_have_the_same_sections(pair: str) -> None:
    english, korean = (re.findall(r"^(#+) ", text, re.MULTILINE) for text in both(pair))
    assert english == korean


@pytest.mark.parametrize("pair", PAIRS)
def test_both_languages_have_the_same_commands(pair: str) -> None:
    """Every line that is typed, and every block of code but for its comments."""
    blocks = [re.findall(r"^```.*?^```", text, re.DOTALL | re.MULTILINE) for text in both(pair)]
    assert len(blocks[0]) == len(blocks[1])
    for english, korean in zip(*blocks, strict=True):
        typed = [
            re.findall(r"^[$>] .*", _plain(block), re.MULTILINE) for block in (english, korean)
        ]
        assert typed[0] == typed[1]


@pytest.mark.parametrize("pair", PAIRS)
def test_both_languages_have_the_same_options_names_and_links(pair: str) -> None:
    """Not how often: a sentence may be built otherwise."""
    for what, pattern in (
        ("options", r"(?<![\w-])--[a-z][a-z-]+"),
        ("variables", r"SEGRELAY_[A-Z_]+"),
        ("codes of programs", r"`((?:lab-agent|labseg|gsutil|infra/\w+) [^`]*)`"),
        ("links", r"\]\(([^)#]+)"),
        ("invariants", r"\*\*(I\d)\*\*"),
    ):
        found = [
            {
                " ".join(words.split()).replace(".ko.md", ".md")
                for words in re.findall(pattern, text)
            }
            for text in both(pair)
        ]
        assert found[0] == found[1], (what, found[0] ^ found[1])


@pytest.mark.parametrize("pair", PAIRS)
def test_both_languages_have_the_same_tables(pair: str) -> None:
    english, korean = (
        [line for line in text.splitlines() if line.startswith("|")] for text in both(pair)
    )
    assert len(english) == len(korean)


@pytest.mark.parametrize("pair", PAIRS)
def test_the_korean_has_the_numbers_of_the_english(pair: str) -> None:
    """Section by section. Korean has more digits: English writes some of them as words."""
    for sections in zip(*(re.split(r"^#+ ", text, flags=re.M) for text in both(pair)), strict=True):
        english, korean = (set(re.findall(r"(?<![\w.])\d[\d.,:]*\d|\d", part)) for part in sections)
        assert english - korean == set(), sections[0].partition("\n")[0]


def options_by_command() -> dict[str, set[str]]:
    """The long options of every command of ``lab-agent``; those of the program are under \"\"."""
    found: dict[str, set[str]] = {}

    def collect(parser: argparse.ArgumentParser, name: str) -> None:
        for action in parser._actions:
            found.setdefault(name, set()).update(
                option for option in action.option_strings if option.startswith("--")
            )
            if isinstance(action, argparse._SubParsersAction):
                for word, inner in action.choices.items():
                    collect(inner, name or word)

    collect(cli._parser(), "")
    return found


def _plain(block: str) -> str:
    """Without what follows a command as a comment."""
    return re.sub(r"\s+# .*", "", block)
