"""SegRelay: site and Orthanc as the cloud, the agent as the lab, a queue between them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psutil

from infra.benches.whole.measure import CLOUD, JobDone, System
from infra.benches.whole.process_tree import ProcessTree
from infra.benches.whole.scene import CASE, WholeScene
from infra.demos.queue import AT_SITE, start_cloud_queue
from infra.line import Line
from infra.packages.debian import repository_root
from infra.servers.processes import Child
from infra.servers.site_and_agent import (
    AGENT_IS_READY,
    DemoError,
    DemoServers,
    Folders,
    wait_until_ready,
)

LAB = "lab"
"""Tree of the agent and its worker."""

JOB_LIMIT_S = 900.0

WORKING_PAUSE_S, WAITING_PAUSE_S = 1.0, 2.0
"""Between two questions of the page, while a job is worked on and while it waits."""


@dataclass(frozen=True)
class Site:
    """A site under gunicorn, one worker as Mosec's web process has, and ``labseg sync``."""

    servers: DemoServers
    tree: ProcessTree


def start_site(scene: WholeScene, name: str, queue: Mapping[str, str]) -> Site:
    """Start one; ``queue`` are the variables of its queue. It ends with the scene.

    Raises
    ------
    DemoError
        It did not start.
    """
    folder = scene.logs(name)
    variables = {"SEGRELAY_PROFILES_DIR": str(scene.profile_folder.parent), "SEGRELAY_SYNC": "1"}
    servers = DemoServers(
        scene.processes,
        scene.orthanc,
        Folders(folder, folder),
        profile=scene.profile.name,
        queue={**variables, **queue},
    )
    servers.make_database()
    child = servers.start_site(_production_server)
    return Site(servers, ProcessTree([child.process.pid]))


def _production_server(address: str) -> Sequence[str]:
    options = ["-c", "python:gcp_side.site.gunicorn", "--workers", "1", "--bind", address]
    return [sys.executable, "-m", "gunicorn", *options, "infra.benches.web.wsgi"]


