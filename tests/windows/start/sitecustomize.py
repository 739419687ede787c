"""Python reads this at its start: the service under test gets a fast worker and short times.

Only once it reads the agent's own modules: Windows gives a service little time to answer.
"""

from __future__ import annotations

import sys

_done: list[bool] = []


def _on_event(event: str, arguments: tuple[object, ...]) -> None:
    if event == "import" and arguments[0] == "lab_side.cli" and not _done:
        _done.append(True)
        from lab_side.worker import client
        from tests.support import launcher

        launcher.shorten(launcher._replace)
        client.COMMAND = (sys.executable, "-m", "tests.support.lab.fast_worker")


if "lab_side.service.windows_host" in sys.orig_argv:
    sys.addaudithook(_on_event)
