"""``python -m infra.fake_gcs``: serve the fake until it is stopped."""

from __future__ import annotations

import signal
import threading

from infra.fake_gcs.server import FakeGcs
from segrelay.system.command_line import HelpfulParser


def main() -> None:
    """Serve, and print how to reach it."""
    parser = HelpfulParser(prog="python -m infra.fake_gcs", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="http port (default: a free one)")
    parser.add_argument("--tls", action="store_true", help="serve https as well, for gsutil")
    parser.add_argument("--tls-port", type=int, default=0, help="https port (default: a free one)")
    parser.add_argument(
        "--bucket", action="append", metavar="NAME", help="a bucket that exists (repeat it)"
    )
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    fake = FakeGcs(
        options.bucket or ["segrelay"],
        port=options.port,
        tls=options.tls,
        tls_port=options.tls_port,
    )
    with fake:
        print(f"export STORAGE_EMULATOR_HOST={fake.url}", flush=True)
        if options.tls:
            print(f"# https on port {fake.tls_port}, certificate {fake.certificate}", flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