class Relay(System):
    """A site with one agent; a job is what the page does.

    Parameters
    ----------
    queue:
        Variables by which the agent finds its queue.
    lines:
        Lines on its way, whose bytes are counted; the first leads to Orthanc.

    Raises
    ------
    DemoError
        The agent did not start.
    """

    def __init__(
        self,
        scene: WholeScene,
        name: str,
        site: Site,
        queue: Mapping[str, str],
        lines: Sequence[Line] = (),
    ) -> None:
        self.site, self._lines = site, lines
        self._study, self._profile = scene.study_id, scene.profile.name
        series = scene.stored(CASE).series_ids
        self._chosen = dict(zip(scene.profile.roles, series, strict=True))
        self._label = name
        orthanc = lines[0].url if lines else scene.orthanc.url
        folder = scene.logs(f"{name}-agent")
        start = time.perf_counter()
        self.agent = scene.processes.start(
            f"agent {name}",
            [sys.executable, "-m", "lab_side.cli", "--log", "json", "run"],
            log=folder / "agent.log",
            environment={
                "SEGRELAY_CONFIG": "",
                "SEGRELAY_ORTHANC_URL": orthanc,
                "SEGRELAY_ORTHANC_USER": scene.orthanc.user,
                "SEGRELAY_ORTHANC_PASSWORD": scene.orthanc.password,
                "SEGRELAY_AGENT_ID": agent_of(name),
                "SEGRELAY_LABELS": name,
                "SEGRELAY_WORK_DIR": str(folder / "work"),
                "SEGRELAY_PROFILES": self._profile,
                "SEGRELAY_PROFILES_DIR": str(scene.profile_folder.parent),
                "SEGRELAY_DEVICE": "cpu",
                **queue,
            },
            folder=repository_root(),
        )
        wait_until_ready(self.agent, lambda: AGENT_IS_READY in _text(self.agent))
        self.start_s = _seconds_to_ready(self.agent, time.perf_counter() - start)
        self.trees = {CLOUD: site.tree, LAB: ProcessTree([self.agent.process.pid])}

    def job(self) -> JobDone:
        """Submit, and ask as the page asks until the site has the result."""
        return JobDone(steps=self._wait(self._submit()))

    def jobs(self, count: int) -> JobDone:
        """So many at once, until the site has the last result."""
        with ThreadPoolExecutor(count) as pool:
            waiting = [self._submit() for _ in range(count)]
            list(pool.map(self._wait, waiting))
        return JobDone()

    def carried(self) -> int:
        """Bytes over its lines so far."""
        stats = [line.stats() for line in self._lines]
        return sum(one.bytes_up + one.bytes_down for one in stats)

    def events(self, job_id: str) -> dict[str, float]:
        """When the agent logged each event of a job; seconds since 1970, the last of a name."""
        lines = (json.loads(line) for line in _text(self.agent).splitlines() if line[:1] == "{")
        return {
            line["event"]: datetime.fromisoformat(line["time"]).timestamp()
            for line in lines
            if line.get("job") == job_id
        }

    def stages(self, job_id: str) -> dict[str, float]:
        """Seconds of the agent's stages, by the result."""
        shown: dict[str, Any] = self.site.servers.labseg("show", job_id)
        return {name: float(s) for name, s in shown["provenance"]["stage_seconds"].items()}

    def _submit(self) -> str:
        body = {"profile": self._profile, "series": self._chosen, "labels": [self._label]}
        sent = self.site.servers.post(f"studies/{self._study}/segment/", body)
        job: str = sent["request_id"]
        return job

    def _wait(self, job: str) -> dict[str, float]:
        deadline = time.monotonic() + JOB_LIMIT_S
        while time.monotonic() < deadline:
            state = self.site.servers.get(f"status/{job}/")
            if state["finished"]:
                if state["state"] != "succeeded":
                    raise DemoError(f"The job ended as {state['state']}: {state['failure']}")
                return {}
            is_worked_on = state["state"] == "claimed"
            time.sleep(WORKING_PAUSE_S if is_worked_on else WAITING_PAUSE_S)
        raise DemoError(f"The job has not ended; the agent's last words:\n{self.agent.log_tail()}")


def agent_of(name: str) -> str:
    """The id of a system's agent; the site keeps ``site`` for itself."""
    return f"{name}-lab"


def over_directory(scene: WholeScene) -> Relay:
    """Over a directory."""
    queue = {"SEGRELAY_BUCKET": (scene.logs("directory") / "queue").as_uri()}
    (scene.logs("directory") / "queue").mkdir()
    return Relay(scene, "directory", start_site(scene, "directory-site", queue), queue)


def over_cloud_bucket(scene: WholeScene) -> Relay:
    """Over the fake of a cloud bucket."""
    queue = dict(start_cloud_queue(scene.processes, scene.logs("bucket")).environment)
    return Relay(scene, "bucket", start_site(scene, "bucket-site", queue), queue)


def at_the_site(scene: WholeScene) -> Site:
    """A site that keeps the queue itself."""
    return start_site(scene, "site-site", AT_SITE)


def over_site(
    scene: WholeScene, site: Site, name: str, lines: tuple[Line, Line] | None = None
) -> Relay:
    """Over the site's own queue; ``lines`` lead to Orthanc and to the site."""
    made = site.servers.labseg("agent-token", "add", agent_of(name))
    address = made["address"]
    base = lines[1].url if lines else site.servers.url
    path = "/" + address.split("/", 3)[3]
    queue = {"SEGRELAY_BUCKET": f"{base}{path}", "SEGRELAY_QUEUE_TOKEN": made["token"]}
    return Relay(scene, name, site, queue, lines or ())


def _text(child: Child) -> str:
    return child.log.read_text(errors="replace")


def _seconds_to_ready(agent: Child, upper: float) -> float:
    """From the process's start to the line that it listens, by the line's own time."""
    began = psutil.Process(agent.process.pid).create_time()
    for line in _text(agent).splitlines():
        if AGENT_IS_READY in line:
            return min(upper, datetime.fromisoformat(json.loads(line)["time"]).timestamp() - began)
    return upper
