"""Start of ``lab-agent``: an interrupt while its modules are loaded ends it without a trace."""

from __future__ import annotations

import signal


def main() -> None:
    """Entry point of the console script; ends the process with its exit code."""
    # Ignored where the program was started in the background: it is left so.
    is_plain = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_plain:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from lab_side import cli

    if is_plain:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    cli.main()
