"""Agents with nothing to do: heartbeats, doorbell and scans of each, as the real one joins them.

``python -m infra.benches.queue.stores.idle_agents PLACES``, files of
:class:`~infra.benches.queue.stores.access.Access` as JSON, prints ``null`` when all run. There is
no Orthanc and no model.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections.abc import Callable

from infra.benches.queue.listener import make_doorbell, make_interval
from infra.benches.queue.stores.access import Access, read_access
from lab_side.agent.doorbells.site import SiteDoorbell
from lab_side.agent.health.heartbeat import Heartbeat
from lab_side.agent.health.identity import is_dead, this_process
from lab_side.agent.reporting.status_board import StatusBoard
from lab_side.settings.config import AgentConfig
from segrelay.errors import SegRelayError
from segrelay.queue import AgentState, Lease, scan
from segrelay.queue.lease import new_nonce

APART_S = 0.2
"""Seconds between the starts of two agents."""


class IdleAgent:
    """One agent that listens."""

    def __init__(self, access: Access) -> None:
        self._bucket = access.agents_bucket()
        self._rang = threading.Event()
        # All are of one process: its nonce alone distinguishes agents.
        identity = this_process().model_copy(update={"instance": new_nonce()})
        status = StatusBoard(identity=identity, version="0", profiles=("demo",))
        status.set_state(AgentState.LISTENING)
        self._lease = Lease(self._bucket, access.agent, identity, is_dead=is_dead)
        self._heartbeat = Heartbeat(self._bucket, self._lease, status, on_lost=_give_up)
        self._doorbell = make_doorbell(self._bucket, self._rang, self._heartbeat)
        is_rung = _is_rung(self._doorbell)
        self._interval = make_interval(
            _default("poll_seconds"), _default("idle_poll_seconds"), idling=True, is_rung=is_rung
        )

    def start(self) -> None:
        """Take the agent id, and wait for jobs from now on."""
        self._heartbeat.take_over()
        if self._doorbell is not None:
            self._doorbell.supervise()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        # Agents of a lab were started at different times.
        scan(self._bucket)
        pause = random.random() * self._interval.pause()  # noqa: S311
        while True:
            self._rang.wait(pause)
            self._rang.clear()
            try:
                scan(self._bucket)
            except SegRelayError as error:
                sys.stderr.write(f"scan failed: {error.message}\n")
            pause = self._interval.pause()


def _is_rung(doorbell: object) -> Callable[[], bool]:
    return (lambda: doorbell.is_listening) if isinstance(doorbell, SiteDoorbell) else bool


def _default(setting: str) -> float:
    return float(AgentConfig.model_fields[setting].default)


def _give_up() -> None:
    sys.stderr.write("an agent's id was taken over\n")


def main(places: list[str]) -> None:
    """Start all, and run until the process is ended."""
    for place in places:
        IdleAgent(read_access(place)).start()
        time.sleep(APART_S)
    print("null", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
