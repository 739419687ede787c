"""The job queue: one state machine over a bucket.

::

      submit            claim (rename)            finish + archive
    ──────────▶ pending ──────────────▶ claimed ──────────────────▶ done | failed
                   ▲                       │ │
                   └── hand back, reap ────┘ └── reject ──▶ rejected

The name is the state: a job that has been published is in exactly one of these folders
once all moves are done, and ``results/<job>`` is the only commit point. Execution is
at least once; the result is exactly one, because it is created on condition that none
exists.

``site``        the hospital's side: submit, cancel, locate a job
``view``        one listing, sorted into jobs, claims and agents
``lease``       an agent's heartbeat and the store's clock
``claims``      an agent's side: claim, finish, archive, hand back, reject
``selftest``    checks the conditions of the store that all of this relies on
``reaper``      requeues the claims of dead agents
``rejections``  rejected manifests and their reasons
``unusable``    objects that are passed over
``operator``    an operator's moves: cancel, requeue
"""

from segrelay.queue.claims import AgentQueue, Claim
from segrelay.queue.lease import AgentState, Heartbeat, HeartbeatJob, Identity, Lease, Life, how_far
from segrelay.queue.reaper import Reaper
from segrelay.queue.selftest import verify_store
from segrelay.queue.site import JobLocation, JobState, SiteQueue
from segrelay.queue.view import QueueView, scan

__all__ = [
    "AgentQueue",
    "AgentState",
    "Claim",
    "Heartbeat",
    "HeartbeatJob",
    "Identity",
    "JobLocation",
    "JobState",
    "Lease",
    "Life",
    "QueueView",
    "Reaper",
    "SiteQueue",
    "how_far",
    "scan",
    "verify_store",
]
