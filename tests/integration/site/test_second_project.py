"""Django projects get the app from the installed wheel, by the steps of the README.

One is empty; the other has apps called ``common``, ``utils`` and ``core``, a user model and a
``base.html`` of its own, and a prefix before every address.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from infra.servers.orthanc import OrthancServer
from segrelay.bucket import open_bucket
from tests.support.dicom.stored_study import store
from tests.support.paths import ROOT
from tests.support.servers.orthanc import orthanc  # noqa: F401
from tests.support.site.installed_wheel import Installed, install_wheel
from tests.unit.gcp_side.fakes import FakeAgent

HEADINGS = {
    "README.md": "## Adding the app to your Django project",
    "README.ko.md": "## 내 Django 프로젝트에 앱 추가하기",
}

USE_THE_SITE = """
import json
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.test import Client
call_command("check", fail_level="WARNING")
call_command("migrate", verbosity=0)
call_command("makemigrations", check_changes=True, dry_run=True, verbosity=0)
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


CROWDED = {
    "common/__init__.py": "",
    "utils/__init__.py": "",
    "core/__init__.py": "",
    "core/models.py": """
from django.contrib.auth.models import AbstractUser
from django.db import models

class Doctor(AbstractUser):
    ward = models.CharField(max_length=20, default="3b")
""",
    "templates/base.html": "{% block content %}{% endblock %}The hospital's own.",
    "more_settings.py": """
INSTALLED_APPS += ["common", "utils", "core"]
AUTH_USER_MODEL = "core.Doctor"
TEMPLATES[0]["DIRS"] = [BASE_DIR / "templates"]
SEGRELAY["ORTHANC_URL"] = "http://127.0.0.1:9"
SEGRELAY["BUCKET"] = (BASE_DIR / "queue").as_uri()
""",
    "more_urls.py": """
urlpatterns = [path("radiology/", include(urlpatterns))]
""",
    "use.py": """
import json, os, sys
import common, core, utils
import django
os.environ["DJANGO_SETTINGS_MODULE"] = "hospital.settings"
django.setup()
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
import gcp_side, segrelay
call_command("check", fail_level="WARNING")
call_command("migrate", run_syncdb=True, verbosity=0)
user = get_user_model().objects.create_superuser("doctor", "d@example.org", "a-password")
client = Client(headers={"host": "localhost"})
login = client.get("/radiology/segmentation/login/")
client.force_login(user)
page = client.get("/radiology/segmentation/")
profiles = client.get("/radiology/api/mri/segmentation/profiles/")
jobs = client.get("/radiology/api/mri/segmentation/requests/")
print(json.dumps({
    "answers": [item.status_code for item in (login, page, profiles, jobs)],
    "pages": b"labseg/" in page.content and b"hospital's own" not in login.content + page.content,
    "profiles": [item["name"] for item in profiles.json()["profiles"]],
    "jobs": jobs.json()["count"],
    "where": [module.__file__ for module in (segrelay, gcp_side, common)],
}))
""",
}
"""Files of a project that has much of its own already."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return install_wheel(tmp_path_factory.mktemp("wheel"))


def steps(name: str) -> dict[str, str]:
    """The section's Python, by the file that its first line names."""
    text = (ROOT / name).read_text(encoding="utf-8")
    section = text.partition(HEADINGS[name] + "\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert [file for file, _ in blocks] == ["settings.py", "urls.py"]
    return dict(blocks)


def run(python: Path, folder: Path, *arguments: str, code: str | None = None) -> str:
    done = subprocess.run(
        [python, *arguments],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
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


def new_project(python: Path, folder: Path) -> Path:
    """A project as Django makes it."""
    run(python, folder, "-m", "django", "startproject", "hospital", str(folder))
    return folder / "hospital"


def append(file: Path, imports: str, text: str) -> None:
    file.write_text(f"{imports}\n{file.read_text(encoding='utf-8')}\n{text}", encoding="utf-8")


def test_the_steps_of_the_readme_make_a_working_site(
    tmp_path: Path,
    orthanc: OrthancServer,  # noqa: F811
    installed: Installed,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    python = installed.python
    monkeypatch.setenv("ORTHANC_PASSWORD", orthanc.password)
    store(orthanc, tmp_path / "study")
    project = new_project(python, tmp_path)
    queue = tmp_path / "queue"
    settings, urls = steps("README.md").values()
    for example, ours in (
        ("file:///srv/segrelay/queue", queue.as_uri()),
        ("https://orthanc.example.org", orthanc.url),
        ('"ORTHANC_USER": "site"', f'"ORTHANC_USER": "{orthanc.user}"'),
    ):
        assert example in settings
        settings = settings.replace(example, ours)
    append(project / "settings.py", "import os", settings)
    append(project / "urls.py", "from django.urls import include, path", urls)

    out = run(python, tmp_path, "manage.py", "shell", "--verbosity", "0", code=USE_THE_SITE)
    assert "no issues" in out
    used = json.loads(out.splitlines()[-1])
    assert (used["health"], used["status"]) == ("ok", "pending")

    agent = FakeAgent(open_bucket(queue.as_uri()))
    agent.finish(agent.claim()[0])
    sync_and_show = f"""
from django.core.management import call_command
call_command("labseg", "sync", verbosity=0)
call_command("labseg", "show", "{used["request_id"]}", "--json")
"""
    out = run(python, tmp_path, "manage.py", "shell", "--verbosity", "0", code=sync_and_show)
    shown = json.loads(out[out.index("{") :])
    assert shown["state"] == "succeeded"


def test_both_languages_have_the_same_steps() -> None:
    english, korean = (
        {file: re.sub(r"#.*", "", code) for file, code in steps(readme).items()}
        for readme in HEADINGS
    )
    assert english == korean


def test_the_wheel_has_three_names_and_no_common(installed: Installed) -> None:
    assert installed.top_level == {"segrelay", "lab_side", "gcp_side"}


def test_a_project_with_apps_of_the_usual_names_gets_the_app(
    tmp_path: Path, installed: Installed
) -> None:
    project = new_project(installed.python, tmp_path)
    for name, text in CROWDED.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    readme = steps("README.md")
    append(
        project / "settings.py", "import os", readme["settings.py"] + CROWDED["more_settings.py"]
    )
    urls = readme["urls.py"] + CROWDED["more_urls.py"]
    append(project / "urls.py", "from django.urls import include, path", urls)

    used = json.loads(run(installed.python, tmp_path, "use.py").splitlines()[-1])
    assert used["answers"] == [200] * 4
    assert used["pages"]
    assert (used["profiles"], used["jobs"]) == (["demo"], 0)
    *ours, theirs = (Path(file) for file in used["where"])
    assert not any(file.is_relative_to(ROOT) for file in ours)
    assert theirs.is_relative_to(tmp_path)
