"""The page open fifty times: whoever else comes is answered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from gcp_side.labseg.conf import Conf
from infra.servers.orthanc import OrthancServer
from infra.servers.ports import free_port
from infra.servers.processes import ProcessSet
from infra.servers.site_and_agent import demo_environment, wait_until_ready
from segrelay.bucket.local import LocalBucket
from segrelay.stages import Stage
from tests.support.dicom.stored_study import Stored, store
from tests.support.paths import ROOT
from tests.support.repetition import at_length
from tests.support.site.open_pages import API, OpenPages, Visitor, pace
from tests.unit.gcp_side.fakes import FakeAgent

PAGES = 50
COMMANDS = {
    "gunicorn": ["-m", "gunicorn", "gcp_side.site.wsgi", "--workers", "2", "--bind"],
    "runserver": ["gcp_side/manage.py", "runserver", "--noreload", "--insecure"],
}
"""Two processes with a request at a time each, and the demo's one with a thread for each."""


@dataclass(frozen=True)
class Site:
    """A running site and what lies before it."""

    visitors: list[Visitor]
    """:data:`PAGES` and one more."""
    agent: FakeAgent
    stored: Stored


@pytest.fixture(params=["gunicorn", *at_length("runserver")])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with OrthancServer() as orthanc, ProcessSet() as processes:
        queue = tmp_path / "queue"
        environment = {
            **demo_environment(orthanc, tmp_path, "demo"),
            "SEGRELAY_BUCKET": queue.as_uri(),
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "gcp_side.site.settings",
        }
        keys = call(environment, "-m", "tests.support.site.site_sessions", str(PAGES + 1))
        address = f"127.0.0.1:{free_port()}"
        child = processes.start(
            "site",
            [sys.executable, *COMMANDS[request.param], address],
            log=tmp_path / "site.log",
            environment=environment,
            folder=ROOT,
        )
        visitors = [Visitor(f"http://{address}", key) for key in json.loads(keys)]
        wait_until_ready(child, lambda: answers(visitors[0]))
        agent = FakeAgent(LocalBucket(queue))
        yield Site(visitors, agent, store(orthanc, tmp_path / "study"))


def call(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def answers(visitor: Visitor) -> bool:
    try:
        visitor.get("segmentation/")
    except requests.ConnectionError:
        return False
    return True


def test_fifty_open_pages_do_not_starve_the_site(site: Site) -> None:
    *readers, newcomer = site.visitors
    series = list(site.stored.series)
    ask = f"{API}series/{series[0]}/segment/"
    # Nothing tells the order of these four series.
    body = {"sequence_series_ids": series, "confirm": True}
    first = newcomer.post(ask, body).json()
    claim, _ = site.agent.claim()
    site.agent.tell(claim, Stage.INFER, 40)
    with OpenPages.opened(readers, first["request_id"]) as pages:
        pages.wait_for_answers(2)
        assert newcomer.get("segmentation/").status_code == 200
        listed = newcomer.get(f"{API}studies/")
        assert (listed.status_code, listed.json()["count"]) == (200, 1)
        assert newcomer.post(ask, body).status_code == 202
        # They go on being answered as well.
        pages.wait_for_answers(2)
        assert pages.refused == []


def test_one_users_fifty_tabs_stay_below_the_limit() -> None:
    # One tab is in view.
    seen = 60 / pace("WORK_MS")
    hidden = (PAGES - 1) * 60 / pace("HIDDEN_MS")
    limit, _, unit = Conf.model_fields["read_rate"].default.partition("/")
    assert unit == "min"
    assert seen + hidden < int(limit)
