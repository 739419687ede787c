"""What others and earlier lives have left in the queue: recovered at the start and at each scan."""

from __future__ import annotations

import logging

from lab_side.agent.delivery.delivery_queue import DeliveryQueue
from lab_side.agent.delivery.outbox import Outbox
from lab_side.agent.folders import WorkFolders
from lab_side.agent.reporting.status_board import StatusBoard
from lab_side.agent.reporting.unusable_log import UnusableObjectLog
from lab_side.log import job_log_context, log_event
from segrelay.bucket import Bucket
from segrelay.bucket.sealed import unsealed
from segrelay.bucket.site import SiteBucket
from segrelay.queue import AgentQueue, Heartbeat, QueueView, Reaper, scan, verify_store

RECOVER = "recover"
"""The stage, in the log, of a job that another process or life has left behind."""

logger = logging.getLogger("segrelay.agent")


class Recovery:
    """Lists the queue, and puts right what it finds there."""

    def __init__(
        self,
        bucket: Bucket,
        queue: AgentQueue,
        reaper: Reaper,
        *,
        agent: str,
        outbox: Outbox,
        deliveries: DeliveryQueue,
        folders: WorkFolders,
        status: StatusBoard,
    ) -> None:
        self._bucket = bucket
        self._agent = agent
        self._queue = queue
        self._reaper = reaper
        self._outbox = outbox
        self._deliveries = deliveries
        self._folders = folders
        self._status = status
        self._unusable_log = UnusableObjectLog()
        self.address = bucket.describe()
        """Of the queue, as logged."""

    def verify_store(self) -> None:
        """Refuse a store that breaks its promises, and a token that is another agent's.

        Raises as ``segrelay.queue.verify_store`` and ``SiteBucket.verify_agent`` do.
        """
        store = unsealed(self._bucket)
        if isinstance(store, SiteBucket):
            # First: what the site refuses later may be its trouble of a moment.
            store.verify_agent(self._agent)
        for remark in verify_store(self._bucket):
            log_event(
                logger,
                logging.WARNING,
                "queue server checked",
                found=remark.text,
                remedy=remark.remedy,
            )

    def begin(self, previous: Heartbeat | None) -> None:
        """Recover what a previous life of this agent left; ``previous`` is its last heartbeat."""
        self._folders.sweep()
        keep = self._outbox.job_ids()
        for job in self._reaper.recover_own_claims(scan(self._bucket), previous, keep=keep):
            with job_log_context(job.name.job_id, job.name.fence, RECOVER):
                log_event(logger, logging.INFO, "own claim recovered")

    def scan(self) -> QueueView:
        """List the queue, and recover what is in nobody's hands.

        Raises
        ------
        StoreUnavailableError, LocalDiskError
        """
        # Before the listing: what a stage finishes while it is made is no orphan.
        waiting, in_hand = self._outbox.job_ids(), set(self._status.jobs())
        # What another process put into the outbox: a segmentation by hand, mostly.
        self._deliveries.wake_for(waiting - in_hand)
        view = scan(self._bucket)
        self._recover(view, waiting | in_hand)
        return view

    def show_passed_over(self, view: QueueView) -> None:
        """Log once what is passed over, and show it in the heartbeat."""
        unusable = (*view.unusable, *self._queue.passed_over, *self._reaper.passed_over)
        self._unusable_log.update(unusable)
        self._status.set_passed_over([item.in_words for item in unusable])

    def _recover(self, view: QueueView, in_hand: set[str]) -> None:
        for job in self._reaper.recover_own_claims(view, self._status.heartbeat(), keep=in_hand):
            with job_log_context(job.name.job_id, job.name.fence, RECOVER):
                log_event(logger, logging.WARNING, "orphaned claim recovered")
        for job in self._reaper.reap(view):
            with job_log_context(job.name.job_id, job.name.fence, RECOVER):
                log_event(logger, logging.WARNING, "lost job recovered", owner=job.agent)
        for info in view.misnamed:
            self._queue.reject_misnamed(info)
        self._queue.forget_moved(view)
