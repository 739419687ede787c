"""``kill -9`` of real agents, and of the queue's server, at random moments while jobs keep coming.

Two agents serve one queue, each on a computer of its own name: a neighbour's death shows by
its lease alone, one's own by the dead process. Kills hit the agent, its worker, or both, and
where the queue has a server (the site under gunicorn, a Redis), that or one of its processes.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from lab_side.commands.console import EXIT_DEFECT, EXIT_NOT_NOW
from segrelay import names
from segrelay.names import JobName
from tests.conftest import SEED, Tell
from tests.support.lab.fast_lab import DEADLINE, POLL_SECONDS, FastLab, attempts, check_once
from tests.support.lab.fast_queues import AGENTS, Killable
from tests.support.launcher import LEASE, Launch
from tests.support.servers.orthanc import orthanc as orthanc
from tests.support.site.site_process import SiteProcess

KILLS, KILLS_LONG, KILLS_OF_TWO = 5, 100, 200
"""Of agents; the last one of agents and the queue's server together."""

SERVER_SHARE = 0.5
"""Of the kills, where the queue has a server."""

LONGEST_OUTAGE_S = 1.0
"""From the server's death to its start, at random, at most; beside the time that it takes."""

AT_WORK = 0.8
"""Share of the kills that wait until the agent owns a job; the others may hit its start."""

LONGEST_LIFE_S, LONGEST_JOB_S = 2.0, 0.8
"""From the start, or from the first job, to the kill: at random, at most."""

MOST_WAITING = 4
"""Jobs that are published and not ended: more than the agents hold."""

ABSENCE_EVERY = 5
"""So often a killed agent stays dead until the other must have taken its jobs."""

SLACK_S = 10.0
"""What a busy computer adds to lease and poll."""


