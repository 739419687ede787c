"""The questions to the containers, in the order in which they are asked."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import requests

from infra.containers.hospital import (
    HOST,
    PROFILE,
    QUEUE,
    USER_ID,
    Hospital,
    TrialError,
    must,
    wait_until,
)
from infra.demos.study import choose_inputs, phantom_study
from infra.packages.debian import repository_root
from infra.servers.processes import ProcessSet
from infra.servers.site_and_agent import AGENT_IS_READY
from segrelay.profiles import load_profile

SEED = 20_260_302
API = f"https://{HOST}/api/mri/segmentation/"
PAGE = f"https://{HOST}/segmentation/"
ALIVE = ("exec", "-T", "site", "python", "-m", "gcp_side.site.alive", "127.0.0.1:8000")
JOB_LIMIT_S = 300.0

AGENT_IMAGE = "segrelay-agent"
AUTHORITY = "SEGRELAY_ORTHANC_CA_FILE"
CONTAINER_PATHS = {
    AUTHORITY: "/run/secrets/authority",
    "HOME": "/nonexistent",
    "SEGRELAY_AGENT_ID": "trial-container",
    "SEGRELAY_BUCKET": f"file://{QUEUE}",
    "SEGRELAY_WORK_DIR": "/srv/agent",
}
"""What is elsewhere for the agent in a container."""


@dataclass
class Trial:
    """A hospital that is up, an agent, and a study whose series are in Orthanc."""

    hospital: Hospital
    processes: ProcessSet
    """The agent outside."""
    study_id: str = ""
    series: dict[str, str] | None = None
    """Role to Orthanc's id."""

    # Each question is a method; its docstring is its line in the report.

    def all_services_become_healthy(self) -> str:
        """docker compose up: all services become healthy"""
        began = time.monotonic()
        self.hospital.compose("up", "--detach", "--wait", "nginx", "sync")
        must(self.hospital.inspect("migrate")["State"]["ExitCode"] == 0, "migrate failed")
        self.hospital.make_administrator()
        return f"{time.monotonic() - began:.0f} s"

    def the_site_has_no_rights(self) -> str:
        """the site: no account, read-only root, no capability, no new privileges"""
        script = "id; grep -E '^(CapEff|NoNewPrivs)' /proc/1/status; touch /srv/segrelay/x 2>&1"
        text = self.hospital.compose("exec", "-T", "site", "sh", "-c", f"{script} || true")
        for word in (f"uid={USER_ID} gid=0(root)", "0000000000000000", "NoNewPrivs:\t1"):
            must(word in text, text)
        must("Read-only file system" in text, text)
        return text.split("\n")[0]

    def a_job_from_submit_to_page(self) -> str:
        """a study through nginx, a job from the REST API, its SEG, and the frames of the page"""
        self._upload()
        session = self.hospital.browser()
        seconds, job = self._job(session)
        seg = job["seg_instance_id"]
        frames = session.get(f"{API}instances/{seg}/frames/", timeout=120).json()["frames"]
        must(bool(frames), "the page has no frame of the SEG")
        page = session.get(f"{PAGE}studies/{self.study_id}/", timeout=60)
        must(page.status_code == 200 and "Content-Security-Policy" in page.headers, page)
        return f"{seconds:.0f} s, {len(frames)} slices with a mask"

    def a_job_while_everything_is_started_again(self) -> str:
        """a job during which site, sync, nginx, Orthanc and the database are started again"""
        session = self.hospital.browser()

        def disturb() -> None:
            for service in ("sync", "site", "orthanc", "database", "nginx"):
                self.hospital.compose("restart", service)

        seconds, job = self._job(session, disturb)
        return f"{seconds:.0f} s, attempt {job['attempt']}"

    def the_health_check_says_what_is(self) -> str:
        """the database away: the site is not healthy, sync goes on; back: both are well"""
        before = self.hospital.inspect("sync")["State"]["StartedAt"]
        must(self.hospital.code(*ALIVE) == 0, "not healthy before")
        self.hospital.compose("stop", "database")
        must(self.hospital.code(*ALIVE) == 1, "healthy without a database")
        time.sleep(12)
        self.hospital.compose("start", "database")
        seconds = wait_until(lambda: self.hospital.code(*ALIVE) == 0, "healthy again")
        must(self.hospital.inspect("sync")["State"]["StartedAt"] == before, "sync ended")
        log = self.hospital.compose("logs", "--no-log-prefix", "sync")
        must("The database does not answer" in log, log[-500:])
        return f"healthy again after {seconds:.0f} s"

    def another_address(self) -> str:
        """the site gets another address: nginx finds it"""
        site = self.hospital.containers("site")[0]
        network = f"{self.hospital.inspect('site')['HostConfig']['NetworkMode']}"
        before = self._address(network)
        self.hospital.engine.docker("stop", site)
        # Somebody else takes the address that is free.
        other = self.hospital.engine.docker(
            *("run", "--detach", "--network", network, "debian:trixie-slim", "sleep", "600")
        ).strip()
        try:
            self.hospital.engine.docker("start", site)
            must(self._address(network) != before, "it has the same address: nothing was asked")
            seconds = wait_until(lambda: self._status(PAGE) == 200, "the page", 60)
        finally:
            self.hospital.engine.docker("rm", "--force", other)
        return f"{before} -> {self._address(network)}, page after {seconds:.0f} s"

    def two_sites(self) -> str:
        """two containers of the site: with one of them gone, pages come"""
        session = self.hospital.browser()
        self.hospital.compose("up", "--detach", "--no-recreate", "--scale", "site=2", "site")
        ids = self.hospital.containers("site")
        must(len(ids) == 2, ids)
        wait_until(lambda: all(map(self._is_healthy, ids)), "both healthy")
        codes = [session.get(f"{API}requests/", timeout=60).status_code for _ in range(10)]
        self.hospital.engine.docker("kill", ids[0])
        codes += [session.get(f"{API}requests/", timeout=60).status_code for _ in range(10)]
        must(set(codes) == {200}, codes)
        self.hospital.compose("up", "--detach", "--no-recreate", "--scale", "site=1", "site")
        return f"{len(codes)} answers"

    def several_migrations_at_once(self) -> str:
        """the tables of one app are taken away; three at once bring them back"""
        self.hospital.compose("stop", "site", "sync")
        back = ("python", "gcp_side/manage.py", "migrate", "admin", "zero", "--noinput")
        self.hospital.compose("run", "--rm", "--no-deps", "migrate", *back)
        with ThreadPoolExecutor(3) as pool:
            command = ("run", "--rm", "--no-deps", "migrate")
            codes = list(pool.map(lambda _: self.hospital.code(*command), range(3)))
        must(codes == [0, 0, 0], codes)
        self.hospital.compose("up", "--detach", "--wait", "nginx", "sync")
        return "exit codes 0, 0, 0"

    def stops_in_order(self) -> str:
        """docker compose stop: every service ends without SIGKILL within its time"""
        began = time.monotonic()
        self.hospital.compose("stop")
        codes = {
            name: self.hospital.inspect(name)["State"]["ExitCode"]
            for name in ("nginx", "site", "sync", "orthanc", "database")
        }
        must(set(codes.values()) == {0}, codes)
        return f"{time.monotonic() - began:.0f} s, exit codes 0"

    def any_order(self) -> str:
        """a machine that boots: nginx first, then site and sync, the others 15 s later"""
        for names in (("nginx",), ("site", "sync")):
            for name in names:
                self.hospital.engine.docker("start", self.hospital.containers(name)[0])
        time.sleep(15)
        for name in ("orthanc", "database"):
            self.hospital.engine.docker("start", self.hospital.containers(name)[0])
        seconds = wait_until(lambda: self.hospital.code(*ALIVE) == 0, "the site's health")
        wait_until(lambda: self._status(PAGE) == 200, "the page")
        for name in ("nginx", "site", "sync"):
            must(self.hospital.inspect(name)["RestartCount"] == 0, f"{name} ended")
        return f"healthy {seconds:.0f} s after the last one, none was started twice"

    def down_and_up(self) -> str:
        """docker compose down and up as another user id: nothing is lost"""
        before = self._jobs()
        self.hospital.compose("down")
        self.hospital.override(USER_ID + 1)
        self.hospital.open_queue()
        self.hospital.compose("up", "--detach", "--wait", "nginx", "sync")
        after = self._jobs()
        must(before == after and len(after) >= 2, (before, after))
        with closing(self.hospital.lab()) as client:
            for job in after.values():
                must(len(client.instance_file(job)) > 0, "a SEG is gone")
        return f"{len(after)} jobs and their SEGs"

    def no_secret_is_told(self) -> str:
        """no secret in an environment, a command or a log; lines come at once"""
        names = ("nginx", "migrate", "site", "sync", "orthanc", "database")
        logs = self.hospital.compose("logs", "--no-color")
        must("/segmentation/login/" in logs, "the site's last lines are not there")
        text = logs + "".join(json.dumps(self.hospital.inspect(name)["Config"]) for name in names)
        kept = [
            path.read_text().strip()
            for path in self.hospital.secrets.iterdir()
            if not path.name.startswith(("tls-cert", "site-database", "orthanc-users"))
        ]
        must(not any(word in text for word in kept if word), "a secret is printed")
        return f"{len(logs.splitlines())} lines of logs"

    def the_agent_in_a_container(self) -> str:
        """the agent in a container: no account, read-only root, no capability; it does a job"""
        self.processes.stop_all()
        self.hospital.open_queue()
        user_id = USER_ID + 1
        environment = self.hospital.agent_environment() | CONTAINER_PATHS
        container = self.hospital.engine.docker(
            *("run", "--detach", "--read-only", "--tmpfs", "/tmp"),  # noqa: S108
            *("--user", f"{user_id}:0", "--cap-drop", "ALL"),
            *("--security-opt", "no-new-privileges:true"),
            *("--network", self.hospital.inspect("site")["HostConfig"]["NetworkMode"]),
            *("--volume", f"{self.hospital.folder / 'queue'}:{QUEUE}"),
            *("--volume", f"{self.hospital.authority}:{CONTAINER_PATHS[AUTHORITY]}:ro"),
            *(word for name in environment for word in ("--env", name)),
            AGENT_IMAGE,
            given=environment,
        ).strip()
        try:
            seconds, job = self._job(self.hospital.browser())
            must(job["agent"] == environment["SEGRELAY_AGENT_ID"], job)
            self.hospital.engine.docker("stop", "--time", "60", container)
            state = json.loads(self.hospital.engine.docker("inspect", container))[0]["State"]
            must(state["ExitCode"] == 0, state)
        except TrialError:
            log = self.hospital.engine.attempt("logs", "--tail", "5", container)
            raise TrialError(log.stdout + log.stderr) from None
        finally:
            self.hospital.engine.docker("rm", "--force", "--volumes", container)
        return f"{seconds:.0f} s"

    def _upload(self) -> None:
        study = phantom_study(SEED, self.hospital.folder / "study")
        chosen = choose_inputs(
            study, load_profile(repository_root() / "lab_side" / "profiles" / PROFILE).inputs
        )
        with closing(self.hospital.lab()) as client:
            self.series = {}
            for role, item in chosen.items():
                replies = [client.upload(path.read_bytes()) for path in item.series.files]
                self.series[role] = replies[0].orthanc_series_id
            self.study_id = client.series(self.series[role]).study_id

    def _job(
        self, session: requests.Session, disturb: Callable[[], None] | None = None
    ) -> tuple[float, dict[str, Any]]:
        """Submit the study and wait for its end, through all that ``disturb`` does."""
        began = time.monotonic()
        answer = session.post(
            f"{API}studies/{self.study_id}/segment/",
            json={"profile": PROFILE, "series": self.series, "confirm": True},
            headers={"X-CSRFToken": session.cookies.get("csrftoken") or ""},
            timeout=60,
        )
        must(answer.status_code == 202, answer.text)
        job_id = answer.json()["request_id"]
        if disturb is not None:
            disturb()
        job: dict[str, Any] = {}

        def has_ended() -> bool:
            try:
                answer = session.get(f"{API}status/{job_id}/", timeout=60)
            except requests.ConnectionError:
                return False
            if answer.status_code == 200:
                job.update(answer.json())
            return job.get("state") in ("succeeded", "failed", "cancelled")

        wait_until(has_ended, f"the end of the job: {job}", JOB_LIMIT_S)
        must(job["state"] == "succeeded", job)
        return time.monotonic() - began, job

    def _jobs(self) -> dict[str, str]:
        """Job to its SEG, of those that the site says have succeeded."""
        found = json.loads(self.hospital.manage("labseg", "list", "--json"))
        return {job["job_id"]: job["seg_instance_id"] for job in found}

    def _status(self, url: str) -> int:
        try:
            session = requests.Session()
            session.trust_env = False
            return session.get(url, verify=str(self.hospital.authority), timeout=30).status_code
        except requests.ConnectionError:
            return 0

    def _address(self, network: str) -> str:
        networks = self.hospital.inspect("site")["NetworkSettings"]["Networks"]
        return str(networks[network]["IPAddress"])

    def _is_healthy(self, container: str) -> bool:
        text = self.hospital.engine.docker(
            "inspect", "--format", "{{.State.Health.Status}}", container
        )
        return text.strip() == "healthy"


QUESTIONS: tuple[Callable[[Trial], str], ...] = (
    Trial.all_services_become_healthy,
    Trial.the_site_has_no_rights,
    Trial.a_job_from_submit_to_page,
    Trial.a_job_while_everything_is_started_again,
    Trial.the_health_check_says_what_is,
    Trial.another_address,
    Trial.two_sites,
    Trial.several_migrations_at_once,
    Trial.stops_in_order,
    Trial.any_order,
    Trial.down_and_up,
    Trial.no_secret_is_told,
)


@contextmanager
def with_agent(hospital: Hospital) -> Iterator[Trial]:
    """A trial whose agent serves the queue from outside until the block ends."""
    log = hospital.folder / "agent.log"
    with ProcessSet() as processes:
        agent = processes.start(
            "agent", hospital.agent_command(), log=log, environment=hospital.agent_environment()
        )
        wait_until(
            lambda: agent.process.poll() is not None or AGENT_IS_READY in log.read_text(),
            "the agent",
        )
        must(agent.process.poll() is None, agent.log_tail())
        yield Trial(hospital, processes)
