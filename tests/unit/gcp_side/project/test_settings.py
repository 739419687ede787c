"""The settings dict, the system checks, and the project as programs start it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from pytest_django import Settings

from gcp_side.labseg import checks
from gcp_side.labseg.checks import check_sqlite
from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.host import project_checks
from gcp_side.labseg.orthanc.client import connect
from gcp_side.site.environment import renewed_secret
from infra.servers.certificates import Authority
from segrelay.errors import FixConfigurationError
from tests.support.paths import ROOT

MANAGE = ROOT / "gcp_side" / "manage.py"
SECRET = "a-secret-key-of-the-tests-that-is-long-enough-and-has-0123456789-digits"
# The checks of the models ask the database what it can do.
pytestmark = pytest.mark.django_db

PASSWORD = "hunter2-orthanc"
HTTPS = "https://orthanc.example.org"


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"BUCKET": ""}, "BUCKET"),
        ({"BUCKET": "ftp://x/y"}, "BUCKET"),
        ({"BUCKET": "file:///"}, "BUCKET"),
        ({"BUCKET": "gs://"}, "BUCKET"),
        ({"ORTHANC_URL": ""}, "ORTHANC_URL"),
        ({"ORTHANC_URL": "http://orthanc.example.org"}, "ORTHANC_URL"),
        ({"ORTHANC_URL": f"https://me:{PASSWORD}@example.org"}, "ORTHANC_URL"),
        ({"ORTHANC_TOKEN": PASSWORD, "ORTHANC_USER": "site"}, "ORTHANC_TOKEN"),
        ({"ORTHANC_TOKEN": f"{PASSWORD} x", "ORTHANC_USER": ""}, "ORTHANC_TOKEN"),
        ({"ORTHANC_URL": HTTPS, "ORTHANC_CA_FILE": "/nowhere.pem"}, "ORTHANC_CA_FILE"),
        ({"ORTHANC_URL": HTTPS, "ORTHANC_CLIENT_CERT": "/nowhere.pem"}, "ORTHANC_CLIENT_CERT"),
        ({"ORTHANC_CLIENT_KEY": "/nowhere.pem"}, "ORTHANC_CLIENT_CERT"),
        ({"ORTHANC_PROXY": f"http://me:{PASSWORD}@proxy"}, "ORTHANC_PROXY"),
        ({"OHIF_URL": "javascript:alert(1)"}, "OHIF_URL"),
        ({"OHIF_URL": "ohif.example.org/viewer"}, "OHIF_URL"),
        ({"PROFILES": {}}, "PROFILES"),
        ({"PROFILES": {"Demo": ["a"]}}, "PROFILES"),
        ({"PROFILES": {"demo": ["A a"]}}, "PROFILES"),
        ({"PROFILES": {"demo": []}}, "PROFILES"),
        ({"PROFILES": {"demo": ["t1", "t1"]}}, "PROFILES"),
        ({"PROFILES": {"demo": {"t1", "t2"}}}, "PROFILES"),
        ({"PROFILES": {"demo": {"t1": 1, "t2": 2}}}, "PROFILES"),
        ({"PUBLISH_GRACE_SECONDS": float("inf")}, "PUBLISH_GRACE_SECONDS"),
        ({"REFRESH_SECONDS": 1e300}, "REFRESH_SECONDS"),
        ({"ORTHANC_PASSWORD": {}.popitem}, "ORTHANC_PASSWORD"),
        ({"ORTHANC_PASSWORD": lambda: 5}, "ORTHANC_PASSWORD"),
        ({"ORTHANC_USER": "", "ORTHANC_TOKEN": lambda: 1 / 0}, "ORTHANC_TOKEN"),
        ({"DEFAULT_PROFILE": "other"}, "DEFAULT_PROFILE"),
        ({"DEFAULT_LABELS": {"other": ["site-a"]}}, "DEFAULT_LABELS"),
        ({"DEFAULT_LABELS": {"demo": ["Site A"]}}, "DEFAULT_LABELS"),
        ({"PRIORITY": 10}, "PRIORITY"),
        ({"MAX_ATTEMPTS": 0}, "MAX_ATTEMPTS"),
        ({"SUBMIT_RATE": "often"}, "SUBMIT_RATE"),
        ({"GUESS_RATE": "10"}, "GUESS_RATE"),
        ({"GUESS_ADDRESS_RATE": "0/h"}, "GUESS_ADDRESS_RATE"),
        ({"CACHE": "nowhere"}, "CACHE"),
        ({"PUSH_AUDIENCE": "https://seg.example.org"}, "PUSH_AUDIENCE"),
        ({"ORTHANC_PASSWORT": PASSWORD}, "ORTHANC_PASSWORT"),
    ],
)
def test_a_wrong_value_is_named_with_its_remedy(
    settings: Settings, changes: dict[str, object], key: str
) -> None:
    settings.SEGRELAY = (
        settings.SEGRELAY | {"BUCKET": "file:///srv/q", "ORTHANC_PASSWORD": PASSWORD} | changes
    )
    (error,) = run_checks()
    assert error.id == "labseg.E001"
    assert f"'{key}'" in error.msg
    assert error.hint
    with pytest.raises(FixConfigurationError, match=key) as caught:
        get_conf()
    for text in (error.msg, error.hint, caught.value.message, caught.value.remedy):
        assert PASSWORD not in text


@pytest.mark.parametrize(
    ("database", "complaints"),
    [
        ({"ENGINE": "django.db.backends.sqlite3"}, ["labseg.W002"]),
        (
            {
                "ENGINE": "django.db.backends.sqlite3",
                "OPTIONS": {"transaction_mode": "DEFERRED"},
            },
            ["labseg.W002"],
        ),
        (
            {
                "ENGINE": "django.db.backends.sqlite3",
                "OPTIONS": {"transaction_mode": "immediate"},
            },
            [],
        ),
        ({"ENGINE": "django.db.backends.postgresql"}, []),
    ],
)
def test_a_database_that_will_be_locked_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, database: dict[str, object], complaints: list[str]
) -> None:
    monkeypatch.setitem(django_settings.DATABASES, "default", database)
    assert [item.id for item in check_sqlite()] == complaints


def test_no_dict_at_all(settings: Settings) -> None:
    for value in (None, [("BUCKET", "file:///srv/q")], "file:///srv/q"):
        settings.SEGRELAY = value
        (error,) = run_checks()
        assert error.id == "labseg.E001"
        assert "SEGRELAY is" in error.msg
        assert "meant" not in error.msg
    del settings.SEGRELAY
    assert [error.id for error in run_checks()] == ["labseg.E001"]


def test_the_profile_of_a_wrong_role_is_named(settings: Settings) -> None:
    profiles = {"good": ["t1"], "other": ["t1", "T 2"]}
    settings.SEGRELAY = settings.SEGRELAY | {"BUCKET": "file:///srv/q", "PROFILES": profiles}
    (error,) = run_checks()
    assert "'PROFILES'" in error.msg
    assert "other.1 must be lower-case letters" in error.msg


def test_keys_are_named_as_this_dict_has_them(settings: Settings) -> None:
    for changes, key in (
        ({"ORTHANC_URL": "http://orthanc.example.org"}, "ORTHANC_ALLOW_PLAIN_HTTP"),
        ({"ORTHANC_URL": HTTPS, "ORTHANC_CA_FILE": "/nowhere.pem"}, "(ORTHANC_CA_FILE)"),
    ):
        settings.SEGRELAY = settings.SEGRELAY | {"BUCKET": "file:///srv/q"} | changes
        (error,) = run_checks()
        assert key in f"{error.msg} {error.hint}"


def test_an_empty_file_name_is_no_file(settings: Settings) -> None:
    settings.SEGRELAY = settings.SEGRELAY | {
        "BUCKET": "file:///srv/q",
        "ORTHANC_URL": HTTPS,
        "ORTHANC_CA_FILE": "",
        "ORTHANC_CLIENT_CERT": "",
        "ORTHANC_CLIENT_KEY": "",
    }
    assert run_checks() == []
    assert get_conf().orthanc.ca_file is None


def test_no_two_checks_share_an_id() -> None:
    """Who silences one silences no other."""
    ids: list[str] = []
    for module in (checks, project_checks):
        for part in Path(str(module.__file__)).read_text().split("\n@register")[1:]:
            ids += {*re.findall(r'id="(labseg\.\w+)"', part)}
    assert len(ids) > 10
    assert sorted(ids) == sorted(set(ids))


@pytest.mark.parametrize("bucket", ["file:///srv/q", "gs://segrelay", "gs://segrelay/queue"])
def test_good_settings_have_no_complaint(settings: Settings, bucket: str) -> None:
    settings.SEGRELAY = settings.SEGRELAY | {"BUCKET": bucket}
    assert run_checks() == []


def test_the_password_is_not_in_the_settings_text(settings: Settings) -> None:
    settings.SEGRELAY = settings.SEGRELAY | {"ORTHANC_PASSWORD": PASSWORD}
    assert PASSWORD not in repr(get_conf())
    assert PASSWORD not in repr(get_conf().orthanc)


def test_every_setting_of_the_line_reaches_orthanc(settings: Settings, tmp_path: Path) -> None:
    lab = Authority(tmp_path).issue("site")
    settings.SEGRELAY = settings.SEGRELAY | {
        "BUCKET": "file:///srv/q",
        "ORTHANC_URL": HTTPS,
        "ORTHANC_USER": "",
        "ORTHANC_PASSWORD": "",
        "ORTHANC_TOKEN": PASSWORD,
        "ORTHANC_CLIENT_CERT": str(lab.certificate),
        "ORTHANC_CLIENT_KEY": str(lab.key),
        "ORTHANC_PROXY": "http://proxy:3128",
        "ORTHANC_PROXY_USER": "through",
        "ORTHANC_PROXY_PASSWORD": PASSWORD,
    }
    orthanc = get_conf().orthanc
    assert orthanc.token.get_secret_value() == PASSWORD
    assert (orthanc.client_cert, orthanc.client_key) == (lab.certificate, lab.key)
    assert (orthanc.proxy, orthanc.proxy_user) == ("http://proxy:3128", "through")
    assert orthanc.proxy_password.get_secret_value() == PASSWORD
    assert PASSWORD not in repr(get_conf()) + repr(orthanc)


def test_secrets_of_functions_are_asked_for_again(settings: Settings) -> None:
    """A token that lives for an hour: the next request has the new one, with no restart."""
    tokens = ["one"]
    settings.SEGRELAY = {
        **settings.SEGRELAY,
        "ORTHANC_USER": "",
        "ORTHANC_PASSWORD": "",
        "ORTHANC_TOKEN": lambda: tokens[-1],
    }
    first = connect()
    assert get_conf().orthanc.token.get_secret_value() == "one"
    assert connect() is first, "no new connections while it is the same"
    tokens.append("two")
    assert get_conf().orthanc.token.get_secret_value() == "two"
    assert connect() is not first


def test_a_secret_in_a_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    monkeypatch.setenv("SEGRELAY_ORTHANC_TOKEN_FILE", str(file))
    read = renewed_secret("SEGRELAY_ORTHANC_TOKEN")
    assert callable(read)
    assert read() == "one"
    file.write_text("two\n")
    assert read() == "two"
    file.unlink()
    assert read() == "two", "while the file is being replaced"
    with pytest.raises(ImproperlyConfigured):
        renewed_secret("SEGRELAY_ORTHANC_TOKEN")
    monkeypatch.delenv("SEGRELAY_ORTHANC_TOKEN_FILE")
    monkeypatch.setenv("SEGRELAY_ORTHANC_TOKEN", "three")
    assert renewed_secret("SEGRELAY_ORTHANC_TOKEN") == "three"


def test_plain_http_is_logged_when_the_line_is_opened(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.SEGRELAY = settings.SEGRELAY | {
        "BUCKET": "file:///srv/q",
        "ORTHANC_URL": "http://orthanc.example.org",
        "ORTHANC_ALLOW_PLAIN_HTTP": True,
    }
    connect()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "called by plain http" in caplog.text


@pytest.mark.django_db
def test_the_migrations_are_those_of_the_models() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


def environment(folder: Path, **changes: str | None) -> dict[str, str]:
    """A production-like environment; None leaves a variable out."""
    values: dict[str, str | None] = {
        "PATH": os.environ["PATH"],
        "SEGRELAY_BUCKET": (folder / "queue").as_uri(),
        "SEGRELAY_ORTHANC_URL": "https://orthanc.example.org",
        "SEGRELAY_ORTHANC_USER": "site",
        "SEGRELAY_ORTHANC_PASSWORD": PASSWORD,
        "SEGRELAY_DATABASE": str(folder / "site.sqlite3"),
        "SEGRELAY_SECRET_KEY": SECRET,
        "SEGRELAY_ALLOWED_HOSTS": "seg.example.org",
    }
    return {name: value for name, value in (values | changes).items() if value is not None}


def manage(
    folder: Path, *arguments: str, **changes: str | None
) -> subprocess.CompletedProcess[str]:
    """Run ``manage.py`` as a program, from another folder than the repository's."""
    return subprocess.run(
        [sys.executable, str(MANAGE), *arguments],
        cwd=folder,
        env=environment(folder, **changes),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.process
def test_a_deployment_has_no_warning(tmp_path: Path) -> None:
    done = manage(tmp_path, "check", "--deploy", "--fail-level", "WARNING")
    assert (done.returncode, done.stderr) == (0, "")
    assert "no issues" in done.stdout


@pytest.mark.process
def test_an_orthanc_without_password_and_plain_http_to_another_machine_are_warned_of(
    tmp_path: Path,
) -> None:
    done = manage(
        tmp_path,
        *("check", "--deploy", "--fail-level", "WARNING"),
        SEGRELAY_ORTHANC_USER=None,
        SEGRELAY_ORTHANC_URL="http://orthanc.example.org",
        SEGRELAY_ORTHANC_PLAIN_HTTP="1",
    )
    assert done.returncode == 1
    assert set(re.findall(r"labseg\.\w+", done.stderr)) == {"labseg.W001", "labseg.W009"}


@pytest.mark.process
def test_a_token_or_a_certificate_is_enough_for_orthanc(tmp_path: Path) -> None:
    arguments = ("check", "--deploy", "--fail-level", "WARNING")
    token = {"SEGRELAY_ORTHANC_TOKEN": PASSWORD, "SEGRELAY_ORTHANC_USER": None}
    assert manage(tmp_path, *arguments, **token).returncode == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SEGRELAY_SECRET_KEY", None),
        ("SEGRELAY_DATABASE", None),
        ("SEGRELAY_DEBUG", "perhaps"),
        ("SEGRELAY_ORTHANC_PASSWORD_FILE", "/nowhere/at/all"),
    ],
)
@pytest.mark.process
def test_a_missing_variable_is_one_line(tmp_path: Path, name: str, value: str | None) -> None:
    done = manage(tmp_path, "check", **{name: value})
    assert done.returncode == 78
    assert name in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the site's database, its tables made by the program."""
    folder = tmp_path_factory.mktemp("site")
    assert manage(folder, "migrate", "--verbosity", "0").returncode == 0
    return folder


