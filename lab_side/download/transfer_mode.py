"""The faster transfer of the rest of a download: one by one, or in compressed archives.

Orthanc deflates an archive with one thread a request: on noisy images that is slower than
any line and saves nothing; on images with a black background over a thin line it saves most
of the time. So the first instances are fetched one by one, and what they say decides.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Iterable

from segrelay.orthanc.answers import InstanceInfo

ROUNDS = 3
"""So many instances for each connection are looked at before anything is decided."""

SAMPLES, SAMPLE_BYTES = 4, 128 * 1024
"""What is deflated to see what that gains: some tens of milliseconds of one core."""

ORTHANC_LEVEL = 6
"""zlib's default, which Orthanc uses."""

SERVER_THREADS = 2
"""Cores on which Orthanc is assumed to deflate at once; its other users need some too."""

LEAST_GAIN = 1.25
"""Archives must be expected to be so much faster: they cost the server more."""

SHORT_S = 0.5
"""Seconds: what the line carries within this is not worth a thought."""


class Estimate:
    """Estimate from the first arrivals of a download; thread-safe."""

    def __init__(self, *, connections: int) -> None:
        self._enough = ROUNDS * connections
        self._remaining_bytes = 0
        self._seen: list[InstanceInfo] = []
        self._first_at = self._last_at = 0.0
        self._bytes_after_first = 0
        self._is_decided = False
        self._lock = threading.Lock()

    def add(self, missing: Iterable[InstanceInfo]) -> None:
        """Add instances that are still to come."""
        with self._lock:
            self._remaining_bytes += sum(item.size_bytes for item in missing)

    def note(self, item: InstanceInfo) -> None:
        """Record the arrival of an instance."""
        with self._lock:
            self._remaining_bytes -= item.size_bytes
            if len(self._seen) >= self._enough:
                return
            self._last_at = time.monotonic()
            if self._seen:
                self._bytes_after_first += item.size_bytes
            else:
                # Before it lie the handshakes, which say nothing about the rest.
                self._first_at = self._last_at
            self._seen.append(item)

    def is_due(self) -> bool:
        """Whether enough has come to decide; true once only."""
        with self._lock:
            if self._is_decided or len(self._seen) < self._enough:
                return False
            self._is_decided = True
            return True

    def prefers_archives(self, head: Callable[[InstanceInfo, int], bytes]) -> bool:
        """Decide; ``head`` reads the first bytes of an instance that has come."""
        with self._lock:
            seconds = max(self._last_at - self._first_at, 1e-3)
            rate = self._bytes_after_first / seconds
            remaining = self._remaining_bytes
            samples = self._seen[:: max(1, len(self._seen) // SAMPLES)][:SAMPLES]
        one_by_one_s = remaining / max(rate, 1.0)
        if one_by_one_s < SHORT_S:
            return False
        sample = b"".join(head(item, SAMPLE_BYTES) for item in samples)
        ratio, deflate_rate = deflated(sample)
        return one_by_one_s > LEAST_GAIN * archive_seconds(remaining, rate, ratio, deflate_rate)


def deflated(sample: bytes) -> tuple[float, float]:
    """Deflate a sample: its size against the original, and bytes per second of one core."""
    began = time.thread_time()
    ratio = len(zlib.compress(sample, ORTHANC_LEVEL)) / len(sample)
    # The clock of a thread may be coarse.
    return ratio, len(sample) / max(time.thread_time() - began, 1e-3)


def archive_seconds(size: int, line_rate: float, ratio: float, deflate_rate: float) -> float:
    """Seconds for ``size`` bytes as archives: the slower of the line and of the server.

    Rates in bytes per second; ``deflate_rate`` is that of one core.
    """
    return max(size * ratio / line_rate, size / (deflate_rate * SERVER_THREADS))
