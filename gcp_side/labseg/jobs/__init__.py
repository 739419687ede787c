"""A job's life at the site; views, admin and commands call what is exported here.

``submission``      submit, retry and cancel
``sync``            rows brought up to date with the bucket
``rows``            the only writer of the tables
``queue_from_row``  a row as a manifest; ``row_from_queue`` the way back
``selection``, ``checked_input``, ``confirmation``
                    which series, and what contradicts them
``agents``, ``waiting``
                    the lab by its heartbeats, and why a job waits
``pubsub``, ``freshness``, ``unusable_log``
                    notifications, the last pass of sync, objects that are passed over
"""

from gcp_side.labseg.jobs.rows import find
from gcp_side.labseg.jobs.submission import Retried, Submission, cancel, retry, submit
from gcp_side.labseg.jobs.sync import SyncReport, refresh, refresh_together, sync_all, take_in

__all__ = [
    "Retried",
    "Submission",
    "SyncReport",
    "cancel",
    "find",
    "refresh",
    "refresh_together",
    "retry",
    "submit",
    "sync_all",
    "take_in",
]
