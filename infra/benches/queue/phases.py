"""The measurements of the queue bench, one function each; all return plain JSON values."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from infra.benches.figures import claim_ratio, claim_us, cycle_ratio, cycle_us, percentile
from infra.benches.queue.contender import Timing
from infra.benches.queue.latency import Listening, measure_latency
from infra.benches.queue.lower_bounds import LOWER_BOUNDS
from infra.benches.queue.workers import Worker, started_workers, steady_rounds
from infra.fake_gcs import FakeGcs

GROWTH_SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Where in a run of N jobs the claims are timed: their mean is that of the run."""

Document = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of everything."""

    rounds: int
    """Blocks of each contender; the order changes with every round."""
    block: int
    """Jobs in a block."""
    run: int
    """Jobs in the run beside the naive route."""
    history: int
    """Finished jobs in the full history."""
    backlog: int
    """Jobs that wait when the clock starts."""
    doorbell_samples: int
    poll_samples: int
    idle_samples: int
    active_poll_s: float
    idle_poll_s: float
    peers: tuple[str, ...]
    seed: int

    def rng(self, what: str) -> random.Random:
        """The phase's own randomness: phases may be left out or run at once."""
        return random.Random(f"{self.seed} {what}")  # noqa: S311


def side_by_side(plan: Plan, folder: Path) -> dict[str, Document]:
    """Claims and whole cycles of everybody, without history; ``cycle_ratio``: theirs to ours.

    The lower bounds take part in the same rounds: they have a cycle and no claim.
    """
    with started_workers(["relay", "naive", *plan.peers, *LOWER_BOUNDS], folder) as workers:
        for worker in workers.values():
            worker.steady(2)
        timed = steady_rounds(workers, plan.rounds, plan.block, plan.rng("side by side"))
    return {
        kind: {
            "claim_us": None if kind in LOWER_BOUNDS else round(claim_us(rounds), 1),
            "cycle_us": round(cycle_us(rounds), 1),
            "cycle_ratio": round(cycle_ratio(rounds, timed["relay"]), 3),
        }
        for kind, rounds in timed.items()
    }


