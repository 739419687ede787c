"""The figures for Prometheus: their form, where they are served, and what a taken port costs."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest
import requests

from lab_side.agent.reporting.counters import Counters, Outcome
from lab_side.agent.reporting.metrics import (
    ADDRESS,
    CONTENT_TYPE,
    MetricsServer,
    MetricsSnapshot,
    exposition,
)
from segrelay.errors import LocalDiskError

SAMPLE = re.compile(
    r'[a-z_]+(\{[a-z_]+="(?:[^"\\\n]|\\.)*"(?:,[a-z_]+="(?:[^"\\\n]|\\.)*")*\})? [0-9.e+-]+'
)


def figures() -> MetricsSnapshot:
    counters = Counters()
    for _ in range(3):
        counters.claimed()
    counters.ended(Outcome.SUCCEEDED)
    counters.ended(Outcome.FAILED, "missing-slice")
    counters.went_through({"fetch": 0.5, "infer": 1.25})
    counters.went_through({"fetch": 0.25, "infer": 2.0})
    return MetricsSnapshot(
        agent='lab"1\\',
        state="listening",
        counts=counters.counts(),
        pending=4,
        free_bytes=123_456_789_012,
        gpu_is_well=False,
    )


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    server = MetricsServer(0, figures)
    server.start()
    yield server
    server.close()


def test_every_line_has_prometheus_form_and_no_figure_loses_digits() -> None:
    lines = exposition(figures()).decode().splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert all(SAMPLE.fullmatch(line) for line in samples), samples
    assert "segrelay_claims_total 3.0" in samples
    assert 'segrelay_jobs_total{code="",outcome="succeeded"} 1.0' in samples
    assert 'segrelay_jobs_total{code="missing-slice",outcome="failed"} 1.0' in samples
    assert 'segrelay_stage_seconds_total{stage="infer"} 3.25' in samples
    assert 'segrelay_stage_jobs_total{stage="fetch"} 2.0' in samples
    assert "segrelay_disk_free_bytes 1.23456789012e+11" in samples
    assert "segrelay_gpu_well 0.0" in samples
    assert r'segrelay_agent_info{agent="lab\"1\\",state="listening"} 1.0' in samples
    named = {re.match("[a-z_]+", line)[0] for line in samples}  # type: ignore[index]
    assert named == {line.split()[2] for line in lines if line.startswith("# TYPE")}


def test_they_are_served_on_the_loopback_address_alone(server: MetricsServer) -> None:
    url = f"http://{ADDRESS}:{server.port}"
    answer = requests.get(f"{url}/metrics", timeout=10)
    assert (answer.status_code, answer.content) == (200, exposition(figures()))
    assert answer.headers["Content-Type"] == CONTENT_TYPE
    assert requests.get(f"{url}/", timeout=10).status_code == 404
    assert requests.post(f"{url}/metrics", timeout=10).status_code == 501
    assert ADDRESS == "127.0.0.1"


def test_a_taken_port_costs_the_figures_and_nothing_else() -> None:
    with socket.socket() as other:
        other.bind((ADDRESS, 0))
        other.listen()
        server = MetricsServer(other.getsockname()[1], figures)
        server.start()
        assert server.port == 0
        server.close()


def test_an_outbox_that_cannot_be_listed_is_no_crash() -> None:
    def refuse() -> MetricsSnapshot:
        raise LocalDiskError("The outbox cannot be listed.")

    server = MetricsServer(0, refuse)
    server.start()
    answer = requests.get(f"http://{ADDRESS}:{server.port}/metrics", timeout=10)
    assert answer.status_code == 503
    server.close()
