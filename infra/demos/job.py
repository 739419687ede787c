"""The demo: start Orthanc, the site and the agent, run one job, print what came out.

Started by ``infra/demo``, which makes the venv first. Exit code 0 only if every step and
every check passed; 78 where a setting is wrong; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NoReturn

from pydantic import SecretStr
from rich.console import Console

from infra.demos.model import PHANTOM_PROFILE, choose_profile, prepare_profile
from infra.demos.options import make_parser, out_folder
from infra.demos.queue import CloudQueue, Listing
from infra.demos.report import all_passed, listing_problem, print_table, rows
from infra.demos.running import RunningDemo, send
from infra.demos.starting import started_servers
from infra.demos.steps import OVERLAY, SEG_FILE, Demo, Stopwatch
from infra.demos.study import load_study, phantom_study
from infra.demos.watch import QueueStep
from infra.packages.debian import repository_root
from infra.servers.processes import exit_on_termination
from infra.servers.site_and_agent import Folders, fresh_folder
from segrelay.errors import FixConfigurationError, SegRelayError
from segrelay.orthanc import OrthancClient, OrthancSettings

LOG_WIDTH = 120
"""Characters in a line where no terminal says how wide it is."""

_WATCH_S = 1.0

_REAL_STUDY = (
    "This was a phantom. A real brain study (T1 before and after contrast, T2, FLAIR) or breast "
    "study (four phases) is segmented by: infra/demo --study PATH.zip|DIR"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run the demo, return the exit code."""
    options = make_parser().parse_args(arguments)
    console = Console(soft_wrap=True)
    if not console.is_terminal:
        console.width = LOG_WIDTH
    exit_on_termination()
    try:
        if options.send is not None:
            out = out_folder(options, repository_root())
            _print_as_is("\n".join(send(options.relative_to / options.send, out)), console)
            return 0
        with _prepared(options, console) as demo:
            return _run(demo, console, stay=not options.exit)
    except KeyboardInterrupt:
        console.print("Stopped; every process of the demo has ended.")
        return 128 + signal.SIGINT
    except SegRelayError as error:
        console.print(f"{error.message} {error.remedy}", style="red", markup=False)
        return 78 if isinstance(error, FixConfigurationError) else 1


@contextmanager
def _prepared(options: argparse.Namespace, console: Console) -> Iterator[Demo]:
    """A study, and all servers running; everything ends with the block."""
    out = out_folder(options, repository_root())
    fresh_folder(out, OVERLAY, SEG_FILE)
    logs = fresh_folder(out / "logs", "site.log", "agent.log", "gcs.log")
    watch = Stopwatch()
    with tempfile.TemporaryDirectory(prefix="segrelay-demo-") as temporary:
        state = Path(temporary)
        with watch.step("study made" if options.study is None else "study read"):
            if options.study is None:
                study = phantom_study(options.seed, state / "study")
            else:
                study = load_study(options.relative_to / options.study, state / "study")
        is_phantom = options.study is None
        name = options.profile or (PHANTOM_PROFILE if is_phantom else choose_profile(study))
        weights = options.relative_to / options.weights if options.weights else None
        profile, in_words = prepare_profile(name, weights, state / "profiles")
        console.print("Starting Orthanc, the site and the lab agent …")
        with ExitStack() as stack:
            with watch.step("start of the servers"):
                started = stack.enter_context(
                    started_servers(options.queue, profile.name, Folders(state, logs))
                )
            orthanc = started.orthanc
            settings = OrthancSettings(
                url=orthanc.url, user=orthanc.user, password=SecretStr(orthanc.password)
            )
            client = stack.enter_context(closing(OrthancClient(settings)))
            yield Demo(
                study,
                profile,
                in_words,
                client,
                started.servers,
                out,
                console,
                watch,
                started.queue,
            )


def _run(demo: Demo, console: Console, *, stay: bool) -> int:
    """Run the job, print the table; leave all running until Ctrl-C where ``stay``."""
    evidence = demo.run()
    table = rows(evidence)
    print_table(console, table)
    passed = all_passed(table)
    queue = demo.queue
    if queue is not None:
        _print_as_is("\n".join(queue.in_words), console)
    if isinstance(queue, CloudQueue) and queue.gsutil is not None and not stay:
        passed &= _print_listing(queue.list_with_gsutil(), evidence.queue_steps, console)
    console.print("Everything passed." if passed else "[bold red]Something failed.[/]")
    if demo.study.truth is not None:
        _print_as_is(_REAL_STUDY, console)
    if stay:
        _stay(demo, console)
    return 0 if passed else 1


def _print_listing(listing: Listing, steps: tuple[QueueStep, ...], console: Console) -> bool:
    """What gsutil printed; whether it shows the job as it ended."""
    _print_as_is(f"\n{listing.text}", console)
    problem = listing_problem(listing, steps)
    if problem:
        console.print(problem, style="red", markup=False)
    return not problem


def _stay(demo: Demo, console: Console) -> NoReturn:
    """Leave all running until Ctrl-C, or until a server ends unasked."""
    servers, orthanc = demo.servers, demo.client.transport.settings
    password = orthanc.password
    running = RunningDemo(
        site=servers.url,
        site_user=servers.user,
        site_password=servers.password,
        orthanc=orthanc.url,
        orthanc_user=orthanc.user,
        orthanc_password="" if password is None else password.get_secret_value(),
    )
    with running.written(demo.out):
        _print_as_is("\n".join(running.words(demo.out)), console)
        while True:
            servers.check_alive()
            time.sleep(_WATCH_S)


def _print_as_is(text: str, console: Console) -> None:
    """One long line stays one, to be copied."""
    console.print(text, markup=False, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
