"""The queue bench: its parts, and the structure of its report; never how fast anything is."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from infra.benches.child import PEERS_PYTHON
from infra.benches.queue import bench
from infra.benches.queue.contender import (
    JOB_BYTES,
    RESULT_BYTES,
    Contender,
    Timing,
    run_backlog,
    run_steady,
)
from infra.benches.queue.lower_bounds import LOWER_BOUNDS, Commits, FileWrites
from infra.benches.queue.naive import Naive
from infra.benches.queue.phases import QueuePlan
from infra.benches.queue.relay import Relay, make_manifest, make_result
from infra.benches.queue.stores.side_by_side import JQUEUE_KINDS, REDIS_KINDS
from infra.benches.queue.table import CONTENDERS
from infra.benches.queue.workers import STORES, Worker, claim, cycle, mean_ratio, mean_us
from infra.benches.report import print_report
from infra.fake_gcs import FakeGcs
from infra.packages.debian import repository_root
from infra.servers.redis import RedisServer
from segrelay.bucket.local import LocalBucket
from segrelay.queue import scan
from segrelay.ulid import new_ulid

TINY = QueuePlan(
    rounds=1,
    block=2,
    run=10,
    history=10,
    backlog=3,
    doorbell_samples=2,
    poll_samples=1,
    idle_samples=1,
    active_poll_s=0.2,
    idle_poll_s=0.3,
    agents=2,
    idle_s=1.0,
    peers=(),
    seed=1,
)
MAKERS: dict[str, Callable[[Path], Contender]] = {
    "relay": lambda folder: Relay(folder.as_uri()),
    "one-look": lambda folder: Relay(folder.as_uri(), one_look=True),
    "naive": Naive,
}


def require_peers() -> None:
    if not (repository_root() / PEERS_PYTHON).exists():
        pytest.skip("infra/bench has not installed the peers here")


@pytest.fixture(params=sorted(MAKERS))
def contender(request: pytest.FixtureRequest, tmp_path: Path) -> Contender:
    return MAKERS[request.param](tmp_path / "queue")


@pytest.mark.parametrize("run", [run_steady, run_backlog])
def test_every_job_is_timed_once_and_leaves_the_queue(
    contender: Contender, run: Callable[[Contender, int], list[Timing]]
) -> None:
    contender.fill_history(3)
    timings = run(contender, 4)
    assert len(timings) == 4
    assert all(timing.claim > 0 and timing.finish > 0 for timing in timings)
    with pytest.raises((RuntimeError, IndexError)):
        contender.claim()


def test_our_contender_ends_its_jobs_as_an_agent_does(tmp_path: Path) -> None:
    relay = Relay(tmp_path.as_uri())
    relay.fill_history(2)
    run_steady(relay, 3)
    bucket = LocalBucket(tmp_path)
    assert len(bucket.list("v1/done/")) == len(bucket.list("v1/results/")) == 5
    view = scan(bucket)
    assert (view.pending, view.claimed) == ((), ())


def test_everybody_carries_as_many_bytes_as_we_do() -> None:
    assert abs(len(make_manifest().to_json()) - JOB_BYTES) <= 10
    assert abs(len(make_result(new_ulid()).to_json()) - RESULT_BYTES) <= 10


def test_the_lower_bound_of_files_writes_what_a_finish_of_ours_writes(tmp_path: Path) -> None:
    run_steady(FileWrites(tmp_path / "bound"), 3)
    sizes = [path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()]
    assert sizes == [RESULT_BYTES] * 3


def test_the_lower_bound_of_commits_ends_every_job(tmp_path: Path) -> None:
    run_steady(Commits(tmp_path / "bound"), 3)
    with contextlib.closing(sqlite3.connect(tmp_path / "bound" / "commits.db")) as database:
        (jobs,) = database.execute("SELECT COUNT(*) FROM jobs WHERE state = 2").fetchone()
        results = database.execute("SELECT LENGTH(result) FROM results").fetchall()
    assert (jobs, results) == (3, [(RESULT_BYTES,)] * 3)


@pytest.mark.parametrize("kind", bench.FILE_PEERS)
def test_every_peer_on_files_takes_part(kind: str, tmp_path: Path) -> None:
    require_peers()
    worker = Worker(kind, str(tmp_path / kind))
    try:
        worker.fill_history(3)
        assert len(worker.steady(2)) == len(worker.backlog(2)) == 2
    finally:
        worker.close()


@pytest.mark.parametrize("kind", [*REDIS_KINDS, *JQUEUE_KINDS])
def test_every_peer_of_the_stores_takes_part(kind: str, tmp_path: Path) -> None:
    require_peers()
    with contextlib.ExitStack() as stack:
        place = str(tmp_path / kind)
        if kind in REDIS_KINDS:
            place = f"redis://127.0.0.1:{stack.enter_context(RedisServer()).port}/0"
        if kind == "jqueue-gcs":
            place = "gs://segrelay/queue"
            fake = stack.enter_context(FakeGcs())
            stack.enter_context(patch.dict(os.environ, STORAGE_EMULATOR_HOST=fake.url))
        worker = stack.enter_context(contextlib.closing(Worker(kind, place)))
        timings = [*worker.steady(2), *worker.backlog(2)]
        assert len(timings) == 4
        assert all(min(timing) > 0 for timing in timings)


@pytest.mark.process
def test_a_worker_that_fails_is_an_error_not_a_figure(tmp_path: Path) -> None:
    worker = Worker("naive", str(tmp_path / "naive"))
    try:
        worker.steady(1)
        (tmp_path / "naive" / "jobs").rename(tmp_path / "gone")
        with pytest.raises(RuntimeError, match="the worker naive ended"):
            worker.steady(1)
    finally:
        worker.close()


def test_figures() -> None:
    slow = [[Timing(3000, 1000)], [Timing(9000, 1000)], [Timing(5000, 5000), Timing(7000, 7000)]]
    fast = [[Timing(1000, 1000)], [Timing(1000, 1000)], [Timing(1000, 1000)]]
    assert mean_us(slow, claim) == 6.0
    assert mean_us(slow, cycle) == 10.0
    assert mean_ratio(slow, fast, claim) == 6.0


def test_a_peer_that_was_made_durable_is_told_beside_those_that_ship_so() -> None:
    found = bench.headlines(
        {
            "side_by_side": {
                "relay": {"cycle_ratio": 1.0},
                "persist-queue": {"cycle_ratio": 3.0},
                "litequeue-full": {"cycle_ratio": 2.0},
                "dirq": {"cycle_ratio": 0.1},
                "floor-files": {"cycle_ratio": 0.5},
            },
            "growth": [{"naive_claim_us": 60.0, "relay_claim_us": 1.0}],
            "history": {
                "relay": {"claim_ratio": 1.0},
                "persist-queue": {"cycle_ratio_to_relay": 9.0},
                "litequeue-full": {"cycle_ratio_to_relay": 8.0},
            },
            "latency_ms": {"doorbell": {"p99_ms": 10.0}},
        }
    )
    assert found["history_ratio"] == 1.0
    assert found["redis_cycles_vs_best_durable_peer"] is None
    assert found["best_durable_peer"] == "persist-queue"
    assert found["cycles_vs_best_durable_peer"] == 3.0
    assert found["cycles_vs_best_durable_peer_full_history"] == 9.0
    assert found["best_peer_made_durable"] == "litequeue-full"
    assert found["cycles_vs_best_peer_made_durable"] == 2.0
    assert found["flush_floor_vs_best_peer_made_durable"] == 4.0


def test_the_best_peer_over_redis_keeps_a_job_until_its_end() -> None:
    found = bench.headlines(
        {
            "stores": {
                "rq": {"ratio_to_redis": 3.0},
                "dramatiq": {"ratio_to_redis": 1.5},
                "huey-redis": {"ratio_to_redis": 0.5},
            },
            "stores_history": {"relay-site": {"cycle_ratio": 1.05}, "relay": {"cycle_ratio": 1}},
        }
    )
    assert found["best_durable_redis_peer"] == "dramatiq"
    assert found["redis_cycles_vs_best_durable_peer"] == 1.5
    assert found["history_ratio"] == 1.05


AT_SERVERS = [name for name in bench.BENCH.phases if name.startswith("stores")]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    phases = [name for name in bench.BENCH.phases if name not in AT_SERVERS]
    folder = tmp_path_factory.mktemp("bench")
    return bench.BENCH.measure(TINY, folder, [*phases, "stores waiting"])


@pytest.fixture(scope="module")
def stores_report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return bench.BENCH.measure(TINY, tmp_path_factory.mktemp("stores"), AT_SERVERS)


def test_a_tiny_run_has_every_figure(report: dict[str, Any]) -> None:
    for figure in ("claims_vs_naive", "history_ratio", "local_claim_p99_ms"):
        assert report[figure] > 0
    assert report["cycles_vs_best_durable_peer"] is None
    assert report["flush_floor_vs_best_peer_made_durable"] is None
    assert set(report["side_by_side"]) == {"relay", "naive", *LOWER_BOUNDS}
    assert [step["finished"] for step in report["growth"]] == [1, 3, 5, 7, 9]
    assert set(report["latency_ms"]) == {"doorbell", "scan", "gcs_active", "gcs_idle"}
    # Of one job: result asked for, manifest created; listing, move, manifest and result
    # asked for; result created, a rejected twin asked for, manifest asked for and moved.
    assert report["gcs_fake"]["requests_per_job"] == 10
    assert (report["seed"], report["plan"]["run"]) == (1, 10)
    assert report["machine"]["cores"] > 0


@pytest.mark.long
def test_a_tiny_run_has_every_store(
    stores_report: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    for phase, columns in {
        "stores": {"cycle_us", "ratio_to_redis", "ratio_to_directory"},
        "stores_latency_ms": {"samples", "mean_ms", "p50_ms", "p99_ms", "max_ms"},
        "stores_history": {"cycle_us_few", "cycle_us_full", "cycle_ratio"},
    }.items():
        found = {kind: set(row) for kind, row in stores_report[phase].items()}
        assert found == dict.fromkeys(STORES, columns)
    print_report(stores_report, (), bench.BENCH.tables(stores_report))
    assert CONTENDERS["relay-site"][0] in capsys.readouterr().out


@pytest.mark.long
def test_a_tiny_run_counts_what_is_asked_when_idle(stores_report: dict[str, Any]) -> None:
    idle = stores_report["stores_idle"]
    assert set(idle) == set(STORES) - {"relay"}
    assert idle["relay-site"]["agents"] == 2
    assert stores_report["site_idle_cpu_50_agents"] == idle["relay-site"]["cores"] >= 0


@pytest.mark.process
def test_parts_of_the_bench_can_be_chosen(tmp_path: Path) -> None:
    found = bench.BENCH.measure(TINY, tmp_path, ["backlog"])
    assert "backlog_claim_us" in found
    assert "growth" not in found
    assert found["as_expected"]["claims_vs_naive"] is None
    assert list(bench.BENCH.tables(found))


def test_the_table_says_what_everybody_flushes(
    report: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    print_report(report, (), bench.BENCH.tables(report))
    text = capsys.readouterr().out
    assert "claims_vs_naive" in text
    assert CONTENDERS["relay"][0] in text
    assert CONTENDERS["naive"][2] in text
    assert CONTENDERS["floor-files"][0] in text
    assert set(CONTENDERS) == {*STORES, "naive", *bench.PEERS, *LOWER_BOUNDS}
