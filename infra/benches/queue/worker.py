"""One contender in a process of its own: reads a line of JSON, does it, answers with a line.

``python -m infra.benches.queue.worker KIND PLACE``; requests are ``{"do": "steady" | "backlog" |
"history", "jobs": N}``, the answer to the first two is ``[[claim_ns, finish_ns], …]``.
"""

from __future__ import annotations

import sys
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

        address = place if kind == "relay-gcs" else folder.absolute().as_uri()
        return Relay(address, one_look=kind == "relay-one-look")
    from infra.benches.queue.peers import PEERS

    return PEERS[kind](folder)


def serve(kind: str, place: str) -> None:
    """Answer requests until the input ends."""
    contender = make_contender(kind, place)

    def answer(request: dict[str, Any]) -> object:
        if request["do"] == "history":
            contender.fill_history(request["jobs"])
            return None
        run = run_steady if request["do"] == "steady" else run_backlog
        return run(contender, request["jobs"])

    answer_lines(answer)


if __name__ == "__main__":
    serve(*sys.argv[1:])
