"""The hospital's side as containers: what the files say, without docker."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gcp_side.labseg.viewer import volumes
from gcp_side.site import gunicorn, settings
from gcp_side.site.database import database
from infra.packages.debian import nginx_program
from tests.support.paths import ROOT
from tests.support.servers import compose

MAKE_SECRETS = compose.FOLDER / "compose" / "make-secrets"
SECRET_WORDS = re.compile(r"PASSWORD|SECRET|TOKEN|SIGNING_KEY|DATABASE|CREDENTIAL")
ONE_SHOT = {"migrate"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return compose.load()


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    subprocess.run([MAKE_SECRETS, "localhost", folder], check=True, capture_output=True)
    return folder


def test_what_must_be_given_has_no_default() -> None:
    with pytest.raises(KeyError, match="SEGRELAY_HOST"):
        compose.load({"SEGRELAY_BUCKET": "gs://hospital/queue"})


def test_without_a_bucket_the_site_keeps_the_queue() -> None:
    services = compose.load({"SEGRELAY_HOST": "localhost"})["services"]
    assert services["site"]["environment"]["SEGRELAY_BUCKET"] == "database:"


@pytest.mark.skipif(
    shutil.which("docker") is None
    or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode
    != 0,
    reason="no docker compose here",
)
def test_docker_compose_takes_it(secrets: Path) -> None:
    subprocess.run(
        ["docker", "compose", "-f", compose.FILE, "config", "--quiet"],
        env={**os.environ, **compose.GIVEN},
        check=True,
    )


def test_every_service_has_a_limit_of_memory(document: dict[str, Any]) -> None:
    sizes = {"m": 1, "g": 1024}
    limits = {
        name: int(service["mem_limit"][:-1]) * sizes[service["mem_limit"][-1]]
        for name, service in document["services"].items()
    }
    needed = gunicorn.workers * (volumes.CACHE_BYTES + 2 * volumes.LOADING_BYTES) // 2**20
    assert limits["site"] >= needed
    assert all(256 <= limit <= 4096 for limit in limits.values())


def seconds(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([sm])", text).groups()  # type: ignore[union-attr]
    return int(number) * {"s": 1, "m": 60}[unit]


def test_requests_under_way_may_end_before_the_site_is_killed(document: dict[str, Any]) -> None:
    for name in ("site", "sync"):
        service = document["services"][name]
        assert seconds(service["stop_grace_period"]) > gunicorn.graceful_timeout
        assert service["init"] is True, "or a shell would keep the signal to itself"


def test_no_log_fills_the_disk_and_nothing_gains_rights(document: dict[str, Any]) -> None:
    for name, service in document["services"].items():
        assert {"max-size", "max-file"} <= set(service["logging"]["options"]), name
        assert "no-new-privileges:true" in service["security_opt"], name


def test_the_site_runs_as_any_user_and_writes_to_no_layer_of_its_image(
    document: dict[str, Any],
) -> None:
    text = (compose.FOLDER / "compose" / "site.Dockerfile").read_text()
    words = dict(re.findall(r"^(FROM|USER) (\S+)$", text, flags=re.MULTILINE))
    # A number, of which Kubernetes can see that it is not root's.
    assert int(words["USER"]) >= 10000
    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", words["FROM"]), "with its Debian release"
    assert "--group 0 --mode 2775 /srv/static" in text
    for name in ("site", "sync", "migrate"):
        service = document["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["tmpfs"]


def test_every_service_is_watched_and_comes_back(document: dict[str, Any]) -> None:
    for name, service in document["services"].items():
        assert ("healthcheck" in service) == (name not in ONE_SHOT), name
        expected = "no" if name in ONE_SHOT else "unless-stopped"
        assert service["restart"] == expected, name
        for other, condition in service.get("depends_on", {}).items():
            assert other in document["services"]
            finished = "service_completed_successfully"
            assert condition["condition"] == (finished if other in ONE_SHOT else "service_healthy")


def test_images_are_named_by_version_and_without_a_host(document: dict[str, Any]) -> None:
    for name, service in document["services"].items():
        if "build" in service:
            dockerfile = compose.FOLDER / service["build"]["context"]
            assert (dockerfile / service["build"]["dockerfile"]).is_file()
            continue
        assert re.fullmatch(r"([a-z]+/)?[a-z]+:\d+(\.\d+)*", service["image"]), name


def test_only_nginx_can_be_reached_from_outside(document: dict[str, Any]) -> None:
    services = document["services"]
    assert [name for name in services if "ports" in services[name]] == ["nginx"]
    assert not any("network_mode" in service for service in services.values())


def test_no_environment_holds_a_secret(document: dict[str, Any]) -> None:
    for service in document["services"].values():
        for name, value in service.get("environment", {}).items():
            if SECRET_WORDS.search(name):
                assert name.endswith("_FILE"), name
                assert value.startswith(compose.SECRETS), name


@pytest.mark.process
def test_every_secret_file_is_granted_to_who_reads_it_and_made_by_the_script(
    document: dict[str, Any], secrets: Path
) -> None:
    used: set[str] = set()
    for name, service in document["services"].items():
        granted = set(service.get("secrets", []))
        used |= granted
        named = {
            value.removeprefix(compose.SECRETS)
            for value in service.get("environment", {}).values()
            if value.startswith(compose.SECRETS)
        }
        assert named <= granted, name
    assert used == set(document["secrets"])
    for name, secret in document["secrets"].items():
        assert secret == {"file": f"./compose/secrets/{name}"}
        assert (secrets / name).is_file(), name


def test_every_variable_of_the_site_is_one_of_its_settings(document: dict[str, Any]) -> None:
    told = settings.__doc__ or ""
    for name in document["services"]["site"]["environment"]:
        assert name.removesuffix("_FILE") in told, name


def test_mounted_files_are_there(document: dict[str, Any]) -> None:
    for service in document["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (compose.FOLDER / source).is_file()
            else:
                assert source in document["volumes"]


@pytest.mark.process
def test_the_secrets_fit_together_and_are_kept(secrets: Path) -> None:
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    before = {path.name: path.read_text() for path in secrets.iterdir()}
    users = json.loads(before["orthanc-users.json"])["RegisteredUsers"]
    assert users["site"] == before["orthanc-site-password"].strip()
    assert users["lab"] == before["orthanc-lab-password"].strip()
    assert len({*users.values(), before["database-password"], before["site-secret-key"]}) == 4
    entry = database(before["site-database"].strip())
    assert (entry["HOST"], entry["NAME"], entry["USER"]) == ("database", "segrelay", "segrelay")
    assert entry["PASSWORD"] == before["database-password"].strip()
    done = subprocess.run(
        [MAKE_SECRETS, "localhost", secrets], check=True, capture_output=True, text=True
    )
    assert {path.name: path.read_text() for path in secrets.iterdir()} == before
    assert not any(value in done.stdout for value in users.values())


@pytest.mark.parametrize("host", ["", "-h", "a b", "$(id)"])
@pytest.mark.process
def test_a_name_that_is_none_makes_nothing(tmp_path: Path, host: str) -> None:
    done = subprocess.run([MAKE_SECRETS, host, tmp_path / "s"], capture_output=True, check=False)
    assert done.returncode == 2
    assert not (tmp_path / "s").exists()


def site_environment(document: dict[str, Any], secrets: Path) -> dict[str, str]:
    """As the site's container has it, with the files where they are here."""
    given = document["services"]["site"]["environment"]
    return {
        "PATH": os.environ["PATH"],
        **{name: value.replace(compose.SECRETS, f"{secrets}/") for name, value in given.items()},
    }


