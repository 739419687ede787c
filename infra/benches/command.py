"""What the commands of all benches have in common: options, folder, output, exit code."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.packages.debian import repository_root
from infra.servers.processes import exit_on_termination
from segrelay.errors import SegRelayError
from segrelay.system.command_line import HelpfulParser

Report = dict[str, Any]
"""Plain JSON values."""


def make_parser(name: str, description: str, *, seed: int) -> argparse.ArgumentParser:
    """With the options that every bench has."""
    parser = HelpfulParser(prog=f"infra/bench {name}", description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seed", type=int, default=seed)
    parser.add_argument("--no-peers", action="store_true", help="leave out others' tools")
    parser.add_argument(
        "--dir",
        type=Path,
        default=repository_root() / ".cache",
        help="folder on the disk to measure (default: .cache)",
    )
    return parser


def run(
    name: str,
    options: argparse.Namespace,
    measure: Callable[[Path], Report],
    print_report: Callable[[Report], None],
) -> int:
    """Measure in a new folder and print; the exit code says whether it ran, not how fast."""
    exit_on_termination()
    options.dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-", dir=options.dir) as folder:
        try:
            report = measure(Path(folder))
        except SegRelayError as error:
            sys.stderr.write(f"{error.message} {error.remedy}\n")
            return 78
        # Before the files are removed, which may be hundreds of thousands and take a while.
        if options.json:
            print(json.dumps(report, indent=1), flush=True)
        else:
            print_report(report)
    return 0


def heading(name: str, seed: int) -> Report:
    """How a report begins."""
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return {"bench": name, "date": date, "seed": seed}
