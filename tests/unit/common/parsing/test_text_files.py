"""Text files that people write: UTF-8 is read, with or without a mark; all else is named."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from gcp_side.site.environment import secret as site_secret
from lab_side.settings.config import LocalConfig
from lab_side.settings.loading import load_config, load_part
from lab_side.settings.secrets import orthanc_password
from segrelay.bucket.gcs import open_gcs_bucket
from segrelay.errors import FixConfigurationError, ManifestRejectedError
from segrelay.manifest import parse_job_manifest
from segrelay.parsing.text_files import UnreadableTextError, decode_text, read_text, why_not_utf_8
from segrelay.profiles import load_profile
from tests.support.paths import ROOT

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"))
OTHERS = {
    "utf-16": "is UTF-16",
    "utf-16-le": "is UTF-16",
    "utf-16-be": "is UTF-16",
    "utf-32": "is UTF-32",
    "utf-32-be": "is UTF-32",
    "cp949": "seems to be CP949",
    "euc-kr": "seems to be CP949",
}
SETTINGS = (
    '# 연구실 설정\nbucket = "file:///srv/queue"\nagent_id = "lab-1"\nwork_dir = "/srv/작업"\n'
)


@given(TEXTS)
def test_utf_8_comes_back_with_and_without_a_mark(text: str) -> None:
    assert decode_text(text.encode()) == text
    assert decode_text(codecs.BOM_UTF8 + text.encode()) == text


@given(TEXTS.filter(bool), st.sampled_from(["utf-16", "utf-32"]))
def test_what_bears_a_mark_of_another_encoding_is_never_read(text: str, encoding: str) -> None:
    with pytest.raises(UnreadableTextError, match=encoding.upper()):
        decode_text(text.encode(encoding))


@given(st.binary())
def test_any_bytes_are_a_text_or_are_refused(data: bytes) -> None:
    if why_not_utf_8(data):
        with pytest.raises(UnreadableTextError):
            decode_text(data)
    else:
        assert decode_text(data) == data.removeprefix(codecs.BOM_UTF8).decode()


def test_another_western_code_page_is_not_taken_for_korean() -> None:
    for word in ("Müller", "Größe", "naïve café", "señor"):
        assert why_not_utf_8(word.encode("latin-1")).startswith("is not UTF-8 (byte ")
        assert "CP949" not in why_not_utf_8(word.encode("latin-1"))


def test_a_file_without_end_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segrelay.parsing.text_files.LONGEST_TEXT", 100)
    (tmp_path / "long").write_bytes(b"a" * 101)
    with pytest.raises(UnreadableTextError, match="more than 100 bytes"):
        read_text(tmp_path / "long")


@pytest.mark.parametrize("encoding", OTHERS)
def test_settings(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "agent.toml"
    path.write_bytes(SETTINGS.encode(encoding))
    with pytest.raises(FixConfigurationError, match=OTHERS[encoding]) as caught:
        load_config(path, {})
    assert caught.value.code == "configuration"
    assert "UTF-8" in caught.value.remedy


def test_settings_with_a_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_bytes(SETTINGS.encode("utf-8-sig"))
    assert load_part(LocalConfig, path, {}).work_dir == Path("/srv/작업")


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_secrets_are_read_without_mark_and_line_end(tmp_path: Path, mark: bytes, end: str) -> None:
    for name in ("secret", "orthanc-password"):
        (tmp_path / name).write_bytes(mark + f"pass 암호{end}".encode())
        (tmp_path / name).chmod(0o600)
    for environment in (
        {"SEGRELAY_ORTHANC_PASSWORD_FILE": str(tmp_path / "secret")},
        {"CREDENTIALS_DIRECTORY": str(tmp_path)},
        {"SEGRELAY_CREDENTIALS_DIR": str(tmp_path)},
    ):
        assert orthanc_password("user", environment) == "pass 암호"


@pytest.mark.parametrize("encoding", OTHERS)
def test_secrets_of_another_encoding_are_refused_and_not_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    for name in ("secret", "orthanc-password"):
        (tmp_path / name).write_bytes("암호".encode(encoding) + "hidden".encode(encoding))
        (tmp_path / name).chmod(0o600)
    for environment in (
        {"SEGRELAY_ORTHANC_PASSWORD_FILE": str(tmp_path / "secret")},
        {"CREDENTIALS_DIRECTORY": str(tmp_path)},
        {"SEGRELAY_CREDENTIALS_DIR": str(tmp_path)},
    ):
        with pytest.raises(FixConfigurationError) as caught:
            orthanc_password("user", environment)
        assert caught.value.code == "secret-file-unreadable"
        assert "UTF-8" in caught.value.remedy
        assert "hidden" not in caught.value.message
    monkeypatch.setenv("SITE_SECRET_FILE", str(tmp_path / "secret"))
    with pytest.raises(ImproperlyConfigured, match="SITE_SECRET_FILE names is"):
        site_secret("SITE_SECRET")


@pytest.mark.parametrize("encoding", ["utf-8-sig", *OTHERS])
def test_a_manifest_is_refused_with_its_encoding_and_a_remedy(encoding: str) -> None:
    document = json.dumps({"schema_version": "1.0", "job_id": "연구"}, ensure_ascii=False)
    words = OTHERS.get(encoding, "byte order mark")
    with pytest.raises(ManifestRejectedError, match=words) as caught:
        parse_job_manifest(document.encode(encoding))
    assert caught.value.code == "manifest-not-json"
    assert caught.value.remedy == "Write it as UTF-8 without a byte order mark."


def test_a_profile(tmp_path: Path) -> None:
    shipped = ROOT / "lab_side" / "profiles" / "demo"
    text = (shipped / "profile.json").read_text(encoding="utf-8")
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "profile.json").write_bytes(text.encode("utf-8-sig"))
    assert load_profile(folder) == load_profile(shipped)
    (folder / "profile.json").write_bytes(text.encode("utf-16"))
    with pytest.raises(FixConfigurationError, match=r"profile\.json is UTF-16") as caught:
        load_profile(folder)
    assert caught.value.code == "profile-invalid"


@pytest.mark.parametrize(("encoding", "words"), [("utf-8-sig", "mark"), ("utf-16", "UTF-16")])
def test_the_key_of_a_service_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, words: str
) -> None:
    path = tmp_path / "key.json"
    path.write_bytes(json.dumps({"type": "service_account"}).encode(encoding))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    with pytest.raises(FixConfigurationError, match=words) as caught:
        open_gcs_bucket("bucket", "queue")
    assert caught.value.code == "bucket-credentials"
