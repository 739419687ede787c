"""The agent's side of the worker: start it, call it, watch it, kill it.

The worker is killed when it makes no progress for a while (a hang) or takes too much memory, and
it ends automatically when the agent dies, because its standard input closes. After an error that
may have left it broken inside, the next call starts another one.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

import lab_side
import segrelay
from lab_side.computer.account import complete_environment, give_folders
from lab_side.log import current_log_context, log_event
from lab_side.settings.secrets import SECRET_VARIABLES
from lab_side.worker.log import pass_on
from lab_side.worker.protocol import (
    Call,
    EvaluateReply,
    EvaluateRequest,
    IdentifyReply,
    IdentifyRequest,
    InspectReply,
    InspectRequest,
    LoadReply,
    LoadRequest,
    Request,
    SegmentReply,
    SegmentRequest,
    error_from_line,
)
from segrelay.errors import AttemptFailedError, FixConfigurationError, SegRelayError
from segrelay.profiles import PROFILE_FILE
from segrelay.system.durable import disk_errors
from segrelay.system.system_limits import raise_if_limit

Progress = Callable[[str, float], None]
"""Called with the stage and the fraction of it that is done, 0..1."""

STOP_GRACE = 5.0
"""Seconds for an idle worker to end."""

LOOK_EVERY = 1.0
"""Seconds between two looks at the worker's memory during a call."""

IDLE_SHARE = 0.75
"""Of the memory limit: a worker that holds more between two jobs is restarted."""

_KILLED = -9
"""Exit code of a process that SIGKILL has ended, which this one did not send."""

BREAKING = ("gpu-error", "out-of-memory", "worker-error")
"""Codes of errors after which nobody knows what works inside: a broken GPU context stays so."""

COMMAND = (sys.executable, "-m", "lab_side.worker.server")

logger = logging.getLogger("segrelay.worker")

IMPORT_ROOTS = tuple(
    dict.fromkeys(str(Path(str(one.__file__)).resolve().parents[1]) for one in (lab_side, segrelay))
)
"""Where the worker finds the two packages, however this process has found them."""


@dataclass(frozen=True)
class _First:
    """A model as it was loaded first: results and heartbeats name that one."""

    model_sha256: str
    profile: bytes
    """``profile.json``, byte by byte."""

    def check(self, now: _First, name: str) -> None:
        """Raise FixConfigurationError where another one was loaded after a restart."""
        if now != self:
            raise FixConfigurationError(
                f"The profile {name} or its weights have changed since the agent started.",
                code="model-changed",
                remedy="Put the former files back, or start the agent again to serve the new ones.",
            )


