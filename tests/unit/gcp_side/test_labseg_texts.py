"""The page's texts in Korean: every one of them, and the compiled file is that of the text."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from django.core.management import call_command

APP = Path(__file__).resolve().parents[3] / "gcp_side" / "labseg"
ENTRY = re.compile(r'^msgid "(.+)"\nmsgstr "(.*)"$', re.MULTILINE)
PLACE = re.compile(r"%\(\w+\)s")

pytestmark = pytest.mark.skipif(shutil.which("xgettext") is None, reason="no gettext here")


def messages(domain: str, app: Path = APP) -> Path:
    return app / "locale" / "ko" / "LC_MESSAGES" / f"{domain}.po"


@pytest.mark.parametrize("domain", ["django", "djangojs"])
def test_every_text_is_translated(
    domain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = tmp_path / "app"
    for name in ("templates", "static"):
        shutil.copytree(APP / name, app / name)
    (app / "locale").mkdir()
    monkeypatch.chdir(app)
    call_command("makemessages", locale=["ko"], domain=domain, verbosity=0, no_wrap=True)
    used = {text for text, _ in ENTRY.findall(messages(domain, app).read_text())}
    content = messages(domain).read_text()
    translated = dict(ENTRY.findall(content))
    assert len(used) > 20
    assert set(translated) == used
    assert [text for text, korean in translated.items() if not korean] == []
    assert "fuzzy" not in content
    for text, korean in translated.items():
        assert sorted(PLACE.findall(text)) == sorted(PLACE.findall(korean))


@pytest.mark.parametrize("domain", ["django", "djangojs"])
def test_the_compiled_texts_are_those_of_the_source(domain: str, tmp_path: Path) -> None:
    made = tmp_path / "made.mo"
    subprocess.run(["msgfmt", "--check", "-o", made, messages(domain)], check=True)
    assert made.read_bytes() == messages(domain).with_suffix(".mo").read_bytes()
