"""What the site's server writes about requests: no patient, no password, no search."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from infra.servers.ports import free_port
from infra.servers.processes import ProcessSet
from infra.servers.site_and_agent import wait_until_ready
from tests.support.paths import ROOT

API = "/api/mri/segmentation/"

PATIENT = "Hong^Gildong-7351"
USER, PASSWORD = "radiologist", "hunter2-radiologist"
GUESS = "hunter2-guessed"
TOKEN = "pushed-token-9f1c"
SECRETS = ("Hong", "Gildong", "7351", "hunter2", TOKEN)

PREPARE = f"""
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("createsuperuser", interactive=False, username="{USER}", email="r@localhost")
"""

TALKATIVE = ("--access-logformat", '"%(r)s" "%(f)s" "%({authorization}i)s"')
"""As many servers log: the whole request line, the referrer, and a header."""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A site with its tables and one user; its queue and its Orthanc are away."""
    folder = tmp_path_factory.mktemp("site")
    values = {
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "gcp_side.site.settings",
        "SEGRELAY_DEBUG": "1",
        "SEGRELAY_DATABASE": str(folder / "site.sqlite3"),
        "SEGRELAY_SYNC": "0",
        "SEGRELAY_BUCKET": (folder / "queue").as_uri(),
        "SEGRELAY_ORTHANC_URL": "http://127.0.0.1:9",
        "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
    }
    subprocess.run(
        [sys.executable, "gcp_side/manage.py", "shell", "--verbosity", "0", "--command", PREPARE],
        env=os.environ | values,
        cwd=ROOT,
        check=True,
    )
    return values


def log_of_a_visit(environment: dict[str, str], folder: Path, *options: str) -> str:
    """Everything that the site under gunicorn writes, until it has ended."""
    address = f"127.0.0.1:{free_port()}"
    log = folder / f"site-{len(options)}.log"
    with ProcessSet() as processes:
        child = processes.start(
            "site",
            [
                *(sys.executable, "-m", "gunicorn", "-c", "python:gcp_side.site.gunicorn"),
                *("gcp_side.site.wsgi", "--workers", "1", "--bind", address, *options),
            ],
            log=log,
            environment=environment,
            folder=ROOT,
        )
        wait_until_ready(child, lambda: answers(address))
        visit(f"http://{address}")
    return log.read_text(encoding="utf-8")


def answers(address: str) -> bool:
    try:
        requests.get(f"http://{address}/admin/login/", timeout=60)
    except requests.ConnectionError:
        return False
    return True


def visit(site: str) -> None:
    """Requests that carry what must not be written, each in another place."""
    search = {"q": PATIENT}
    page = {"Referer": f"{site}/segmentation/?q={PATIENT}"}
    asked = [
        requests.get(f"{site}{API}studies/", search, auth=(USER, PASSWORD), timeout=60),
        requests.get(f"{site}{API}studies/", search, auth=(USER, GUESS), timeout=60),
        requests.get(f"{site}/segmentation/", search, headers=page, timeout=60),
        requests.post(f"{site}/admin/login/", {"password": GUESS}, timeout=60),
        requests.post(
            f"{site}{API}push/", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60
        ),
    ]
    # Orthanc is away; a wrong password; on to the login page; no CSRF token; push is off.
    assert [answer.status_code for answer in asked] == [503, 403, 200, 403, 404]


def test_the_log_tells_each_request_and_none_of_its_secrets(
    environment: dict[str, str], tmp_path: Path
) -> None:
    log = log_of_a_visit(environment, tmp_path)
    for line in (f"GET {API}studies/ HTTP", "GET /segmentation/ HTTP", f"POST {API}push/ HTTP"):
        assert line in log
    assert log.count(f"GET {API}studies/ HTTP") == 2
    assert [secret for secret in SECRETS if secret in log] == []


def test_a_talkative_log_would_show_them(environment: dict[str, str], tmp_path: Path) -> None:
    log = log_of_a_visit(environment, tmp_path, *TALKATIVE)
    for secret in ("Hong", "7351", TOKEN):
        assert secret in log
