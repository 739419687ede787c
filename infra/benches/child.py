"""Contenders in processes of their own, driven by lines of JSON; their side is ``answering``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from infra.packages.debian import repository_root
from infra.servers.json_process import JsonProcess
from segrelay.errors import FixConfigurationError

PEERS_PYTHON = Path(".cache/bench/bin/python")
"""Below the repository: where ``infra/bench`` put the peers."""


class Child(JsonProcess):
    """``python -m MODULE ARGUMENTS``, in this venv or (``peer``) in that of the peers.

    Raises
    ------
    FixConfigurationError
        ``bench-tools-missing``.
    """

    def __init__(self, name: str, module: str, arguments: Sequence[str], *, peer: bool) -> None:
        self.name = name
        command = [str(_python(peer=peer)), "-m", module, *arguments]
        super().__init__(f"the worker {name}", command)


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
