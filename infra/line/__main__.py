"""``python -m infra.line --target HOST:PORT --rtt-ms 30 --mbit 200 [--json FAULTS]``.

Prints ``{"port": N}``, then answers each line of JSON on its input with one (see
:mod:`infra.line.host`). Ends when its input closes, or on SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys

from pydantic import TypeAdapter, ValidationError

from infra.line.profile import LineFault, LineProfile, parse_target
from infra.line.proxy import Proxy, new_loop
from segrelay.errors import FixConfigurationError
from segrelay.parsing.validation import describe_first_error
from segrelay.system.command_line import HelpfulParser

_INPUT = 0


async def _serve(proxy: Proxy) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    _say({"port": await proxy.start()})
    rest = b""

    def read() -> None:
        nonlocal rest
        data = os.read(_INPUT, 1 << 16)
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            _say(proxy.obey(json.loads(line)))
        if not data:
            stop.set()

    loop.add_reader(_INPUT, read)
    await stop.wait()
    loop.remove_reader(_INPUT)
    await proxy.close()


def _say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = HelpfulParser(prog="python -m infra.line", description=__doc__)
    parser.add_argument("--target", required=True, help="a server on this machine's loopback")
    parser.add_argument("--rtt-ms", type=float, default=0.0, help="round trip")
    parser.add_argument("--mbit", type=float, help="each direction; default: no limit")
    parser.add_argument("--jitter-ms", type=float, default=0.0, help="up to this much more")
    parser.add_argument("--seed", type=int, default=LineProfile().seed, help="of the jitter")
    parser.add_argument("--json", default="[]", metavar="FAULTS", help="a list of faults")
    return parser


def main() -> int:
    """Carry connections until the input closes or a signal comes."""
    parser = _parser()
    options = parser.parse_args()
    try:
        line = LineProfile(
            rtt_ms=options.rtt_ms, mbit=options.mbit, jitter_ms=options.jitter_ms, seed=options.seed
        )
        faults = TypeAdapter(list[LineFault]).validate_json(options.json)
    except ValidationError as error:
        kind = LineProfile if error.title == LineProfile.__name__ else list[LineFault]
        parser.error(describe_first_error(error, kind))
    try:
        proxy = Proxy(parse_target(options.target), line, faults)
    except FixConfigurationError as error:
        sys.stderr.write(f"{error.message} {error.remedy}\n")
        return 78
    loop = new_loop()
    try:
        loop.run_until_complete(_serve(proxy))
    finally:
        loop.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
