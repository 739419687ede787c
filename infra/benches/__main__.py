"""``infra/bench NAME``: run one benchmark. Exit code 0 when it ran, whatever it measured."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from segrelay.system.command_line import HelpfulParser

NAMES = ("infer", "queue", "start", "transfer", "web", "whole")
"""Packages here whose ``bench`` has a ``BENCH``."""


def main(arguments: Sequence[str]) -> int:
    """Hand the rest of the command line to the bench that it names."""
    parser = HelpfulParser(prog="infra/bench", description=__doc__)
    parser.add_argument("name", choices=NAMES, help="what to measure")
    options = parser.parse_args(arguments[:1])
    bench = importlib.import_module(f"infra.benches.{options.name}.bench")
    code: int = bench.BENCH.main(arguments[1:])
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
