"""Two agents on one computer and one queue: each by its own settings, with labels and figures."""

from __future__ import annotations

import re
import signal
from collections import Counter

import pytest
import requests

from infra.servers.ports import free_port
from segrelay.manifest import parse_result
from segrelay.queue import JobState, SiteQueue
from tests.support.lab.fast_lab import DEADLINE, FastLab, attempts, check_once, events
from tests.support.launcher import Launch
from tests.support.repetition import over

JOBS = 6


@pytest.fixture
def two(fast_lab: FastLab) -> FastLab:
    """The second agent has a work folder of its own."""
    fast_lab.work_dirs["lab-2"] = fast_lab.folder / "another work folder"
    fast_lab.settings = {
        "lab-1": 'labels = ["site-a", "gpu-8gb"]',
        "lab-2": 'labels = ["site-a", "gpu-24gb"]',
    }
    return fast_lab


@over("gcs")
def test_two_agents_share_one_queue_and_end_in_order(two: FastLab) -> None:
    jobs = [two.submit() for _ in range(JOBS)]
    for agent in ("lab-1", "lab-2"):
        two.start(agent, Launch(work_s=0.5))
    two.wait_until_settled()
    check_once(two, jobs, {})
    by = Counter(parse_result(data).author for data in two.results().values())
    assert set(by) == {"lab-1", "lab-2"}, by
    for agent in ("lab-1", "lab-2"):
        assert (two.home(agent) / f"logs/{agent}.log").exists()
        assert two.outbox(agent) == []
    two.agents["lab-1"].send_signal(signal.SIGTERM)
    assert two.agents["lab-1"].wait(DEADLINE) == 0
    last = two.submit()
    two.wait_until_settled()
    assert parse_result(two.results()[last.job_id]).author == "lab-2"


@over("directory")
def test_a_job_with_labels_is_run_by_an_agent_that_has_them(two: FastLab) -> None:
    """The other one opens it once at most, which counts nothing, and there is no ping-pong."""
    two.start("lab-1")
    two.wait_for(lambda: two.is_serving("lab-1"), "the first agent serves")
    job = two.submit(labels=("site-a", "gpu-24gb"))
    two.wait_for(lambda: bool(attempts(two, job)), "it is handed back")
    plain = two.submit()
    two.wait_for(lambda: plain.job_id in two.results(), "it does not stand in the way")
    where = SiteQueue(two.bucket).find(job)
    assert (where.state, where.attempt) == (JobState.PENDING, 1)
    (record,) = attempts(two, job)
    assert (record.code, record.counts) == ("labels", False)
    assert record.labels == ("site-a", "gpu-24gb")
    assert "no living agent has what it asks for" in two.command("queue")
    two.start("lab-2")
    two.wait_until_settled()
    assert parse_result(two.results()[job.job_id]).author == "lab-2"
    assert [item["event"] for item in events(two) if item.get("job") == job.job_id] == [
        "job claimed",
        "job not finished",
    ]
    assert "labelled site-a,gpu-24gb" in two.command("queue")
    assert "labelled site-a, gpu-8gb" in two.command("status")


@over("directory")
def test_figures_are_scraped_from_a_real_agent(fast_lab: FastLab) -> None:
    port = free_port()
    fast_lab.settings["lab-1"] = f"metrics_port = {port}"
    fast_lab.start()
    fast_lab.wait_for(lambda: fast_lab.is_serving("lab-1"), "the agent serves")
    jobs = [fast_lab.submit() for _ in range(2)]
    refused = fast_lab.submit(labels=("nobody",))
    fast_lab.wait_for(lambda: len(fast_lab.results()) == len(jobs), "the jobs are done")
    fast_lab.wait_for(lambda: 'code="labels"' in scrape(port), "the other is handed back")
    fast_lab.wait_for(lambda: "segrelay_queue_jobs 1" in scrape(port), "and waits")
    told = figures(scrape(port))
    assert told["segrelay_claims_total"] == 3
    assert told['segrelay_jobs_total{code="",outcome="succeeded"}'] == 2
    assert told['segrelay_jobs_total{code="labels",outcome="handed-back"}'] == 1
    assert told['segrelay_stage_jobs_total{stage="upload"}'] == 2
    assert told['segrelay_stage_seconds_total{stage="infer"}'] > 0
    assert told["segrelay_outbox_segs"] == 0
    assert told["segrelay_gpu_well"] == 1
    assert told["segrelay_worker_memory_bytes"] > 10**6
    assert refused.job_id not in scrape(port), "no figure tells of a job"


def scrape(port: int) -> str:
    return requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text


def figures(text: str) -> dict[str, float]:
    samples = re.findall(r"^([a-z_]+(?:\{.*\})?) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in samples}
