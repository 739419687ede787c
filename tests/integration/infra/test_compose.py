"""The hospital's side as ``infra/docker-compose.yml`` puts it together, by this machine's programs.

nginx with the real template, the site under gunicorn with its real settings and secrets from files,
and Orthanc, which the site and the lab reach through nginx.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from gcp_side.site.alive import is_alive
from infra.servers.orthanc import OrthancServer
from infra.servers.ports import free_port
from infra.servers.processes import stop_process
from tests.support.paths import ROOT
from tests.support.servers import compose
from tests.support.servers.front import Front

START_LIMIT_S = 120.0
MANAGE = str(ROOT / "gcp_side" / "manage.py")


@dataclass(frozen=True, kw_only=True)
class Hospital:
    """Where its parts answer."""

    url: str
    plain: str
    site: str
    authority: Path
    folder: Path
    environment: dict[str, str]
    orthanc: OrthancServer

    def get(self, path: str, **options: Any) -> requests.Response:
        """Through nginx, as anybody outside."""
        return requests.get(
            f"{self.url}{path}",
            verify=str(self.authority),
            timeout=60,
            **options,
        )


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    folder = tmp_path_factory.mktemp("compose")
    secrets = folder / "secrets"
    make_secrets = compose.FOLDER / "compose" / "make-secrets"
    subprocess.run([make_secrets, "localhost", secrets], check=True, capture_output=True)
    site = f"127.0.0.1:{free_port()}"
    with OrthancServer() as orthanc:
        front = Front(folder, site, secrets=secrets, orthanc=orthanc.url.removeprefix("http://"))
        environment = _environment(folder, secrets, front)
        _set_orthanc(secrets, environment, orthanc)
        prepare = compose.load()["services"]["migrate"]["command"]
        assert prepare[0] == "python"
        subprocess.run(
            [sys.executable, *prepare[1:]],
            env=environment,
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        site_log = (folder / "site.log").open("wb")
        command = compose.load()["services"]["site"]["command"]
        assert command[0] == "gunicorn"
        words = [site if word == "0.0.0.0:8000" else word for word in command]
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            env=environment,
            cwd=ROOT,
            stdout=site_log,
            stderr=site_log,
        )
        try:
            hospital = Hospital(
                url=front.url,
                plain=front.plain,
                site=site,
                authority=front.authority,
                folder=folder,
                environment=environment,
                orthanc=orthanc,
            )
            front.start()
            _wait_for(lambda: is_alive(site, "localhost"), folder)
            yield hospital
        finally:
            front.stop()
            stop_process(process, grace_s=5.0)
            site_log.close()


def _environment(folder: Path, secrets: Path, front: Front) -> dict[str, str]:
    given = {**compose.GIVEN, "SEGRELAY_BUCKET": (folder / "queue").as_uri()}
    values = compose.load(given)["services"]["site"]["environment"]
    values |= {
        "SEGRELAY_DATABASE_FILE": f"{compose.SECRETS}sqlite",
        "SEGRELAY_STATIC_ROOT": str(folder / "static"),
        "SEGRELAY_ORTHANC_URL": f"{front.url}/orthanc",
        "SEGRELAY_ORTHANC_CA_FILE": str(front.authority),
    }
    (secrets / "sqlite").write_text(str(folder / "site.sqlite3"))
    filled = {name: value.replace(compose.SECRETS, f"{secrets}/") for name, value in values.items()}
    # A home that is none: as that of a user id without an account.
    return {"PATH": os.environ["PATH"], "HOME": "/dev/null", **filled}


def _set_orthanc(secrets: Path, environment: dict[str, str], orthanc: OrthancServer) -> None:
    """This Orthanc has an account of its own."""
    environment["SEGRELAY_ORTHANC_USER"] = orthanc.user
    path = secrets / "orthanc-site-password"
    path.unlink()
    path.write_text(orthanc.password)


def _wait_for(is_so: Callable[[], bool], folder: Path) -> None:
    end = time.monotonic() + START_LIMIT_S
    while not is_so():
        logs = [p.read_text(errors="replace")[-2000:] for p in folder.glob("*.log")]
        assert time.monotonic() < end, logs
        time.sleep(0.1)


def test_the_site_is_served_with_tls_and_its_static_files(hospital: Hospital) -> None:
    page = hospital.get("/admin/login/")
    assert page.status_code == 200
    assert "max-age" in page.headers["Strict-Transport-Security"]
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert hospital.get("/static/admin/css/base.css").status_code == 200
    assert hospital.get("/static/../secrets/site-secret-key").status_code == 404


def test_plain_http_leads_to_tls(hospital: Hospital) -> None:
    answer = requests.get(f"{hospital.plain}/x?q=1", allow_redirects=False, timeout=60)
    assert answer.status_code == 301
    assert answer.headers["Location"] == "https://localhost/x?q=1"


def test_another_name_is_not_served(hospital: Hospital) -> None:
    with pytest.raises(requests.ConnectionError):
        requests.get(hospital.plain, headers={"Host": "other.example.org"}, timeout=60)
    assert not is_alive(hospital.site, "other.example.org")


def test_a_large_body_is_refused_before_the_site_and_taken_by_orthanc(hospital: Hospital) -> None:
    verify, body = str(hospital.authority), b"x" * 2_000_000
    url = f"{hospital.url}/api/mri/segmentation/studies/x/segment/"
    assert requests.post(url, data=body, verify=verify, timeout=60).status_code == 413
    auth = (hospital.orthanc.user, hospital.orthanc.password)
    url = f"{hospital.url}/orthanc/instances"
    answer = requests.post(url, data=body, auth=auth, verify=verify, timeout=60)
    assert answer.status_code == 400, "it came through, and is no DICOM"


def test_orthanc_asks_who_it_is_and_its_switches_are_closed(hospital: Hospital) -> None:
    assert hospital.get("/orthanc/system").status_code == 401
    auth = (hospital.orthanc.user, hospital.orthanc.password)
    assert hospital.get("/orthanc/system", auth=auth).json()["Name"]
    assert hospital.get("/orthanc/tools/reset", auth=auth).status_code == 403


def test_the_site_finds_orthanc_through_nginx(hospital: Hospital) -> None:
    done = subprocess.run(
        [
            *(sys.executable, MANAGE, "shell", "--no-imports", "-c"),
            "from gcp_side.labseg.orthanc import client; client.connect().ping(); print('reached')",
        ],
        env=hospital.environment,
        cwd=hospital.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "reached", done.stderr


def test_an_encoded_path_comes_to_orthanc_as_it_was_sent(hospital: Hospital) -> None:
    auth = (hospital.orthanc.user, hospital.orthanc.password)
    assert hospital.get("/orthanc/statistics?x=%2F", auth=auth).status_code == 200
    answer = hospital.get("/orthanc/nothing/a%20b", auth=auth)
    assert answer.status_code == 404
    assert answer.json()["Uri"] == "/nothing/a b"


def test_the_site_starts_without_a_line_of_an_error(hospital: Hospital) -> None:
    text = (hospital.folder / "site.log").read_text()
    assert "Booting worker" in text
    assert "[ERROR]" not in text


def test_a_search_is_in_no_log(hospital: Hospital) -> None:
    hospital.get("/api/mri/segmentation/studies/", params={"q": "Hong^Gildong"})
    logs = "".join(path.read_text(errors="replace") for path in hospital.folder.glob("*.log"))
    assert "/api/mri/segmentation/studies/" in logs
    assert "Gildong" not in logs


def test_the_programs_health_check(hospital: Hospital) -> None:
    def check(address: str) -> int:
        command = [sys.executable, "-m", "gcp_side.site.alive", address]
        return subprocess.run(command, env=hospital.environment, cwd=ROOT, check=False).returncode

    assert check(hospital.site) == 0
    assert check(f"127.0.0.1:{free_port()}") == 1


def test_a_site_without_its_database_is_not_healthy(hospital: Hospital) -> None:
    assert is_alive(hospital.site, "localhost")
    database, away = hospital.folder / "site.sqlite3", hospital.folder / "away.sqlite3"
    database.rename(away)
    try:
        # A connection that is open would go on with the file, wherever it is.
        assert not any(is_alive(hospital.site, "localhost") for _ in range(3))
    finally:
        away.rename(database)
    assert is_alive(hospital.site, "localhost")
