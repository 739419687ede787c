"""The hospital's site: people who submit and cancel, and a sync that looks and reaps."""

from __future__ import annotations

import random
from collections.abc import Collection

from segrelay.errors import ManifestRejectedError, ObjectExistsError, StoreUnavailableError
from segrelay.manifest import JobManifest
from segrelay.names import SITE, JobName
from segrelay.queue import JobState, Reaper, SiteQueue, scan
from segrelay.queue.lease import store_now
from tests.support.simulator.agent import POLL, World
from tests.support.simulator.bucket import StagedBucket
from tests.support.simulator.stage import Actor

REPEAT = 0.5
"""Chance that somebody repeats at once what did not seem to arrive."""


class Site:
    """Its rows survive its crashes; its two processes do not."""

    def __init__(
        self, world: World, chance: random.Random, jobs: list[JobManifest], cancels: list[str]
    ) -> None:
        self._world = world
        self._chance = chance
        self._jobs = {job.job_id: job for job in jobs}
        self._to_submit = list(jobs)
        self._to_cancel = list(cancels)
        self.submitting: set[str] = set()
        """Rows whose publication is not known to have arrived."""
        self.is_syncing = True
        self._next_sync = 0.0
        self._life = 0
        self._actors: list[Actor] = []
        self.start()

    agent = SITE
    is_alive = True

    has_company = False

    def outbox_jobs(self) -> Collection[str]:
        """It has none."""
        return ()

    def owns(self, actor: Actor) -> bool:
        """Whether the thread is one of the site's."""
        return actor in self._actors

    @property
    def actors(self) -> list[Actor]:
        """The threads that a step of would do something."""
        return [actor for actor in self._actors if actor.can_run]

    @property
    def is_done(self) -> bool:
        """Whether everything asked for has been asked."""
        return not (self._to_submit or self._to_cancel or self.submitting)

    def start(self) -> None:
        """Begin both processes."""
        self._life += 1
        bucket = StagedBucket(
            self._world.store.open(SITE),
            self._world.stage,
            self._world.weather,
            self._world.watch,
            lambda _took_over: None,
        )
        self._bucket = bucket
        self._queue = SiteQueue(bucket)
        self._actors = [
            self._world.stage.add(f"site/{self._life} web", self._serve_web, self._web_due),
            self._world.stage.add(f"site/{self._life} sync", self._serve_sync, self._sync_due),
        ]

    def crash(self) -> None:
        """Both processes die and are started again."""
        for actor in self._actors:
            self._world.stage.kill(actor)
        self.start()

    def _web_due(self) -> bool:
        return bool(self._to_submit or self._cancellable())

    def _cancellable(self) -> list[str]:
        """Jobs to cancel that can be seen, or all once no submission is under way."""
        published = self._world.watch.published
        all_sent = not (self._to_submit or self.submitting)
        return [job for job in self._to_cancel if all_sent or job in published]

    def _sync_due(self) -> bool:
        return self.is_syncing and self._world.clock.seconds >= self._next_sync

    def _serve_web(self) -> None:
        while True:
            self._world.stage.park()
            cancellable = self._cancellable()
            if cancellable and (not self._to_submit or self._chance.random() < 0.3):
                self._cancel(cancellable[0])
            elif self._to_submit:
                self._submit(self._to_submit[0])

    def _submit(self, manifest: JobManifest) -> None:
        self.submitting.add(manifest.job_id)
        self._to_submit = [job for job in self._to_submit if job is not manifest]
        self._publish(manifest)

    def _cancel(self, job_id: str) -> None:
        try:
            self._queue.cancel(job_id, now=self._world.clock.now())
        except StoreUnavailableError:
            return
        except ManifestRejectedError:
            pass
        self._to_cancel = [job for job in self._to_cancel if job != job_id]

    def _publish(self, manifest: JobManifest) -> None:
        while True:
            try:
                self._queue.submit(manifest)
            except StoreUnavailableError:
                if self._chance.random() < REPEAT:
                    continue
                return
            except ObjectExistsError:
                pass
            self.submitting.discard(manifest.job_id)
            return

    def _serve_sync(self) -> None:
        while True:
            self._world.stage.park()
            self._next_sync = self._world.clock.seconds + POLL
            try:
                self._sync()
            except StoreUnavailableError:
                continue

    def _sync(self) -> None:
        waiting = sorted(self.submitting)
        view = scan(self._bucket)
        if view.claimed:
            now = store_now(self._bucket, SITE)
            Reaper(self._bucket, SITE, now=lambda: now, is_dead=lambda _: False).reap(view)
        for job_id in waiting:
            job = self._jobs[job_id]
            name = JobName(priority=job.priority, job_id=job_id, profile=job.profile, fence=0)
            if self._queue.find(name, view).state is JobState.UNKNOWN:
                self._publish(job)
            else:
                self.submitting.discard(job_id)
