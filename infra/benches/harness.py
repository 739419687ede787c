"""How every bench runs: its options, its phases on one scene, and its report.

A contender is one way to do a task. Contenders are measured in interleaved rounds
(:mod:`infra.benches.rounds`), in processes of their own where imports, memory and connections
count (:mod:`infra.benches.child`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from rich.console import RenderableType

from infra.benches.machine import describe_machine, load
from infra.benches.report import Expected, as_expected, print_report, step
from infra.packages.debian import repository_root
from infra.servers.processes import exit_on_termination
from segrelay.errors import SegRelayError
from segrelay.system.command_line import HelpfulParser

Report = dict[str, Any]
"""Plain JSON values."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured; each bench adds fields of its own."""

    seed: int
    rounds: int = 1
    """Runs of each contender, in a new order each round."""
    peers: tuple[str, ...] = ()
    """Others' tools that take part."""

    def rng(self, phase: str) -> random.Random:
        """Random numbers of one phase: phases may be left out or run at once."""
        return random.Random(f"{self.seed} {phase}")  # noqa: S311

    def as_json(self) -> Report:
        """What the report says of it."""
        return {name: value for name, value in vars(self).items() if name != "seed"}


P = TypeVar("P", bound=Plan)


class Scene(contextlib.ExitStack, Generic[P]):
    """What all phases of a run use; what is entered in it ends with its block."""

    def __init__(self, plan: P, folder: Path) -> None:
        super().__init__()
        self.plan = plan
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def new_folder(self) -> Path:
        """An empty one, removed with the run.

        For half a minute ext4 is slow to make files after others were deleted, and the next run
        would pay for the last one's.
        """
        return Path(tempfile.mkdtemp(dir=self.folder))


S = TypeVar("S", bound=Scene[Any])


@dataclass(frozen=True, kw_only=True)
class Bench(Generic[P, S]):
    """One bench: its name, plan, scene, phases and tables."""

    name: str
    description: str
    seed: int
    plan: Callable[..., P]
    """Called with ``seed``, ``peers`` and the values of ``options``."""
    options: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    """Argument of ``plan`` -> its default and the help of its option."""
    quick: Mapping[str, Any] = field(default_factory=dict)
    """What ``--quick`` changes in the plan; empty: no such option."""
    peers: tuple[str, ...] = ()
    scene: Callable[[P, Path], contextlib.AbstractContextManager[S]]
    phases: Mapping[str, Callable[[S], Report]]
    """Each returns what it adds to the report: its headline figures, and the rest under a key."""
    summary: Callable[[Report], Report] = lambda _: {}
    """Headline figures over several phases."""
    expected: Expected
    also_shown: Sequence[str] = ()
    """Headline figures of which nothing is expected."""
    tables: Callable[[Report], Iterable[RenderableType]]

    def main(self, arguments: Sequence[str]) -> int:
        """Measure in a new folder and print; the exit code says whether it ran, not how fast."""
        options = self._parser().parse_args(arguments)
        plan = self._plan(options)
        exit_on_termination()
        options.dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"bench-{self.name}-", dir=options.dir) as folder:
            try:
                report = self.measure(plan, Path(folder), options.only or ())
            except SegRelayError as error:
                sys.stderr.write(f"{error.message} {error.remedy}\n")
                return 78
            # Before the files are removed, which may be hundreds of thousands and take a while.
            if options.json:
                print(json.dumps(report, indent=1), flush=True)
            else:
                print_report(report, self.also_shown, self.tables(report))
        return 0

    def measure(self, plan: P, folder: Path, only: Sequence[str] = ()) -> Report:
        """Run the phases in ``folder``, or ``only`` some of them; returns the report."""
        machine = describe_machine(folder)
        measured: Report = {}
        with self.scene(plan, folder) as scene:
            for name, phase in self.phases.items():
                if only and name not in only:
                    continue
                with step(name):
                    measured |= phase(scene)
        machine["load_after"] = load()
        measured |= self.summary(measured)
        return {
            "bench": self.name,
            "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "seed": plan.seed,
            "plan": plan.as_json(),
            "machine": machine,
            "as_expected": as_expected(self.expected, measured),
            **measured,
        }

    def _parser(self) -> argparse.ArgumentParser:
        parser = HelpfulParser(prog=f"infra/bench {self.name}", description=self.description)
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument("--seed", type=int, default=self.seed)
        parser.add_argument("--no-peers", action="store_true", help="leave out others' tools")
        parser.add_argument(
            "--dir",
            type=Path,
            default=repository_root() / ".cache",
            help="folder on the disk to measure (default: .cache)",
        )
        for name, (default, text) in self.options.items():
            option = f"--{name.replace('_', '-')}"
            text = f"{text} (default: {default:g})"
            parser.add_argument(option, type=type(default), default=default, help=text)
        parser.add_argument(
            "--only",
            action="append",
            choices=list(self.phases),
            metavar="PHASE",
            help=f"measure this part alone; may be repeated: {', '.join(self.phases)}",
        )
        if self.quick:
            text = "small inputs, one round: to see it run, not for figures"
            parser.add_argument("--quick", action="store_true", help=text)
        return parser

    def _plan(self, options: argparse.Namespace) -> P:
        values = {name: getattr(options, name) for name in self.options}
        if self.quick and options.quick:
            values |= self.quick
        peers = () if options.no_peers else self.peers
        return self.plan(seed=options.seed, peers=peers, **values)
