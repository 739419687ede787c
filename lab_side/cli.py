"""``lab-agent``: the command of the lab's computer.

Exit codes: 0 done or stopped; 1 the segmentation failed for good, or the job is in a state that
refuses the command; 2 wrong usage, or a job that nobody knows; 70 a defect in the agent; 75 not
now (Orthanc or the queue is away, a SEG waits after a failed delivery, the agent id is in
use): try again; 78 a setting is wrong: starting again does not help.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from lab_side import __version__
from lab_side.agent.folders import close_home
from lab_side.commands import (
    control,
    doctor,
    evaluate,
    keygen,
    logs,
    outbox,
    profile,
    queue,
    service,
    status,
)
from lab_side.commands.console import (
    EXIT_CONFIG,
    EXIT_DEFECT,
    EXIT_FAILED,
    EXIT_NOT_NOW,
    EXIT_OK,
    EXIT_USAGE,
    add_json,
    write,
    write_json,
)
from lab_side.commands.setup import command as setup
from lab_side.completion import complete, complete_profiles
from lab_side.computer.account import complete_environment
from lab_side.log import configure_logging, log_error, log_event
from lab_side.log_file import keep_log
from lab_side.settings.config import AgentConfig, ModelConfig
from lab_side.settings.loading import load_config
from lab_side.settings.settings_file import WHERE_SETTINGS_ARE, find_settings
from segrelay.errors import (
    FixConfigurationError,
    LimitReachedError,
    ManifestRejectedError,
    PermanentError,
    QueueConflictError,
    SegRelayError,
    TransientError,
)
from segrelay.queue.operator import JobUnknownError
from segrelay.system.command_line import HelpfulParser
from segrelay.system.console import finish_output, prepare_output, say_error
from segrelay.system.private_files import private_files
from segrelay.system.stop_signals import stop_signals
from segrelay.system.system_limits import raise_open_files_limit, reached_limit

if TYPE_CHECKING:
    from lab_side.agent.agent import Agent
    from lab_side.service.notify import Supervisor

logger = logging.getLogger("segrelay.cli")

FOR_OTHERS = ("setup", "service", "profile", "keygen")
"""Commands that root runs for the service's account: what holds a secret they close themselves.
What the others make is for the account alone that runs them."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script; ends the process with its exit code."""
    prepare_output()
    complete_environment()
    raise_open_files_limit()
    if not sys.warnoptions and not {"-v", "--verbose"} & set(sys.argv[1:]):
        # Libraries warn of what no user of this program can change.
        warnings.simplefilter("ignore")
    try:
        code = run(arguments)
    except SystemExit as end:
        # Of argparse: help, or wrong usage.
        code = end.code if isinstance(end.code, int) else EXIT_OK
    sys.exit(finish_output(code))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = _parser()
    complete(parser)
    options = parser.parse_args(arguments)
    configure_logging(options.log, verbose=options.verbose)
    if options.verbose:
        say_error(f"settings: {find_settings(options.config).in_words()}")
    try:
        with contextlib.nullcontext() if options.name in FOR_OTHERS else private_files():
            return int(options.command(options))
    except SegRelayError as error:
        _report(error)
        return exit_code(error)
    except KeyboardInterrupt:
        return EXIT_NOT_NOW
    except Exception as error:
        known = known_cause(error)
        if known is not None:
            _report(known)
            return exit_code(known)
        say_error(
            f"error: unexpected {type(error).__name__} at {place(error)}; please report this line"
        )
        return EXIT_DEFECT


def known_cause(error: Exception) -> SegRelayError | None:
    """The error that an unexpected one is where the computer is its cause; None for a defect."""
    limit = reached_limit(error)
    if limit is not None:
        return LimitReachedError(limit.message, remedy=limit.remedy)
    if isinstance(error, FileNotFoundError) and not _has_working_folder():
        return FixConfigurationError(
            "The folder in which this command was started does not exist any more.",
            remedy="Go to another folder (cd ~), and run it there.",
        )
    if isinstance(error, UnicodeEncodeError) and error.encoding == sys.getfilesystemencoding():
        return FixConfigurationError(
            f"This account's locale ({error.encoding}) cannot write a name that is needed.",
            code="locale",
            remedy="Set LANG=C.UTF-8, or PYTHONUTF8=1.",
        )
    return None


def _has_working_folder() -> bool:
    try:
        return bool(os.getcwd())
    except OSError:
        return False


def exit_code(error: SegRelayError) -> int:
    """Return the exit code of an error."""
    if isinstance(error, FixConfigurationError):
        return EXIT_CONFIG
    if isinstance(error, (ManifestRejectedError, JobUnknownError)):
        return EXIT_USAGE
    if isinstance(error, PermanentError):
        return EXIT_FAILED
    if isinstance(error, (TransientError, QueueConflictError)):
        return EXIT_NOT_NOW
    return EXIT_DEFECT


