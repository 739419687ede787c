"""The real ``lab-agent`` command line, made for tests: a fast worker, short times, a death.

``python -m tests.support.launcher SETTINGS ARGUMENTS…``: SETTINGS is the JSON of
:class:`Launch`, ARGUMENTS are those of ``lab-agent``. Everything that a test changes is
changed here, from outside: the product has no switch for it.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from lab_side import cli
from segrelay.bucket import gcs
from segrelay.retry import RetryPolicy
from tests.support.lab.fast_worker import BREAKDOWN_VARIABLE, WORK_VARIABLE
from tests.support.lab.full_disk import WORKER_VARIABLE, FailingDisk, FullDisk

LEASE = timedelta(seconds=4)
HEARTBEAT_EVERY = 0.5

SHORT_TIMES: dict[str, Any] = {
    "segrelay.queue.lease.LEASE": LEASE,
    "segrelay.retry.FAILED_ATTEMPT": RetryPolicy(first=0.1, doublings=6),
    "segrelay.retry.LOST_CLAIM": RetryPolicy(first=0.1, doublings=5),
    "segrelay.retry.ORTHANC_REQUEST": RetryPolicy(first=0.02),
    "segrelay.retry.STORE_REQUEST": RetryPolicy(first=0.5, longest=0.1, deadline=30),
    "segrelay.bucket.gcs.REQUEST_TIMEOUT": (1.0, 1.0),
    "lab_side.agent.health.heartbeat.HEARTBEAT_EVERY": HEARTBEAT_EVERY,
    "lab_side.agent.health.heartbeat.CARRIED_EVERY": 2 * HEARTBEAT_EVERY,
    "lab_side.agent.health.heartbeat.PROGRESS_EVERY": 0.1,
    "segrelay.retry.HEARTBEAT": RetryPolicy(first=0.1, longest=0.1),
    "lab_side.agent.health.orthanc_gate.CHECK_EVERY": 0.2,
    "segrelay.retry.DOWNLOAD": RetryPolicy(first=0.2, longest=1.0),
    "segrelay.retry.GPU_TEST": RetryPolicy(first=0.2, longest=1.0),
    "segrelay.retry.FAILURES_IN_A_ROW": RetryPolicy(first=0.5, longest=2.0),
    "segrelay.retry.HANDED_BACK": RetryPolicy(first=0.1, doublings=5),
    "segrelay.retry.DELIVERY": RetryPolicy(first=0.1, longest=0.5, jitter=0.2),
    "segrelay.retry.STORE_WRITE": RetryPolicy(first=0.1, longest=0.5),
}
"""Constants of the product and what they are in these tests."""

STEPS = (
    "claimed",
    "manifest-read",
    "folder-made",
    "fetched",
    "start-told",
    "seg-written",
    "draft-written",
    "renamed-into-outbox",
    "in-outbox",
    "upload-sent",
    "upload-answered",
    "read-back",
    "result-created",
    "archived",
    "progress-forgotten",
    "entry-half-removed",
    "entry-removed",
)
"""The write order: where a process can be told to die."""

FIRST_SAFE_STEP = "renamed-into-outbox"
"""From here on the SEG is never made again."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Launch(BaseModel):
    """What is different from the product."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str | None = None
    """What the process believes its computer is called."""
    job: str = ""
    """The job at which it dies."""
    step: str = ""
    """It dies right after this step of :data:`STEPS`."""
    operation: int = 0
    """It dies right before its n-th change of a file or request since the job's claim."""
    full_disk: FullDisk | None = None
    """The disk is full at some write of each job that it claims."""
    worker_full_disk: FullDisk | None = None
    """The same for its worker, for each job that is given to it."""
    work_s: float | None = None
    """How long a job takes the worker, seconds."""
    guard_minutes: float | None = None
    """How long the agent pauses after failures in a row."""
    breakdown: Path | None = None
    """A file; see :data:`tests.support.lab.fast_worker.BREAKDOWN_VARIABLE`."""


def shorten(replace: Callable[[str, Any], None]) -> None:
    """Shorten every time that a test would wait for.

    ``replace`` takes a dotted name and the new value.
    """
    for name, value in SHORT_TIMES.items():
        replace(name, value)
    hurried = functools.partial(gcs.GcsBucket, deadline=1.5, first_pause=0.01, answer_limit=1.0)
    replace("segrelay.bucket.gcs.GcsBucket", hurried)


def main() -> None:
    """Change what the test wants and be ``lab-agent``."""
    launch = Launch.model_validate_json(sys.argv[1])
    shorten(_replace)
    _replace(
        "lab_side.worker.client.COMMAND", (sys.executable, "-m", "tests.support.lab.fast_worker")
    )
    if launch.host is not None:
        host = launch.host
        _replace("socket.gethostname", lambda: host)
    if launch.full_disk is not None:
        disk = FailingDisk(launch.full_disk)
        disk.install()
        _after("segrelay.queue.claims.AgentQueue.claim", lambda claim: _begin(disk, claim))
    if launch.worker_full_disk is not None:
        os.environ[WORKER_VARIABLE] = launch.worker_full_disk.model_dump_json()
    if launch.work_s is not None:
        os.environ[WORK_VARIABLE] = str(launch.work_s)
    if launch.guard_minutes is not None:
        _replace(
            "segrelay.retry.FAILURES_IN_A_ROW",
            RetryPolicy(first=launch.guard_minutes * 60, doublings=0),
        )
    if launch.breakdown is not None:
        os.environ[BREAKDOWN_VARIABLE] = str(launch.breakdown)
    if launch.job:
        death = _Death(launch)
        death.watch_steps()
        sys.addaudithook(death.on_event)
    cli.main(sys.argv[2:])


