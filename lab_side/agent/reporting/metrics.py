"""Metrics for Prometheus, on this computer alone: ``http://127.0.0.1:PORT/metrics``.

No figure is about a job, let alone a patient.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from lab_side.agent.reporting.counters import CountersSnapshot
from lab_side.log import log_event
from segrelay.errors import SegRelayError
from segrelay.system.durable import describe

if TYPE_CHECKING:
    from prometheus_client import Metric

ADDRESS = "127.0.0.1"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_Row = tuple[str, str, tuple[str, ...], Mapping[Any, float]]
"""Name, help, labels, and numbers by the labels' values."""

logger = logging.getLogger("segrelay.metrics")


@dataclass(frozen=True, kw_only=True)
class MetricsSnapshot:
    """Everything that is reported at one moment."""

    agent: str
    state: str
    counts: CountersSnapshot = field(default_factory=CountersSnapshot)
    pending: int = 0
    """Jobs in the queue that this agent has a profile for, in its last scan."""
    in_hand: int = 0
    outbox: int = 0
    set_aside: int = 0
    free_bytes: int = 0
    gpu_is_well: bool = True
    gpu_peak_bytes: int = 0
    worker_bytes: int = 0


class _Collector:
    """Metrics of one moment, as ``prometheus_client.registry.Collector`` gives them."""

    def __init__(self, figures: MetricsSnapshot) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Every metric with its samples."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        for name, text, labels, samples in _metrics(self._figures):
            family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            metric = family(name, text, labels=labels)
            for values, number in samples.items():
                metric.add_metric(values, number)
            yield metric


def _metrics(figures: MetricsSnapshot) -> Iterator[_Row]:
    counts = figures.counts
    state = {(figures.agent, figures.state): 1}
    ended = {(outcome.value, code): n for (outcome, code), n in counts.outcomes.items()}
    seconds = {(stage,): value for stage, value in counts.stage_seconds.items()}
    passed = {(stage,): value for stage, value in counts.stage_jobs.items()}
    why = "How jobs ended here, and the code of the reason where they did not succeed."
    what = "Time of the jobs that succeeded, by stage."
    yield "segrelay_agent_info", "What the agent does now; always 1.", ("agent", "state"), state
    yield "segrelay_claims_total", "Jobs claimed.", (), {(): counts.claims}
    yield "segrelay_jobs_total", why, ("outcome", "code"), ended
    yield "segrelay_stage_seconds_total", what, ("stage",), seconds
    yield "segrelay_stage_jobs_total", "Jobs that went through a stage.", ("stage",), passed
    for name, text, value in (
        ("queue_jobs", "Jobs that wait for a profile of this agent.", figures.pending),
        ("jobs_in_hand", "Jobs that this agent has claimed.", figures.in_hand),
        ("outbox_segs", "SEGs that wait for Orthanc.", figures.outbox),
        ("set_aside_segs", "SEGs that Orthanc refused.", figures.set_aside),
        ("disk_free_bytes", "Free under the work folder.", figures.free_bytes),
        ("gpu_well", "Whether the last self-test passed.", int(figures.gpu_is_well)),
        (
            "gpu_memory_peak_bytes",
            "GPU memory that the last job took at most.",
            figures.gpu_peak_bytes,
        ),
        ("worker_memory_bytes", "Main memory of the worker.", figures.worker_bytes),
    ):
        yield f"segrelay_{name}", text, (), {(): value}


def exposition(figures: MetricsSnapshot) -> bytes:
    """The figures in Prometheus' text format 0.0.4."""
    # Imported where metrics are asked for: an agent without them starts sooner.
    from prometheus_client import generate_latest

    return generate_latest(_Collector(figures))


class MetricsServer:
    """Answers on the loopback address, from threads of its own; without, where it may not."""

    def __init__(self, port: int, figures: Callable[[], MetricsSnapshot]) -> None:
        self._port = port
        self._figures = figures
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Answer from now on."""
        try:
            self._server = _Server((ADDRESS, self._port), _handler(self._figures))
        except OSError as error:
            log_event(
                logger, logging.WARNING, "metrics not served", port=self._port, why=describe(error)
            )
            return
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        log_event(
            logger, logging.INFO, "metrics served", url=f"http://{ADDRESS}:{self.port}/metrics"
        )

    @property
    def port(self) -> int:
        """Where it answers; 0 where it does not."""
        return 0 if self._server is None else self._server.server_address[1]

    def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # On Windows it would let a second agent listen on the same port.
    allow_reuse_address = os.name == "posix"


def _handler(figures: Callable[[], MetricsSnapshot]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            if self.path != "/metrics":
                self.send_error(404)
                return
            try:
                body = exposition(figures())
            except SegRelayError:
                # The outbox cannot be listed; the log says why.
                self.send_error(503)
                return
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: every scrape would be a line."""

    return Handler
