"""When something is tried again: every pause between tries, and every limit on them.

Use the constants through the module (``retry.DELIVERY``), so that a test can replace them.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Pauses that double from ``first`` up to ``longest``, both in seconds."""

    first: float
    longest: float = math.inf
    doublings: int = 16
    """At most so many, whatever ``longest`` allows."""
    jitter: float = 0.0
    """Each pause is longer or shorter by up to this share, at random."""
    tries: int = 0
    """Where they are limited."""
    deadline: float = math.inf
    """Seconds for all tries together."""

    def pause(self, earlier: int = 0) -> float:
        """Return the seconds before the next try, after so many earlier pauses."""
        seconds = min(self.longest, self.first * 2.0 ** min(earlier, self.doublings))
        return seconds * random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311


FAILED_ATTEMPT = RetryPolicy(first=20, doublings=6)
"""Of a job whose attempt failed: what broke it may have passed by then."""

HANDED_BACK = RetryPolicy(first=15, doublings=5)
"""Of a job handed back for a transient reason: an hour of them must not use up its numbers."""

LOST_CLAIM = RetryPolicy(first=5, doublings=5)
"""Of a job that was lost with its agent several times: each job waits for another time."""

STORE_WRITE = RetryPolicy(first=1, longest=30)
"""Of an agent that reports to the store how a job ended: nothing else can be done with the job."""

STORE_REQUEST = RetryPolicy(first=0.5, longest=8, deadline=30)
"""Of one request to the cloud store: with all its tries a heartbeat must fit into the lease."""

HEARTBEAT = RetryPolicy(first=5, longest=5)
"""Of a heartbeat or progress that failed: two of them still fit into the lease."""

DELIVERY = RetryPolicy(first=5, longest=300, jitter=0.2)
"""Of a SEG that Orthanc did not take: a restart takes seconds, a repair minutes."""

DOWNLOAD = RetryPolicy(first=5, longest=120)
"""Without a claim after a download that failed, though Orthanc answers."""

INSTANCE_TRIES = 3
"""How often one instance is asked for, and for each connection how many answers in a row may
break; the transport repeats each request besides."""

ORTHANC_REQUEST = RetryPolicy(first=0.3)
"""Of one request to Orthanc, plus up to as much jitter; the settings limit the tries."""

LONGEST_RETRY_AFTER = 60
"""Seconds for which a server may put a repeat off with ``Retry-After``."""

ORTHANC_BODY_TRIES = 3
"""The retries of urllib3 end with the headers: what breaks later is tried again here."""

GPU_TEST = RetryPolicy(first=30, longest=900)
"""Between self-tests of a GPU that failed one: each ends a process and loads every model."""

FAILURES_IN_A_ROW = RetryPolicy(first=300, longest=7200)
"""Of an agent on which job after job fails; after it the GPU is tested."""

UNUSABLE_OBJECT = RetryPolicy(first=600, longest=600)
"""Of an object that the store does not let this process move: its rights seldom change."""

SHARING_VIOLATION = RetryPolicy(first=0.1, longest=0.1, tries=25)
"""Of a file that another program of Windows has open: a virus scan takes a second or two."""

SYNC_PROCESS = RetryPolicy(first=1, longest=60)
"""Of ``labseg sync --watch`` beside the site, when it has ended."""
