"""The real agent process on lines to the queue and to Orthanc that break all the time."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.fake_gcs import FakeGcs, Fault, FaultKind
from infra.fake_gcs.faults import Faults
from infra.servers.orthanc import OrthancServer
from lab_side.commands.console import EXIT_OK
from tests.conftest import SEED
from tests.support.lab.fast_lab import DEADLINE, FastLab, attempts, check_once, open_fast_lab
from tests.support.servers.fault_proxy import FaultProxy, fault_proxy
from tests.support.servers.orthanc import orthanc as orthanc

JOBS = 6
FAULTS, REQUESTS = 30, 300
"""So many of so many requests are broken, on each line."""

KINDS = [kind for kind in FaultKind if kind is not FaultKind.DELAY]


@pytest.fixture
def proxy(orthanc: OrthancServer) -> Iterator[FaultProxy]:
    with fault_proxy(orthanc.url) as proxy:
        yield proxy


@pytest.fixture
def bad_lab(orthanc: OrthancServer, proxy: FaultProxy, tmp_path: Path) -> Iterator[FastLab]:
    with open_fast_lab(orthanc, tmp_path, "gcs") as lab:
        lab.orthanc_url = proxy.url
        yield lab


def queue_of(lab: FastLab) -> FakeGcs:
    assert lab.queue.fake is not None
    return lab.queue.fake


def is_listening(lab: FastLab) -> bool:
    return '"Listening for jobs"' in lab.log("lab-1").read_text()


def break_some(faults: Faults, chance: random.Random) -> None:
    """Order faults of every kind all over the next requests."""
    for number in range(FAULTS):
        faults.add(
            Fault(
                kind=KINDS[number % len(KINDS)],
                skip=chance.randrange(REQUESTS),
                seconds=0.2,
                status=chance.choice([429, 500, 503]),
            )
        )


def test_jobs_end_once_while_every_tenth_request_breaks(
    bad_lab: FastLab, proxy: FaultProxy
) -> None:
    bad_lab.start()
    bad_lab.wait_for(lambda: is_listening(bad_lab), "the agent listens")
    chance = random.Random(SEED)
    for faults in (queue_of(bad_lab).faults, proxy.faults):
        break_some(faults, chance)
    jobs = [bad_lab.submit() for _ in range(JOBS)]
    bad_lab.wait_until_settled()
    assert proxy.faults.hits > 0
    assert queue_of(bad_lab).faults.hits > 0
    assert bad_lab.agents["lab-1"].poll() is None
    check_once(bad_lab, jobs, {})
    assert not any(record.counts for job in jobs for record in attempts(bad_lab, job))


@pytest.mark.parametrize("line", ["queue", "orthanc"])
def test_sigterm_ends_the_agent_while_requests_hang(
    bad_lab: FastLab, proxy: FaultProxy, line: str
) -> None:
    bad_lab.start()
    bad_lab.wait_for(lambda: is_listening(bad_lab), "the agent listens")
    faults = queue_of(bad_lab).faults if line == "queue" else proxy.faults
    faults.add(Fault(kind=FaultKind.HANG, times=10**6))
    job = bad_lab.submit()
    bad_lab.wait_for(lambda: faults.hits > 0, "a request hangs")
    agent = bad_lab.agents["lab-1"]
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(DEADLINE) == EXIT_OK
    faults.clear()
    bad_lab.start()
    bad_lab.wait_until_settled()
    check_once(bad_lab, [job], {})
