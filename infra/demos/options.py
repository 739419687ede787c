"""The command line of ``infra/demo``; read before anything is installed, so it needs only Python.

python3 -m infra.demos.options …     say what is wrong with these options, or nothing
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from segrelay.system.command_line import HelpfulParser

DEFAULT_SEED = 20_260_302
"""In none of the ranges of ``infra.training.cases``: the network has never seen this phantom."""

OUT = "demo-output"
"""Where it writes, below the repository, unless ``--out`` says otherwise."""


def make_parser() -> argparse.ArgumentParser:
    """Every option, with its help."""
    parser = HelpfulParser(
        prog="infra/demo", description="Run one job through Orthanc, Django and the lab agent."
    )
    parser.add_argument("--exit", action="store_true", help="stop everything after the table")
    parser.add_argument(
        "--send",
        type=Path,
        metavar="STUDY",
        help="send this zip or folder to the Orthanc of a demo that runs already, and no more",
    )
    parser.add_argument(
        "--queue",
        choices=("local", "site", "redis", "gcs"),
        default="local",
        help="a directory (default), the site's own database and a token for the agent, a Redis, "
        "or a fake of Google Cloud Storage with the real client",
    )
    parser.add_argument("--study", type=Path, help="zip or folder of one study; default: a phantom")
    parser.add_argument(
        "--profile",
        help="model profile; default: demo for a phantom, else the one that fits the study",
    )
    parser.add_argument(
        "--weights", type=Path, help="weights file; random ones where the profile has none"
    )
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="which phantom")
    parser.add_argument("--out", type=Path, help=f"output folder (default: {OUT})")
    # Paths on the command line are those of the caller's folder, not of the repository.
    parser.add_argument("--relative-to", type=Path, default=Path.cwd(), help=argparse.SUPPRESS)
    return parser


def out_folder(options: argparse.Namespace, repository: Path) -> Path:
    """Where the demo of these options writes."""
    return Path(options.relative_to / options.out) if options.out else repository / OUT


if __name__ == "__main__":
    make_parser().parse_args()
    sys.exit(0)
