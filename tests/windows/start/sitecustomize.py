"""Python reads this at its start: the service under test gets a fast worker and short times."""

from __future__ import annotations

import sys

if "lab_side.service.windows_host" in sys.orig_argv:
    from lab_side.worker import client
    from tests.support import launcher

    launcher.shorten(launcher._replace)
    client.COMMAND = (sys.executable, "-m", "tests.support.fast_worker")