@pytest.mark.process
def test_the_site_has_nothing_to_say_against_these_settings(
    document: dict[str, Any], secrets: Path
) -> None:
    environment = site_environment(document, secrets)
    # No server of the database here, whom the checks of the models would ask.
    environment["SEGRELAY_DATABASE_FILE"] = str(secrets / "sqlite")
    (secrets / "sqlite").write_text(str(secrets / "site.sqlite3"))
    done = subprocess.run(
        [
            *(sys.executable, str(ROOT / "gcp_side" / "manage.py")),
            *("check", "--deploy", "--fail-level", "WARNING"),
        ],
        env=environment,
        cwd=secrets,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_orthanc_keeps_what_it_has(document: dict[str, Any]) -> None:
    configuration = json.loads((compose.FOLDER / "compose" / "orthanc.json").read_text())
    assert configuration["OverwriteInstances"] is False
    assert configuration["AuthenticationEnabled"] is True
    assert "RegisteredUsers" not in configuration
    assert "orthanc-users.json" in document["services"]["orthanc"]["secrets"]


@pytest.mark.process
def test_nginx_takes_its_configuration(tmp_path: Path, secrets: Path) -> None:
    names = {
        "$site site:8000": "$site 127.0.0.1:1",
        "$orthanc orthanc:8042": "$orthanc 127.0.0.1:2",
    }
    path = compose.nginx_configuration(tmp_path, names, static=tmp_path, secrets=secrets)
    program, environment = nginx_program()

    def test(text: str) -> subprocess.CompletedProcess[str]:
        path.write_text(text)
        return subprocess.run(
            [program, "-t", "-q", "-p", tmp_path, "-c", path, "-e", tmp_path / "error.log"],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    text = path.read_text()
    done = test(text)
    assert (done.returncode, done.stderr) == (0, "")
    assert test(text.replace("client_max_body_size", "client_max_body")).returncode != 0
