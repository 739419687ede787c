"""One contender in a process of its own: reads a line of JSON, does it, answers with a line.

``python -m infra.benches.queue.worker KIND PLACE``; requests are ``{"do": WHAT, "jobs": N}``.

=======================  ==================================================================
``steady``, ``backlog``  ``[[claim_ns, finish_ns, submit_ns], …]``
``history``              ``null``
``submit``               the monotonic nanoseconds before it
``wait``                 ``null`` when it waits; then, N times, those at which a job was taken
=======================  ==================================================================
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from infra.benches.answering import answer_lines
from infra.benches.queue.contender import Contender, run_backlog, run_steady
from infra.benches.queue.lower_bounds import LOWER_BOUNDS


def make_contender(kind: str, place: str) -> Contender:
    """The contender called ``kind`` at a folder, or an address for the cloud bucket."""
    folder = Path(place)
    if kind in LOWER_BOUNDS:
        return LOWER_BOUNDS[kind](folder)
    # Imported where they are meant: the peers' venv has none of ours, ours none of theirs.
    if kind == "naive":
        from infra.benches.queue.naive import Naive

        return Naive(folder)
    if kind.startswith("relay"):
        from infra.benches.queue.relay import Relay

        is_folder = kind in ("relay", "relay-one-look")
        address = folder.absolute().as_uri() if is_folder else place
        return Relay(address, one_look=kind == "relay-one-look")
    return _make_peer(kind, place)


def _make_peer(kind: str, place: str) -> Contender:
    from infra.benches.queue.peers.files import PEERS
    from infra.benches.queue.peers.over_objects import JQUEUES
    from infra.benches.queue.peers.over_redis import REDIS_PEERS

    if kind in PEERS:
        return PEERS[kind](Path(place))
    return {**REDIS_PEERS, **JQUEUES}[kind](place)


def wait_for_jobs(contender: Contender, jobs: int) -> None:
    """Print when each job was taken, and finish it."""
    print("null", flush=True)
    for _ in range(jobs):
        contender.wait_and_claim()
        print(time.monotonic_ns(), flush=True)
        contender.finish()


def serve(kind: str, place: str) -> None:
    """Answer requests until the input ends."""
    contender = make_contender(kind, place)

    def answer(request: dict[str, Any]) -> object:
        if request["do"] == "history":
            contender.fill_history(request["jobs"])
            return None
        if request["do"] == "submit":
            start = time.monotonic_ns()
            contender.submit()
            return start
        if request["do"] == "wait":
            wait_for_jobs(contender, request["jobs"])
            return None
        run = run_steady if request["do"] == "steady" else run_backlog
        return run(contender, request["jobs"])

    answer_lines(answer)


if __name__ == "__main__":
    serve(*sys.argv[1:])
