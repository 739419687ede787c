"""The signals that ask a program to end."""

from __future__ import annotations

import signal


def stop_signals() -> list[signal.Signals]:
    """Ctrl-C, what a service manager sends, and where there is one that of a lost terminal.

    A terminal that closes sends SIGHUP; under ``nohup`` it is ignored, and is left so.
    """
    found = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        found.append(hangup)
    return found
