"""All texts for users in Korean: every one of them, and the compiled file is that of the text."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils.translation import gettext, override, pgettext

from tests.support.paths import ROOT

APP = ROOT / "gcp_side" / "labseg"
ENTRY = re.compile(
    r'(?:^msgctxt "(.+)"\n)?^msgid "(.+)"\n(?:msgid_plural ".+"\n)?msgstr(?:\[0\])? "(.*)"$',
    re.MULTILINE,
)
MARKED = [
    module
    for module in (ROOT / "common" / "segrelay").rglob("*.py")
    if "import gettext_noop" in module.read_text()
]
"""Where the sentences that both sides know are."""

UNMARKED = re.compile(
    r"{% (comment|blocktranslate).*?{% end\1 %}|{[%{#].*?[%}#]}|<(script|style)\b.*?</\2>|<[^>]*>",
    re.DOTALL,
)
"""What of a template is no text, or is one that is translated."""

SAME_IN_BOTH = {"SegRelay", "PgUp", "PgDn", "Shift", "Alt"}

PLACE = re.compile(r"%\(\w+\)s|\{\w+[^}]*\}")

pytestmark = pytest.mark.skipif(shutil.which("xgettext") is None, reason="no gettext here")


def messages(domain: str, app: Path = APP) -> Path:
    return app / "locale" / "ko" / "LC_MESSAGES" / f"{domain}.po"


def texts(content: str) -> dict[tuple[str, str], str]:
    """Translations by context, empty where there is none, and text."""
    return {(context, text): korean for context, text, korean in ENTRY.findall(content)}


@pytest.mark.parametrize("domain", ["django", "djangojs"])
@pytest.mark.process
def test_every_text_is_translated(
    domain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = tmp_path / "app"
    shutil.copytree(APP, app, ignore=shutil.ignore_patterns("locale", "__pycache__"))
    (app / "locale").mkdir()
    for module in MARKED:
        shutil.copy(module, app / f"of_segrelay_{module.name}")
    monkeypatch.chdir(app)
    call_command("makemessages", locale=["ko"], domain=domain, verbosity=0, no_wrap=True)
    used = set(texts(messages(domain, app).read_text()))
    content = messages(domain).read_text()
    translated = texts(content)
    assert len(used) > 20
    assert set(translated) == used
    assert [key for key, korean in translated.items() if not korean] == []
    assert "fuzzy" not in content
    for (_, text), korean in translated.items():
        assert sorted(PLACE.findall(text)) == sorted(PLACE.findall(korean))


@pytest.mark.parametrize("domain", ["django", "djangojs"])
@pytest.mark.process
def test_the_compiled_texts_are_those_of_the_source(domain: str, tmp_path: Path) -> None:
    made = tmp_path / "made.mo"
    subprocess.run(["msgfmt", "--check", "-o", made, messages(domain)], check=True)
    assert made.read_bytes() == messages(domain).with_suffix(".mo").read_bytes()


@pytest.mark.parametrize("template", [path.name for path in APP.rglob("*.html")])
def test_a_template_has_no_text_that_is_never_translated(template: str) -> None:
    text = (APP / "templates" / "labseg" / template).read_text()
    assert set(re.findall(r"[A-Za-z]{2,}", UNMARKED.sub(" ", text))) <= SAME_IN_BOTH


def test_no_other_app_puts_its_words_into_the_page() -> None:
    # Django joins the catalogues of all apps, and the first to know a text wins.
    with override("ko"):
        for (context, text), korean in texts(messages("django").read_text()).items():
            assert (pgettext(context, text) if context else gettext(text)) == korean