class _Death:
    """Kills this process, as ``kill -9`` does, at one point of one job."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._is_armed = False
        self._operations = 0
        self._thread = threading.local()

    def watch_steps(self) -> None:
        """Look at what the agent calls."""
        _after("segrelay.queue.claims.AgentQueue.claim", self._arm)
        for name, step in (
            ("segrelay.queue.claims.AgentQueue.open", "manifest-read"),
            ("lab_side.agent.folders.WorkFolders.new", "folder-made"),
            ("lab_side.agent.pipeline.fetch", "fetched"),
            ("lab_side.agent.pipeline.Pipeline._begin", "start-told"),
            ("lab_side.worker.client.WorkerProcess.segment", "seg-written"),
            ("lab_side.agent.delivery.outbox.write_durably", "draft-written"),
            ("lab_side.agent.delivery.outbox.Outbox.add", "in-outbox"),
            ("segrelay.orthanc.client.OrthancClient.upload", "upload-answered"),
            ("segrelay.orthanc.client.OrthancClient.instance_file", "read-back"),
            ("segrelay.queue.claims.publish_result", "result-created"),
            ("segrelay.queue.claims.AgentQueue.archive", "archived"),
            ("segrelay.queue.claims.AgentQueue.forget_progress", "progress-forgotten"),
            ("lab_side.agent.delivery.outbox.Outbox.remove", "entry-removed"),
        ):
            _after(name, lambda _answer, step=step: self._reach(step))  # type: ignore[misc]
        self._before("lab_side.agent.delivery.outbox.sync_folder", self._on_sync)
        self._before("segrelay.orthanc.client.OrthancClient.upload", self._on_upload)
        self._before("http.client.HTTPConnection.getresponse", self._on_answer_awaited)
        self._before("lab_side.agent.delivery.outbox.Outbox.remove", self._on_remove)

    def on_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        """An audit hook: called before a file is changed or a request sent."""
        if not self._is_armed or not _is_change(event, arguments):
            return
        self._operations += 1
        if self._operations == self._launch.operation:
            _die()
        removed = getattr(self._thread, "removed", None)
        if removed is not None and event == "os.remove":
            self._thread.removed = removed + 1
            if removed == 1:
                self._reach("entry-half-removed")

    def _arm(self, claim: Any) -> None:
        if claim is not None and claim.job_id == self._launch.job:
            self._is_armed = True
            self._reach("claimed")

    def _on_sync(self) -> None:
        self._reach("renamed-into-outbox")

    def _on_upload(self) -> None:
        self._thread.uploads = True

    def _on_answer_awaited(self) -> None:
        if getattr(self._thread, "uploads", False):
            self._reach("upload-sent")

    def _on_remove(self) -> None:
        if self._is_armed:
            self._thread.removed = 0

    def _reach(self, step: str) -> None:
        if self._is_armed and step == self._launch.step:
            _die()

    def _before(self, name: str, tell: Callable[[], None]) -> None:
        original = _find(name)

        @functools.wraps(original)
        def watched(*arguments: Any, **options: Any) -> Any:
            tell()
            return original(*arguments, **options)

        _replace(name, watched)


def _begin(disk: FailingDisk, claim: Any) -> None:
    if claim is not None:
        disk.begin(claim.job_id)


def _after(name: str, tell: Callable[[Any], None]) -> None:
    """Tell what a function has answered."""
    original = _find(name)

    @functools.wraps(original)
    def watched(*arguments: Any, **options: Any) -> Any:
        answer = original(*arguments, **options)
        tell(answer)
        return answer

    _replace(name, watched)


def _is_change(event: str, arguments: tuple[Any, ...]) -> bool:
    if event == "open":
        path, _mode, flags = arguments
        is_lock = str(path).endswith(".lock")
        return bool(flags & _WRITING) and not is_lock and path != os.devnull
    return event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "http.client.send")


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _find(name: str) -> Any:
    owner, attribute = _owner(name)
    return getattr(owner, attribute)


def _replace(name: str, value: Any) -> None:
    owner, attribute = _owner(name)
    setattr(owner, attribute, value)


def _owner(name: str) -> tuple[Any, str]:
    """What holds the last part of a dotted name: a module, or a class in one."""
    path, _, attribute = name.rpartition(".")
    try:
        return importlib.import_module(path), attribute
    except ModuleNotFoundError:
        module, _, owner = path.rpartition(".")
        return getattr(importlib.import_module(module), owner), attribute


if __name__ == "__main__":
    main()