@dataclass
class Storm:
    """One storm and what it has seen."""

    lab: FastLab
    chance: random.Random
    jobs: list[JobName] = field(default_factory=list)
    seen: dict[str, bytes] = field(default_factory=dict)
    """Results as they were first seen."""
    counts: Counter[str] = field(default_factory=Counter)
    robbed: set[str] = field(default_factory=set)
    """Agents whose worker was killed in this life."""
    segs: int = 0
    """That the storm has left in Orthanc."""
    longest_orphan_s: float = 0.0
    settled_after_s: float = 0.0

    def run(self, kills: int) -> None:
        """Kill so often, then let the agents finish."""
        before = set(self.lab.stored_segs())
        for agent in AGENTS:
            self.start(agent)
        while self.counts["agent"] + self.counts["server"] < kills:
            if self.lab.queue.server is not None and self.chance.random() < SERVER_SHARE:
                self.strike_server(self.lab.queue.server)
            else:
                self.blow()
        self.settled_after_s = self.lab.wait_for(self.is_settled, "every job is settled")
        check_once(self.lab, self.jobs, self.seen)
        self.segs = len(self.lab.stored_segs().keys() - before)
        assert self.segs == len(self.jobs), "Orthanc holds a SEG that no result names"
        self.counts["recorded losses"] = sum(len(attempts(self.lab, job)) for job in self.jobs)

    def is_settled(self) -> bool:
        self.serve()
        return self.lab.is_settled()

    def start(self, agent: str) -> None:
        self.robbed.discard(agent)
        self.lab.start(agent, Launch(host=f"host-of-{agent}"))

    def blow(self) -> None:
        """Let the agents work for a moment, then kill something of one."""
        agent, other = self.chance.sample(AGENTS, 2)
        is_left_dead = (self.counts["agent"] + 1) % ABSENCE_EVERY == 0
        if is_left_dead:
            self.work(DEADLINE, until=lambda: self.is_at_work(agent) and self.lab.is_serving(other))
        elif self.chance.random() < AT_WORK:
            self.work(DEADLINE, until=lambda: self.is_at_work(agent))
            self.work(self.chance.uniform(0, LONGEST_JOB_S))
        else:
            self.work(self.chance.uniform(0, LONGEST_LIFE_S))
        what = self.chance.choices(["agent", "worker", "both"], [4, 1, 1])[0]
        if what != "agent":
            self.counts["worker"] += self.lab.kill_worker(agent)
            self.robbed.add(agent)
        if what == "worker":
            return
        self.lab.kill(agent)
        self.counts["agent"] += 1
        self.lab.check_outbox(agent)
        if is_left_dead:
            self.leave_dead(agent)
        self.start(agent)

    def strike_server(self, server: Killable) -> None:
        """Kill the queue's server in the middle of whatever it is doing, sometimes with an agent.

        Of a site that is the whole of gunicorn, or one of its processes.
        """
        agent = self.chance.choice(AGENTS)
        if self.chance.random() < AT_WORK:
            self.work(DEADLINE, until=lambda: self.is_at_work(agent))
        self.work(self.chance.uniform(0, LONGEST_JOB_S))
        self.counts["server"] += 1
        if isinstance(server, SiteProcess) and self.chance.random() < 0.25:
            self.counts["process of the server"] += 1
            server.kill_worker(self.chance)
            return
        server.kill()
        is_double = self.chance.random() < 0.2
        if is_double:
            self.lab.kill(agent)
            self.counts["agent with the server"] += 1
        time.sleep(self.chance.uniform(0, LONGEST_OUTAGE_S))
        server.start()
        if is_double:
            self.lab.check_outbox(agent)
            self.start(agent)

    def is_at_work(self, agent: str) -> bool:
        """Whether this life of the agent serves, and owns a job."""
        owned = f"{names.CLAIMED}{agent}/"
        return self.lab.is_serving(agent) and any(n.startswith(owned) for n in self.lab.live())

    def work(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Keep jobs coming for so long, or until something is so."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            self.seen |= self.lab.results(besides=self.seen)
            if len(self.jobs) - len(self.seen) < MOST_WAITING:
                self.jobs.append(self.lab.submit())
            self.serve()
            time.sleep(max(0.1, self.lab.queue.look_every_s))

    def serve(self) -> None:
        """As a service manager: start an agent again that could not begin.

        Its worker died while it started, or the queue's server was away for longer than it tries.
        """
        for agent in AGENTS:
            code = self.lab.agents[agent].poll()
            if code is None:
                continue
            is_away = code == EXIT_NOT_NOW and self.lab.queue.server is not None
            is_robbed = code == EXIT_DEFECT and agent in self.robbed
            assert is_away or is_robbed, f"{agent} ended: {code}"
            self.counts["started again"] += 1
            self.start(agent)

    def leave_dead(self, agent: str) -> None:
        """I5: what a dead agent owned is free after the lease and one poll."""
        orphans = {name for name in self.lab.live() if name.startswith(f"{names.CLAIMED}{agent}/")}
        limit = LEASE.total_seconds() + POLL_SECONDS + SLACK_S
        took = self.lab.wait_for(
            lambda: orphans.isdisjoint(self.lab.live()), f"{agent}'s claims come back", limit
        )
        self.counts["orphans"] += len(orphans)
        self.longest_orphan_s = max(self.longest_orphan_s, took)

    def report(self) -> str:
        """One line for operators."""
        counts = ", ".join(f"{number} {what}" for what, number in self.counts.items())
        return (
            f" seed {SEED}: {len(self.jobs)} jobs, {len(self.lab.results())} results, "
            f"{self.segs} SEGs, "
            f"{len(self.lab.live())} stuck; killed or lost: {counts}; orphans free after "
            f"{self.longest_orphan_s:.1f} s, all settled after {self.settled_after_s:.1f} s "
        )


@pytest.mark.parametrize(
    ("fast_lab", "kills"),
    [
        ("gcs", KILLS),
        *(
            pytest.param(store, kills, marks=pytest.mark.long)
            for store, kills in (
                ("gcs", KILLS_LONG),
                ("directory", KILLS_LONG),
                ("site", KILLS_OF_TWO),
                ("site-sqlite", KILLS_OF_TWO),
                ("redis", KILLS_OF_TWO),
            )
        ),
    ],
    indirect=["fast_lab"],
)
def test_i1_i2_i3_i5_kills_at_random_moments(
    fast_lab: FastLab, request: pytest.FixtureRequest, tell: Tell, kills: int
) -> None:
    store = request.node.callspec.params["fast_lab"]
    storm = Storm(fast_lab, random.Random(f"{SEED} {store} {kills}"))
    storm.run(kills)
    tell(f"{store}: {storm.report()}")
