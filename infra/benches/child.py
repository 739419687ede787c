"""Contenders in processes of their own, driven by lines of JSON; their side is ``answering``."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from infra.packages.debian import repository_root
from infra.servers.processes import stop_process
from segrelay.errors import FixConfigurationError

PEERS_PYTHON = Path(".cache/bench/bin/python")
"""Below the repository: where ``infra/bench`` put the peers."""


class Child:
    """``python -m MODULE ARGUMENTS``, in this venv or (``peer``) in that of the peers.

    Raises
    ------
    FixConfigurationError
        ``bench-tools-missing``.
    """

    def __init__(self, name: str, module: str, arguments: Sequence[str], *, peer: bool) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [str(_python(peer=peer)), "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=repository_root(),
        )

    def ask(self, request: object) -> Any:
        """Send one line and wait for the answer.

        Raises
        ------
        RuntimeError
            The process ended instead.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the worker was started without pipes")
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the worker {self.name} ended; its message is above")
        return json.loads(answer)

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        stop_process(self._process)


C = TypeVar("C", bound=Child)


@contextlib.contextmanager
def started_workers(make: Callable[[str], C], kinds: Iterable[str]) -> Iterator[dict[str, C]]:
    """A process of each kind; ended with the block."""
    with contextlib.ExitStack() as stack:
        yield {kind: stack.enter_context(contextlib.closing(make(kind))) for kind in kinds}


def _python(*, peer: bool) -> Path:
    if not peer:
        return Path(sys.executable)
    python = repository_root() / PEERS_PYTHON
    if not python.exists():
        raise FixConfigurationError(
            "The other tools are not installed.",
            code="bench-tools-missing",
            remedy="Start the benchmark with infra/bench, which installs them.",
        )
    return python
