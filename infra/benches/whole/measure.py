"""One job of one system, with what its processes used meanwhile; and several jobs in figures."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median

import psutil

from infra.benches.harness import Report
from infra.benches.whole.process_tree import Peaks, ProcessTree

ORTHANC = "orthanc"
CLOUD = "cloud"
"""Tree of everything beside Orthanc that runs on the hospital's machine in the cloud."""


@dataclass(frozen=True)
class JobDone:
    """What a system says of a job."""

    steps: Mapping[str, float] = field(default_factory=dict)
    """Seconds by step."""


class System(ABC):
    """One way to bring a study to its SEG, ready for jobs."""

    trees: Mapping[str, ProcessTree]
    """Its processes by what they are; :data:`CLOUD` among them where it has any there."""

    @abstractmethod
    def job(self) -> JobDone:
        """One job, from the request until who asked knows that the SEG is in Orthanc."""

    def jobs(self, count: int) -> JobDone:
        """So many jobs at once, until the last has ended."""
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(lambda _: self.job(), range(count)))
        return JobDone()

    def carried(self) -> int:
        """Bytes that its lines have carried so far, both ways."""
        return 0


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One job, or several at once."""

    seconds: float
    cpu_s: Mapping[str, float]
    """By tree."""
    peak_mib: Mapping[str, float]
    loopback_bytes: int
    """What all connections of this machine carried, headers included."""
    line_bytes: int
    written_bytes: Mapping[str, int]
    steps: Mapping[str, float]


def measured(system: System, orthanc: int, action: Callable[[], JobDone]) -> Sample:
    """Do it and count; ``orthanc`` is the process of Orthanc."""
    trees = {**system.trees, ORTHANC: ProcessTree([orthanc])}
    with Peaks(trees) as peaks:
        cpu = {name: tree.cpu_s() for name, tree in trees.items()}
        written = {name: tree.written() for name, tree in trees.items()}
        loopback, carried = _loopback_bytes(), system.carried()
        start = time.perf_counter()
        done = action()
        seconds = time.perf_counter() - start
        used = {name: tree.cpu_s() - cpu[name] for name, tree in trees.items()}
        to_disk = {name: tree.written() - written[name] for name, tree in trees.items()}
        loopback = _loopback_bytes() - loopback
    return Sample(
        seconds=seconds,
        cpu_s=used,
        peak_mib=peaks.mib,
        loopback_bytes=loopback,
        line_bytes=system.carried() - carried,
        written_bytes=to_disk,
        steps=done.steps,
    )


def figures(samples: Sequence[Sample]) -> Report:
    """The medians."""
    return {
        "seconds": round(median(one.seconds for one in samples), 3),
        "runs": len(samples),
        "cpu_s": _medians([one.cpu_s for one in samples], 3),
        "peak_mib": _medians([one.peak_mib for one in samples], 1),
        "loopback_mb": round(median(one.loopback_bytes for one in samples) / 1e6, 1),
        "line_mb": round(median(one.line_bytes for one in samples) / 1e6, 1),
        "written_mb": _medians(
            [{tree: size / 1e6 for tree, size in one.written_bytes.items()} for one in samples], 1
        ),
        "steps_s": _medians([one.steps for one in samples], 3),
    }


def cloud_of(row: Report, key: str, *, with_orthanc: bool = True) -> float:
    """What the machine in the cloud uses: ``key`` is ``cpu_s`` or ``peak_mib``."""
    names = (CLOUD, ORTHANC) if with_orthanc else (CLOUD,)
    return sum(float(row[key].get(name, 0.0)) for name in names)


def _medians(rows: Sequence[Mapping[str, float]], digits: int) -> dict[str, float]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: round(median(row[name] for row in rows if name in row), digits) for name in names}


def _loopback_bytes() -> int:
    return int(psutil.net_io_counters(pernic=True)["lo"].bytes_sent)
