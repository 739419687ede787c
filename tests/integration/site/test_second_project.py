"""An empty Django project gets the app by the steps of the README, and works."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra.servers.orthanc import OrthancServer
from segrelay.bucket import open_bucket
from tests.support.dicom.stored_study import store
from tests.support.paths import ROOT
from tests.support.servers.orthanc import orthanc  # noqa: F401
from tests.unit.gcp_side.fakes import FakeAgent

HEADINGS = {
    "README.md": "## Adding the app to your Django project",
    "README.ko.md": "## 내 Django 프로젝트에 앱 추가하기",
}

USE_THE_SITE = """
import json
from django.contrib.auth.models import Permission, User
from django.test import Client
user = User.objects.create_user("radiologist", is_staff=True)
user.user_permissions.set(Permission.objects.filter(content_type__app_label="labseg"))
client = Client(headers={"host": "localhost"})
client.force_login(user)
root = "/api/mri/segmentation"
def get(path):
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.status_code, answer.content[:500])
    return answer
health = get(f"{root}/health/").json()
study = get(f"{root}/studies/").json()["studies"][0]
shown = get(f"{root}/studies/{study['study_id']}/").json()
chosen = {item["role"]: item["series_id"] for item in shown["roles"]}
# Nothing tells the order of these four series.
ask = f"{root}/studies/{study['study_id']}/segment/"
refused = client.post(ask, {"series": chosen}, content_type="application/json")
assert refused.status_code == 409, refused.content
assert {item["code"] for item in refused.json()["reasons"]} == {"role-unsure"}, refused.content
asked = client.post(ask, {"series": chosen, "confirm": True},
                    content_type="application/json").json()
status = get(f"{root}/status/{asked['request_id']}/").json()
page = get(f"/segmentation/studies/{study['study_id']}/").content.decode()
assert "labseg/study.js" in page
assert asked["request_id"] in get("/admin/labseg/job/").content.decode()
print(json.dumps({"health": health["status"], "status": status["status"],
                  "request_id": asked["request_id"]}))
"""


def steps(name: str) -> dict[str, str]:
    """The section's Python, by the file that its first line names."""
    text = (ROOT / name).read_text(encoding="utf-8")
    section = text.partition(HEADINGS[name] + "\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert [file for file, _ in blocks] == ["settings.py", "urls.py"]
    return dict(blocks)


def run(folder: Path, *arguments: str, code: str | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        # The path stands for the installation.
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "error::DeprecationWarning:gcp_side",
            "ORTHANC_PASSWORD": os.environ.get("ORTHANC_PASSWORD", "unused"),
        },
        input=code,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def new_project(folder: Path) -> Path:
    """A project as Django makes it."""
    run(folder, "-m", "django", "startproject", "hospital", str(folder))
    return folder / "hospital"


def append(file: Path, imports: str, text: str) -> None:
    file.write_text(f"{imports}\n{file.read_text(encoding='utf-8')}\n{text}", encoding="utf-8")


@pytest.mark.parametrize("readme", HEADINGS)
def test_the_steps_of_the_readme_make_a_working_site(
    tmp_path: Path,
    orthanc: OrthancServer,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    readme: str,
) -> None:
    monkeypatch.setenv("ORTHANC_PASSWORD", orthanc.password)
    store(orthanc, tmp_path / "study")
    project = new_project(tmp_path)
    queue = tmp_path / "queue"
    settings = steps(readme)["settings.py"]
    for example, ours in (
        ("file:///srv/segrelay/queue", queue.as_uri()),
        ("https://orthanc.example.org", orthanc.url),
        ('"ORTHANC_USER": "site"', f'"ORTHANC_USER": "{orthanc.user}"'),
    ):
        assert example in settings
        settings = settings.replace(example, ours)
    append(project / "settings.py", "import os", settings)
    append(project / "urls.py", "from django.urls import include, path", steps(readme)["urls.py"])

    assert "no issues" in run(tmp_path, "manage.py", "check")
    run(tmp_path, "manage.py", "migrate", "--verbosity", "0")
    run(tmp_path, "manage.py", "makemigrations", "--check", "--dry-run")
    used = json.loads(run(tmp_path, "manage.py", "shell", "--verbosity", "0", code=USE_THE_SITE))
    assert (used["health"], used["status"]) == ("ok", "pending")

    agent = FakeAgent(open_bucket(queue.as_uri()))
    agent.finish(agent.claim()[0])
    run(tmp_path, "manage.py", "labseg", "sync")
    shown = json.loads(run(tmp_path, "manage.py", "labseg", "show", used["request_id"], "--json"))
    assert shown["state"] == "succeeded"