@pytest.mark.process
def test_the_command_as_a_program(migrated: Path) -> None:
    done = manage(migrated, "labseg", "list", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    done = manage(migrated, "labseg", "sync", SEGRELAY_BUCKET="nonsense")
    assert done.returncode == 78
    assert "Traceback" not in done.stderr
    assert "SEGRELAY['BUCKET']" in done.stderr
    done = manage(migrated, "labseg", "submit", "--help")
    assert done.returncode == 0
    assert "exit codes:" in done.stdout


@pytest.mark.process
def test_watching_ends_at_a_signal(migrated: Path) -> None:
    arguments = [sys.executable, str(MANAGE), "labseg", "sync", "--watch", "--interval", "600"]
    with subprocess.Popen(
        arguments, cwd=migrated, env=environment(migrated), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "Watching" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize(
    ("changes", "meant"),
    [
        ({"ORTHANC_PASSWORT": PASSWORD}, "ORTHANC_PASSWORD"),
        ({"orthanc_user": "x"}, "ORTHANC_USER"),
        ({"READRATE": "1/s"}, "READ_RATE"),
        ({"AUTHENTICATION_CLASS": []}, "AUTHENTICATION_CLASSES"),
        ({"DEFAULT_PROFILE": "dmo"}, "demo"),
        ({"DEFAULT_LABELS": {"demmo": ["a"]}}, "demo"),
        ({"CACHE": "defualt"}, "default"),
    ],
)
def test_a_slip_gets_the_nearest_right_name(
    settings: Settings, changes: dict[str, object], meant: str
) -> None:
    settings.SEGRELAY = settings.SEGRELAY | {"BUCKET": "file:///srv/q"} | changes
    (error,) = run_checks()
    assert error.msg.endswith(f"; did you mean {meant}?")


def test_a_slip_in_the_name_of_the_setting(settings: Settings) -> None:
    settings.SEGRELEY = settings.SEGRELAY
    del settings.SEGRELAY
    (error,) = run_checks()
    assert "is SEGRELEY meant for it?" in error.msg


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({1: 2}, "has a key that is not text"),
        ({"ORTHANC_PASSWORD": 5}, "must be text"),
        ({"MAX_ATTEMPTS": "three"}, "must be a whole number"),
        ({"PROFILES": ["demo"]}, "must be a group of keys and values"),
        ({"AGENT_KEYS": "key"}, "must be a list"),
        ({"AUTHENTICATION_CLASSES": []}, "is empty"),
        ({"AUTHENTICATION_CLASSES": ["os.path.join"]}, "is no authentication class"),
        ({"AUTHENTICATION_CLASSES": ["os.no.such"]}, "cannot be imported"),
    ],
)
def test_a_value_of_a_wrong_kind_is_said_once(
    settings: Settings, changes: dict[Any, object], what: str
) -> None:
    settings.SEGRELAY = settings.SEGRELAY | {"BUCKET": "file:///srv/q"} | changes
    (error,) = run_checks()
    assert what in error.msg