class WorkerProcess:
    """One worker; calls wait for each other. Starts with the first call and after a death.

    Parameters
    ----------
    hang_seconds:
        It is killed after that long without a line.
    most_bytes:
        It is killed above this resident size.
    scratch:
        Where it keeps caches and temporary files if the account has no folder for them.
    """

    def __init__(
        self, *, hang_seconds: float, most_bytes: int, scratch: Path | None = None
    ) -> None:
        self._hang_seconds = hang_seconds
        self._most_bytes = most_bytes
        self._scratch = scratch
        self._looked_at = 0.0
        self._gpu_peak_bytes = 0
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._loads: dict[str, LoadRequest] = {}
        self._first: dict[str, _First] = {}
        self._loaded: dict[str, LoadReply] = {}
        self._calls = 0
        self._killed = threading.Event()
        self._may_quote = threading.Event()
        """From the first call on that names files with a patient's data."""
        self._turn = threading.Lock()

    @property
    def pid(self) -> int | None:
        """The worker's process id while it lives."""
        return None if self._process is None else self._process.pid

    @property
    def gpu_peak_bytes(self) -> int:
        """GPU memory that the last load or job took at most; 0 without a GPU."""
        return self._gpu_peak_bytes

    @property
    def size_bytes(self) -> int:
        """The worker's main memory; 0 where it does not run."""
        process = self._process
        if process is None:
            return 0
        try:
            return int(psutil.Process(process.pid).memory_info().rss)
        except (psutil.Error, OSError):
            return 0

    def load(self, request: LoadRequest) -> LoadReply:
        """Load a model; it is loaded again automatically after a restart of the worker.

        Raises
        ------
        FixConfigurationError
            The weights are missing, altered, unsafe or do not fit. After a restart of the
            worker any call may raise ``model-changed``: they are not those of the first load.
        AttemptFailedError
            The worker died or hung.
        """
        content = _read_profile(request)
        reply = self._note(self._request(request, _ignore))
        self._first[reply.profile] = _First(reply.model_sha256, content)
        self._loads[reply.profile] = request
        return reply

    def plan(self, profile: str, request: LoadRequest) -> None:
        """A model that does not load now: every process that is started from now on loads it."""
        self._loads[profile] = request

    @property
    def loaded(self) -> dict[str, LoadReply]:
        """Answer of the last load of each model, by profile; none that has never loaded."""
        return dict(self._loaded)

    def segment(self, request: SegmentRequest, progress: Progress) -> SegmentReply:
        """Segment one case; raises what the imaging raises, or AttemptFailedError."""
        reply = SegmentReply.model_validate(self._request(request, progress))
        self._gpu_peak_bytes = reply.gpu_peak_bytes
        return reply

    def evaluate(self, request: EvaluateRequest, progress: Progress) -> EvaluateReply:
        """Segment a case and compare it with its truth; raises what the imaging raises."""
        return EvaluateReply.model_validate(self._request(request, progress))

    def inspect(self, request: InspectRequest) -> InspectReply:
        """Describe a stored SEG."""
        return InspectReply.model_validate(self._request(request, _ignore))

    def identify(self, request: IdentifyRequest) -> IdentifyReply:
        """Find out what a weights file holds; raises what reading it raises."""
        return IdentifyReply.model_validate(self._request(request, _ignore))

    def make_ready(self) -> None:
        """Start again after :meth:`release`, with every model that was loaded.

        Raises
        ------
        FixConfigurationError, InferenceError, AttemptFailedError
            As :meth:`load`; another process may still hold the GPU's memory.
        """
        with self._turn:
            self._ensure_running()

    def renew(self) -> None:
        """The same in a new process: every network runs once; raises as :meth:`make_ready`."""
        with self._turn:
            self.close()
            self._ensure_running()

    def release(self) -> None:
        """Give the GPU back, unless it is at work now; the next call loads the models again."""
        if self._turn.acquire(blocking=False):
            try:
                self.close()
            finally:
                self._turn.release()

    def kill(self) -> None:
        """End the worker at once, also in the middle of a call (from any thread)."""
        self._killed.set()
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """End the worker: gently when idle, by force after a while."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError):
            _pipe(process.stdin).close()
        try:
            process.wait(STOP_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _pipe(process.stdout).close()

    def _request(self, request: Request, progress: Progress) -> Any:
        with self._turn:
            self._ensure_running()
            value = self._call(request, progress)
            if self.size_bytes > self._most_bytes * IDLE_SHARE:
                log_event(logger, logging.WARNING, "worker restarted: it held too much memory")
                self.close()
            return value

    def _ensure_running(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        self._killed.clear()
        self._start()
        try:
            for request in self._loads.values():
                self._load_again(request)
        except SegRelayError:
            # A worker that lacks a model must not be taken for a ready one.
            self.close()
            raise

    def _load_again(self, request: LoadRequest) -> None:
        content = _read_profile(request)
        reply = self._note(self._call(request, _ignore))
        now = _First(reply.model_sha256, content)
        self._first.setdefault(reply.profile, now).check(now, reply.profile)

    def _note(self, answer: Any) -> LoadReply:
        reply = LoadReply.model_validate(answer)
        self._loaded[reply.profile] = reply
        self._gpu_peak_bytes = reply.gpu_peak_bytes
        return reply

    def _environment(self) -> dict[str, str]:
        environment = {
            key: value for key, value in os.environ.items() if key not in SECRET_VARIABLES
        }
        environment["PYTHONPATH"] = os.pathsep.join(
            filter(None, [*IMPORT_ROOTS, environment.get("PYTHONPATH")])
        )
        complete_environment(environment)
        if self._scratch is not None:
            with disk_errors("The worker's folder cannot be made"):
                give_folders(environment, self._scratch)
        return environment

    def _start(self) -> None:
        environment = self._environment()
        self._lines, self._may_quote = queue.Queue(), threading.Event()
        try:
            # A process group of its own: Ctrl-C in a terminal must reach the agent alone.
            self._process = subprocess.Popen(  # noqa: S603 (a constant)
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="backslashreplace",
                env=environment,
                start_new_session=True,
            )
            for name, target, arguments in (
                ("worker-reader", _read_lines, (_pipe(self._process.stdout), self._lines)),
                ("worker-log", pass_on, (_pipe(self._process.stderr), self._may_quote)),
            ):
                threading.Thread(target=target, args=arguments, name=name, daemon=True).start()
        except (OSError, RuntimeError) as error:
            self._discard_unwatched()
            raise_if_limit(error, starts_process=True)
            raise AttemptFailedError(
                f"The worker process cannot be started ({type(error).__name__}).",
                code="worker-died",
                remedy="Look at the memory and the limits of this computer (ulimit -a); it is "
                "tried again automatically.",
            ) from error

    def _discard_unwatched(self) -> None:
        """End a process that was just started and whose output nobody reads."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                with contextlib.suppress(OSError):
                    _pipe(pipe).close()

    def _call(self, request: Request, progress: Progress) -> Any:
        self._calls += 1
        call = Call(id=self._calls, request=request, about=current_log_context())
        if not isinstance(request, (LoadRequest, IdentifyRequest)):
            self._may_quote.set()
        self._send(call)
        while True:
            line = self._next_line()
            if line.get("id") != call.id:
                continue
            if line["event"] == "progress":
                progress(str(line["stage"]), float(line["fraction"]))
            elif line["event"] == "done":
                return line["value"]
            else:
                error = error_from_line(line)
                if error.code in BREAKING:
                    self.close()
                raise error

    def _send(self, call: Call) -> None:
        process = self._process
        try:
            if process is None:
                raise BrokenPipeError
            _pipe(process.stdin).write(call.model_dump_json() + "\n")
            _pipe(process.stdin).flush()
        except OSError:
            raise self._death() from None

    def _next_line(self) -> dict[str, Any]:
        text = self._wait_for_line()
        if text is None:
            raise self._death()
        line = json.loads(text)
        if not isinstance(line, dict):
            raise self._death()
        return line

    def _wait_for_line(self) -> str | None:
        limit = time.monotonic() + self._hang_seconds
        while True:
            self._check_size()
            left = limit - time.monotonic()
            try:
                return self._lines.get(timeout=max(0.0, min(left, LOOK_EVERY)))
            except queue.Empty:
                if left > 0:
                    continue
            self._death()
            raise AttemptFailedError(
                f"The worker made no progress for {self._hang_seconds:.0f} s and was killed.",
                code="worker-hung",
            )

    def _check_size(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < LOOK_EVERY:
            return
        self._looked_at = now
        if self.size_bytes > self._most_bytes:
            self._death()
            raise AttemptFailedError(
                f"The worker used more than {self._most_bytes / 10**9:.1f} GB of memory and was "
                "killed.",
                code="worker-memory",
                remedy="Close other programs on the agent's computer, or raise worker_max_gb; it "
                "is tried again automatically.",
            )

    def _death(self) -> AttemptFailedError:
        killed = self._killed.is_set()
        process, self._process = self._process, None
        code = None
        if process is not None:
            process.kill()
            code = process.wait()
            _pipe(process.stdout).close()
            with contextlib.suppress(OSError):
                _pipe(process.stdin).close()
        if killed:
            return AttemptFailedError("The worker was stopped.", code="worker-stopped")
        if code == _KILLED:
            return AttemptFailedError(
                "The worker process was killed by the system (signal 9), as it is when memory "
                "runs out.",
                code="worker-died",
                remedy="Look at the kernel's messages (dmesg) and at the memory limit of the "
                "service or container; it is tried again automatically.",
            )
        return AttemptFailedError(
            f"The worker process ended by itself (exit code {code}).", code="worker-died"
        )


def _read_profile(request: LoadRequest) -> bytes:
    with contextlib.suppress(OSError):
        return (request.folder / PROFILE_FILE).read_bytes()
    return b""


def _read_lines(pipe: IO[str], lines: queue.Queue[str | None]) -> None:
    with contextlib.suppress(ValueError, OSError):
        for line in pipe:
            lines.put(line)
    lines.put(None)


def _pipe(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise BrokenPipeError
    return pipe


def _ignore(_stage: str, _fraction: float) -> None:
    """A progress that nobody watches."""
