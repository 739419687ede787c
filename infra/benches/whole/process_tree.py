"""What a tree of processes uses: processor time, memory, bytes on the disk.

Everything a program starts is counted with it, what has ended too: the system adds a child that
was waited for to its parent.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import psutil

SAMPLE_S = 0.25
"""Between two looks at the memory; a peak between two is missed."""

_MIB = 1024 * 1024


@dataclass(frozen=True)
class ProcessTree:
    """The processes that began with these, by id, and all that they have started."""

    roots: Sequence[int]

    def cpu_s(self) -> float:
        """Seconds of processor time so far, user and system."""
        return sum(sum(process.cpu_times()[:4]) for process in self._existing())

    def written(self) -> int:
        """Bytes that it has had written to disks so far."""
        return sum(int(process.io_counters().write_bytes) for process in self._existing())

    def memory_mib(self) -> float:
        """Memory now; what several processes share is counted once (PSS)."""
        return sum(process.memory_full_info().pss for process in self._existing()) / _MIB

    def _existing(self) -> Iterator[psutil.Process]:
        for root in self.roots:
            try:
                first = psutil.Process(root)
                family = [first, *first.children(recursive=True)]
            except psutil.NoSuchProcess:
                continue
            for process in family:
                # It may end between two lines; its parent then has its figures.
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.cpu_times()
                    yield process


class Peaks:
    """The most memory that each tree had while a block ran, MiB."""

    def __init__(self, trees: Mapping[str, ProcessTree]) -> None:
        self._trees = dict(trees)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory")
        self.mib = dict.fromkeys(self._trees, 0.0)

    def __enter__(self) -> Peaks:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            self._look()

    def _look(self) -> None:
        for name, tree in self._trees.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                self.mib[name] = max(self.mib[name], tree.memory_mib())
