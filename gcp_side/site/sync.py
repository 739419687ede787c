"""``labseg sync --watch`` beside the site: ``python -m gcp_side.site.sync``.

:mod:`gcp_side.site.gunicorn` starts it. A process of its own, so that a slow queue keeps no page
waiting; it starts the command again whenever that has ended, and ends with its parent.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

from segrelay import retry
from segrelay.system.stop_signals import stop_signals

COMMAND = (sys.executable, "-m", "django", "labseg", "sync", "--watch")

LONG_RUN = 60.0
"""Seconds; one that ran for longer had started well."""

STOP_LIMIT = 15.0
"""Seconds in which the command ends the pass that is under way."""

_LOOK_EVERY = 0.5


def main() -> int:
    """Until SIGTERM, SIGINT or SIGHUP, or the parent's end."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gcp_side.site.settings")
    parent, stop = os.getppid(), threading.Event()
    for number in stop_signals():
        signal.signal(number, lambda *_: stop.set())

    def goes_on(seconds: float) -> bool:
        return not stop.wait(seconds) and os.getppid() == parent

    quick_ends = 0
    while not stop.is_set():
        started = time.monotonic()
        command = subprocess.Popen(COMMAND, stdin=subprocess.DEVNULL)  # noqa: S603 (a constant)
        while command.poll() is None:
            if not goes_on(_LOOK_EVERY):
                _end(command)
                return 0
        has_run_long = time.monotonic() - started > LONG_RUN
        quick_ends = 0 if has_run_long else quick_ends + 1
        pause = retry.SYNC_PROCESS.pause(quick_ends)
        sys.stderr.write(f"labseg sync ended ({command.returncode}); again in {pause:g} s.\n")
        until = time.monotonic() + pause
        while time.monotonic() < until:
            if not goes_on(_LOOK_EVERY):
                return 0
    return 0


def _end(command: subprocess.Popen[bytes]) -> None:
    command.terminate()
    try:
        command.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        # A pass that is cut off is made good by the next one.
        command.kill()
        command.wait()


if __name__ == "__main__":
    raise SystemExit(main())