def growth(plan: Plan, folder: Path) -> list[Document]:
    """Claims beside the naive way, along a run of N jobs whose finished ones stay."""
    rng, found, filled = plan.rng("growth"), [], 0
    with started_workers(["relay", "naive"], folder) as workers:
        for share in GROWTH_SHARES:
            finished = round(plan.run * share)
            for worker in workers.values():
                worker.fill_history(finished - filled)
            timed = steady_rounds(workers, max(1, plan.rounds // 2), plan.block // 2 or 1, rng)
            filled = finished
            found.append(_growth_step(finished, timed))
    return found


def _growth_step(finished: int, timed: Mapping[str, list[list[Timing]]]) -> Document:
    return {
        "finished": finished,
        "relay_claim_us": round(claim_us(timed["relay"]), 1),
        "naive_claim_us": round(claim_us(timed["naive"]), 1),
    }


def history(plan: Plan, folder: Path) -> dict[str, Document]:
    """Everybody with an empty and with a full history, in turn; ratios: full to empty."""
    kinds = ["relay", *plan.peers]
    with (
        started_workers(kinds, folder / "empty") as empty,
        started_workers(kinds, folder / "full") as full,
    ):
        for worker in full.values():
            worker.fill_history(plan.history)
        everybody = {f"{kind} 0": worker for kind, worker in empty.items()}
        everybody |= {f"{kind} 1": worker for kind, worker in full.items()}
        for worker in everybody.values():
            worker.steady(2)
        timed = steady_rounds(everybody, plan.rounds, plan.block, plan.rng("history"))
    return {
        kind: {
            "claim_us_empty": round(claim_us(timed[f"{kind} 0"]), 1),
            "claim_us_full": round(claim_us(timed[f"{kind} 1"]), 1),
            "claim_ratio": round(claim_ratio(timed[f"{kind} 1"], timed[f"{kind} 0"]), 3),
            "cycle_us_full": round(cycle_us(timed[f"{kind} 1"]), 1),
            "cycle_ratio": round(cycle_ratio(timed[f"{kind} 1"], timed[f"{kind} 0"]), 3),
            "cycle_ratio_to_relay": round(cycle_ratio(timed[f"{kind} 1"], timed["relay 1"]), 3),
        }
        for kind in kinds
    }


def naive_history(plan: Plan, folder: Path) -> float:
    """Microseconds of a naive claim with the full history: few, they take seconds."""
    with started_workers(["naive"], folder) as workers:
        workers["naive"].fill_history(plan.history)
        return round(claim_us([workers["naive"].steady(1) for _ in range(3)]), 1)


def backlog(plan: Plan, folder: Path) -> dict[str, float]:
    """Microseconds a claim when all jobs wait at the start."""
    kinds = ["relay", "relay-one-look", "naive"]
    rng = plan.rng("backlog")
    timed: dict[str, list[list[Timing]]] = {kind: [] for kind in kinds}
    for number in range(max(1, plan.rounds // 2)):
        with started_workers(kinds, folder / str(number)) as workers:
            for kind in rng.sample(kinds, len(kinds)):
                timed[kind].append(workers[kind].backlog(plan.backlog))
    return {kind: round(claim_us(rounds), 1) for kind, rounds in timed.items()}


def doorbell_latency(plan: Plan, folder: Path) -> Document:
    """Claim latency in a directory whose changes ring."""
    how = Listening(
        label="doorbell",
        samples=plan.doorbell_samples,
        active_s=plan.active_poll_s,
        idle_s=plan.active_poll_s,
        doorbell=True,
    )
    return _summary(measure_latency(folder.as_uri(), how, plan.rng(how.label)))


def polled_latencies(plan: Plan, folder: Path) -> dict[str, Document]:
    """Claim latency by scan alone, and over the fake cloud bucket; mostly waiting, so at once."""
    active, idle = plan.active_poll_s, plan.idle_poll_s
    with _fake_gcs():
        jobs = {
            folder.as_uri(): Listening(
                label="scan", samples=plan.poll_samples, active_s=active, idle_s=active
            ),
            "gs://segrelay/active": Listening(
                label="gcs_active", samples=plan.poll_samples, active_s=active, idle_s=idle
            ),
            "gs://segrelay/idle": Listening(
                label="gcs_idle",
                samples=plan.idle_samples,
                active_s=active,
                idle_s=idle,
                idling=True,
            ),
        }
        with ThreadPoolExecutor(len(jobs)) as pool:
            running = {
                how.label: pool.submit(measure_latency, address, how, plan.rng(how.label))
                for address, how in jobs.items()
            }
            return {label: _summary(future.result()) for label, future in running.items()}


def cloud(plan: Plan) -> Document:
    """Claims over the real client and the strict fake; its requests, counted."""
    with _fake_gcs() as fake:
        worker = Worker("relay-gcs", "gs://segrelay/claims")
        try:
            worker.steady(2)
            rounds = [worker.steady(plan.block) for _ in range(plan.rounds)]
            fake.forget_requests()
            worker.steady(plan.block)
            requests = len(fake.requests) / plan.block
        finally:
            worker.close()
    return {
        "claim_us": round(claim_us(rounds), 1),
        "cycle_us": round(cycle_us(rounds), 1),
        "requests_per_job": round(requests, 2),
    }


@contextlib.contextmanager
def _fake_gcs() -> Iterator[FakeGcs]:
    before = os.environ.get("STORAGE_EMULATOR_HOST")
    with FakeGcs() as fake:
        os.environ["STORAGE_EMULATOR_HOST"] = fake.url
        try:
            yield fake
        finally:
            del os.environ["STORAGE_EMULATOR_HOST"]
            if before is not None:
                os.environ["STORAGE_EMULATOR_HOST"] = before


def _summary(latencies: Sequence[float]) -> Document:
    return {
        "samples": len(latencies),
        "mean_ms": round(fmean(latencies), 2),
        "p50_ms": round(median(latencies), 2),
        "p99_ms": round(percentile(latencies, 0.99), 2),
        "max_ms": round(max(latencies), 2),
    }
