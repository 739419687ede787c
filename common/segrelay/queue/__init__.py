"""The job queue: one state machine over a bucket.

::

      submit            claim (rename)            finish + archive
    ──────────▶ pending ──────────────▶ claimed ──────────────────▶ done | failed
                   ▲                       │ │
                   └── hand back, reap ────┘ └── reject ──▶ rejected

The name is the state: a job that has been published is in exactly one of these folders
once things have settled, and ``results/<job>`` is the only commit point. Execution is
at least once; the result is exactly one, because it is created on condition that none
exists.

``site``        what the hospital does: submit, cancel, look up
``view``        one listing, understood
``lease``       an agent's heartbeat and the store's clock
``claims``      what an agent does with a job: claim, finish, archive, hand back, reject
``selftest``    whether the store keeps its promises at all
``reaper``      bringing back the claims of the dead
``rejections``  what was set aside, and why
``operator``    what a person does by hand: cancel, requeue
``overview``    the live queue for a person to read
"""

from segrelay.queue.claims import AgentQueue, Claim
from segrelay.queue.lease import Heartbeat, HeartbeatJob, Identity, Lease, how_far
from segrelay.queue.reaper import Reaper
from segrelay.queue.selftest import verify_store
from segrelay.queue.site import JobLocation, JobState, SiteQueue
from segrelay.queue.view import QueueView, scan

__all__ = [
    "AgentQueue",
    "Claim",
    "Heartbeat",
    "HeartbeatJob",
    "Identity",
    "JobLocation",
    "JobState",
    "Lease",
    "QueueView",
    "Reaper",
    "SiteQueue",
    "how_far",
    "scan",
    "verify_store",
]
