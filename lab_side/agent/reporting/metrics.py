"""MetricsSnapshot for Prometheus, on this computer alone: ``http://127.0.0.1:PORT/metrics``.

The text format is a few lines (``https://prometheus.io/docs/instrumenting/exposition_formats/``),
so that no library is needed. No figure tells of a job, let alone of a patient.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lab_side.agent.reporting.counters import CountersSnapshot
from lab_side.log import log_event
from segrelay.errors import SegRelayError
from segrelay.system.durable import describe

ADDRESS = "127.0.0.1"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

logger = logging.getLogger("segrelay.metrics")


@dataclass(frozen=True, kw_only=True)
class MetricsSnapshot:
    """All that is told at one moment."""

    agent: str
    state: str
    counts: CountersSnapshot = field(default_factory=CountersSnapshot)
    pending: int = 0
    """Jobs in the queue that this agent has a profile for, when it last looked."""
    in_hand: int = 0
    outbox: int = 0
    set_aside: int = 0
    free_bytes: int = 0
    gpu_is_well: bool = True
    gpu_peak_bytes: int = 0
    worker_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class _Metric:
    name: str
    kind: str
    help: str
    values: Mapping[tuple[tuple[str, str], ...], float] = field(default_factory=dict)
    """By labels."""

    def lines(self) -> Iterator[str]:
        yield f"# HELP {self.name} {self.help}"
        yield f"# TYPE {self.name} {self.kind}"
        for labels, value in self.values.items():
            told = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
            yield f"{self.name}{{{told}}} {value}" if told else f"{self.name} {value}"


def exposition(figures: MetricsSnapshot) -> str:
    """The figures in Prometheus' text format."""
    lines = [line for metric in _metrics(figures) for line in metric.lines()]
    return "\n".join(lines) + "\n"


def _metrics(figures: MetricsSnapshot) -> Iterator[_Metric]:
    counts = figures.counts
    yield _gauge(
        "segrelay_agent_info",
        "What the agent does now; always 1.",
        {(("agent", figures.agent), ("state", figures.state)): 1},
    )
    yield _counter("segrelay_claims_total", "Jobs claimed.", {(): counts.claims})
    yield _counter(
        "segrelay_jobs_total",
        "How jobs ended here, and the code of the reason where they did not succeed.",
        {
            (("outcome", outcome.value), ("code", code)): count
            for (outcome, code), count in counts.outcomes.items()
        },
    )
    yield _counter(
        "segrelay_stage_seconds_total",
        "Time of the jobs that succeeded, by stage.",
        {(("stage", stage),): seconds for stage, seconds in counts.stage_seconds.items()},
    )
    yield _counter(
        "segrelay_stage_jobs_total",
        "Jobs that went through a stage.",
        {(("stage", stage),): count for stage, count in counts.stage_jobs.items()},
    )
    for name, text, value in (
        ("segrelay_queue_jobs", "Jobs that wait for a profile of this agent.", figures.pending),
        ("segrelay_jobs_in_hand", "Jobs that this agent has claimed.", figures.in_hand),
        ("segrelay_outbox_segs", "SEGs that wait for Orthanc.", figures.outbox),
        ("segrelay_set_aside_segs", "SEGs that Orthanc refused.", figures.set_aside),
        ("segrelay_disk_free_bytes", "Free under the work folder.", figures.free_bytes),
        ("segrelay_gpu_well", "Whether the last self-test passed.", int(figures.gpu_is_well)),
        (
            "segrelay_gpu_memory_peak_bytes",
            "GPU memory that the last job took at most.",
            figures.gpu_peak_bytes,
        ),
        ("segrelay_worker_memory_bytes", "Main memory of the worker.", figures.worker_bytes),
    ):
        yield _gauge(name, text, {(): value})


def _gauge(name: str, text: str, values: Mapping[tuple[tuple[str, str], ...], float]) -> _Metric:
    return _Metric(name=name, kind="gauge", help=text, values=values)


def _counter(name: str, text: str, values: Mapping[tuple[tuple[str, str], ...], float]) -> _Metric:
    return _Metric(name=name, kind="counter", help=text, values=values)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


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
            log_event(logger, logging.WARNING, "no metrics", port=self._port, why=describe(error))
            return
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        log_event(logger, logging.INFO, "metrics", url=f"http://{ADDRESS}:{self.port}/metrics")

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
                body = exposition(figures()).encode()
            except SegRelayError:
                # The disk does not tell what waits; the log says why.
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