def _parser() -> HelpfulParser:
    """Every command with its options."""
    parser = HelpfulParser(
        prog="lab-agent",
        description="Segments tumours in MRI on this computer, for a site that cannot.",
        epilog="Exit codes: 0 done, 1 failed, 2 usage, 70 defect, 75 not now, 78 configuration.",
    )
    parser.add_argument("--version", action="version", version=f"lab-agent {__version__}")
    _add_common(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="name")
    command = commands.add_parser("run", help="serve the queue until stopped")
    command.set_defaults(command=_serve, until_idle=False)
    command = commands.add_parser("once", help="serve what waits in the queue now, then stop")
    command.set_defaults(command=_serve, until_idle=True)
    command = commands.add_parser("segment", help="segment series by hand, without the queue")
    command.add_argument(
        "--series-ids",
        nargs="+",
        required=True,
        metavar="ID",
        help="Orthanc ids of the series, in the order of the profile's inputs; or of one that "
        "holds all phases. ID:0 is the first volume of a series, ID:1 the second",
    )
    complete_profiles(
        command.add_argument("--profile", help="model profile (default: the first configured)")
    )
    command.add_argument(
        "--confirm",
        action="store_true",
        help="also where the series name another body region than the profile's",
    )
    add_json(command)
    command.set_defaults(command=_segment)
    setup.add_to(commands)
    status.add_to(commands)
    control.add_to(commands)
    logs.add_to(commands)
    outbox.add_to(commands)
    queue.add_to(commands)
    doctor.add_to(commands)
    keygen.add_to(commands)
    profile.add_to(commands)
    evaluate.add_to(commands)
    service.add_to(commands)
    _let_common_follow(parser)
    return parser


def _add_common(parser: argparse.ArgumentParser, *, is_command: bool = False) -> None:
    """Options of every command; on a command they are not shown, and have no default."""
    options = [
        parser.add_argument("--config", type=Path, help=f"TOML file, {WHERE_SETTINGS_ARE}"),
        parser.add_argument(
            "--log",
            choices=("auto", "json", "human"),
            default="auto",
            help="log lines for machines or people (auto: by terminal)",
        ),
        parser.add_argument(
            *("-v", "--verbose"),
            action="store_true",
            help="show which settings file is read, and what libraries warn of",
        ),
    ]
    for option in options if is_command else ():
        option.default = option.help = argparse.SUPPRESS


def _let_common_follow(parser: argparse.ArgumentParser) -> None:
    """``lab-agent doctor --config FILE`` is ``lab-agent --config FILE doctor``."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _add_common(command, is_command=True)
                _let_common_follow(command)


def _serve(options: argparse.Namespace) -> int:
    config = load_config(options.config)
    with end_in_the_log():
        agent = open_agent(config)

        def on_signal(_number: int, _frame: FrameType | None) -> None:
            agent.stop()

        for number in stop_signals():
            signal.signal(number, on_signal)
        agent.run(until_idle=options.until_idle)
    has_more = agent.waiting or agent.is_paused or agent.leaves_jobs
    return EXIT_NOT_NOW if options.until_idle and has_more else EXIT_OK


def open_agent(config: AgentConfig, supervisor: Supervisor | None = None) -> Agent:
    """An agent that is not started yet, and whose lines are kept.

    Raises
    ------
    FixConfigurationError
        A setting is wrong.
    """
    from lab_side.agent.build import build_agent
    from lab_side.queue_access import open_queue

    if not config.bucket:
        raise FixConfigurationError(
            "No queue is configured.",
            code="bucket-address",
            remedy="Set bucket in the TOML file, or SEGRELAY_BUCKET.",
        )
    close_home(config)
    keep_log(config)
    with end_in_the_log():
        return build_agent(config, open_queue(config), supervisor)


@contextlib.contextmanager
def end_in_the_log() -> Iterator[None]:
    """Log why the agent has ended: its standard error may go nowhere."""
    try:
        yield
    except SegRelayError as error:
        log_error(logger, logging.ERROR, "ended", error, exit_code=exit_code(error))
        raise
    except Exception as error:
        known = known_cause(error)
        if known is not None:
            log_error(logger, logging.ERROR, "ended", known, exit_code=exit_code(known))
            raise known from error
        kind, where = type(error).__name__, place(error)
        log_event(logger, logging.CRITICAL, "ended", kind=kind, where=where, exit_code=EXIT_DEFECT)
        raise


def _segment(options: argparse.Namespace) -> int:
    from lab_side.agent.by_hand.manual import segment_by_hand
    from lab_side.progress import progress_bar

    config = load_config(options.config)
    logging.getLogger("segrelay").setLevel(logging.WARNING)
    model = _model(config, options.profile)
    config = config.model_copy(update={"models": (model,)})
    close_home(config)
    with progress_bar() as progress:
        result = segment_by_hand(
            config, model, options.series_ids, progress, confirm=options.confirm
        )
    if options.json:
        document = {
            "seg": result.seg,
            "report": result.report,
            "tumour_found": result.tumour_found,
            "measurements": result.measurements,
            "warnings": result.warnings,
            "stage_seconds": result.stage_seconds,
            "already_stored": result.already_stored,
        }
        write_json(document)
        return EXIT_OK
    write(f"SEG instance: {result.seg.orthanc_id}")
    if result.report is not None:
        write(f"SR instance:  {result.report.orthanc_id}")
    write(f"Tumour:       {'yes' if result.tumour_found else 'no'}")
    for item in result.measurements:
        write(f"Volume:       {item.volume_ml:.2f} ml ({item.label}, {item.voxels} voxels)")
    if result.already_stored:
        write("Note:         Orthanc had this SEG from an earlier run; it was kept.")
    for warning in result.warnings:
        write(f"Warning:      {warning}")
    return EXIT_OK


def _model(config: AgentConfig, profile: str | None) -> ModelConfig:
    if profile is None:
        return config.models[0]
    for model in config.models:
        if model.profile == profile:
            return model
    return ModelConfig(profile=profile)


def place(error: Exception) -> str:
    """Return where an unexpected error was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"


def _report(error: SegRelayError) -> None:
    say_error(f"error: {error.message} [{error.code}]\nremedy: {error.remedy}")


if __name__ == "__main__":
    main()
