"""``manage.py labseg submit | list | show | retry | cancel | sync | keygen | agent-token``."""

from __future__ import annotations

import argparse
import json
import logging
import math
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    OutputWrapper,
    no_translations,
)
from django.db import DatabaseError, InterfaceError, OperationalError, close_old_connections

from gcp_side.labseg import jobs
from gcp_side.labseg.api.serializers import JobDetailSerializer, JobSerializer
from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.errors import JobStateError
from gcp_side.labseg.jobs.freshness import as_sentence, is_kept_fresh, last_pass
from gcp_side.labseg.jobs.waiting import why_waiting
from gcp_side.labseg.management import agent_tokens
from gcp_side.labseg.management.console import Follower, in_full, in_words, table
from gcp_side.labseg.models import Job, State
from gcp_side.labseg.orthanc import client
from segrelay.errors import FixConfigurationError, SegRelayError, TransientError
from segrelay.signing import SigningKey
from segrelay.system.command_line import HelpfulParser
from segrelay.system.console import finish_output, prepare_output
from segrelay.system.stop_signals import stop_signals

logger = logging.getLogger(__name__)

EXIT_JOB_FAILED = EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_TRY_AGAIN = 75
EXIT_CONFIGURATION = 78
EXIT_INTERRUPTED = 130

WAIT_INTERVAL = 1.0
"""Seconds between two looks of ``submit --wait``."""

SYNC_INTERVAL = 5.0
LONGEST_PAUSE = 60.0
"""Seconds between two passes of ``sync --watch`` while they fail."""
LIST_LIMIT = 50

EXIT_CODES = """\
exit codes:
  0    done (with --wait: the job succeeded)
  1    the job ended without a segmentation (with --wait), or its state refuses the command
  2    the command line or the series are wrong, or there is no such job
  75   Orthanc, the queue or the database does not answer: try again later
  78   a setting is wrong: correct it first
  130  interrupted; a submitted job goes on
"""


class _Parser(HelpfulParser, CommandParser):
    """Of the command and its verbs."""


class Command(BaseCommand):
    """Segmentation jobs from the command line."""

    help = "Submit segmentation jobs to the lab, look after them, keep them up to date."
    # A wrong setting is reported by handle(), in one line and with its own exit code.
    requires_system_checks = ()

    def run_from_argv(self, argv: list[str]) -> None:
        """Run as a command of a terminal; whatever it is called from, its output is as ours."""
        prepare_output()
        self.stdout, self.stderr = OutputWrapper(sys.stdout), OutputWrapper(sys.stderr)
        self.stderr.style_func = self.style.ERROR
        super().run_from_argv(argv)
        code = finish_output(0)
        if code:
            sys.exit(code)

    def create_parser(self, prog_name: str, subcommand: str, **more: Any) -> CommandParser:
        """Django's, which also says what was probably meant."""
        parser = super().create_parser(prog_name, subcommand, **more)
        # Django makes its own class here, and asks for no other.
        parser.__class__ = _Parser
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        """One sub-command for each verb."""
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.epilog = EXIT_CODES
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

        def verb(
            run: Callable[[dict[str, Any]], None], text: str, *shared: CommandParser
        ) -> CommandParser:
            """A parser with the options of others, and the method that it leads to."""
            found = verbs.add_parser(
                run.__name__.lstrip("_").replace("_", "-"),
                help=text,
                parents=shared,
                epilog=EXIT_CODES,
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
            found.set_defaults(run=run)
            return found

        _add_submit(verb(self._submit, "submit a job", _CONFIRM, _WAIT, _JSON))
        _add_list(verb(self._list, "list jobs, newest first", _JSON))
        verb(self._show, "show one job and its history", _JOB, _JSON)
        again = verb(
            self._retry, "run an ended job again as a new one", _JOB, _CONFIRM, _WAIT, _JSON
        )
        again.add_argument(
            "--force", action="store_true", help="also when the job or its retry has succeeded"
        )
        verb(self._cancel, "call a job off", _JOB, _JSON)
        _add_sync(verb(self._sync, "read results and progress", _JSON))
        verb(self._keygen, "make a pair of keys for signing")
        tokens = verb(self._agent_token, "the agents' tokens for the queue that this site keeps")
        agent_tokens.add_arguments(tokens, _JSON)

    @no_translations
    def handle(self, *_: Any, **options: Any) -> None:
        """Run the verb; every known error becomes one line and an exit code."""
        try:
            options["run"](options)
        except SegRelayError as error:
            raise _command_error(error) from None
        except (DatabaseError, InterfaceError) as error:
            raise _database_error(error) from None
        except KeyboardInterrupt:
            raise CommandError("Interrupted.", returncode=EXIT_INTERRUPTED) from None

    def _submit(self, options: dict[str, Any]) -> None:
        submission = jobs.Submission(
            series_ids=tuple(options["series"]),
            profile=options["profile"],
            roles=None if options["roles"] is None else tuple(options["roles"]),
            priority=options["priority"],
            labels=None if options["labels"] is None else tuple(options["labels"]),
            confirm=options["confirm"],
        )
        self._answer(jobs.submit(submission, orthanc=client.connect()), options)

    def _retry(self, options: dict[str, Any]) -> None:
        again = jobs.retry(
            options["job"],
            orthanc=client.connect(),
            force=options["force"],
            confirm=options["confirm"],
        )
        if not again.is_new:
            self.stderr.write("It is being tried again already.", style_func=str)
        self._answer(again.job, options)

    def _cancel(self, options: dict[str, Any]) -> None:
        try:
            job = jobs.cancel(options["job"])
        except TransientError as error:
            job = jobs.find(options["job"])
            if not job.is_open or job.cancel_requested_at is None:
                raise
            raise CommandError(
                f"{error.message} Job {job.pk} will be cancelled once the queue answers. "
                "Remedy: none is needed if labseg sync runs; else give the command again.",
                returncode=EXIT_TRY_AGAIN,
            ) from None
        if options["json"]:
            self._print_json(JobSerializer(job).data)
        elif job.state == State.CANCELLED:
            self.stdout.write(f"{job.pk} cancelled")
        if job.state != State.CANCELLED:
            raise CommandError(
                f"Job {job.pk} had ended before: {in_words(job)}. Remedy: none; that stands.",
                returncode=EXIT_REFUSED,
            )

    def _keygen(self, _options: dict[str, Any]) -> None:
        key = SigningKey.new()
        self.stdout.write(f"SEGRELAY_SIGNING_KEY={key.text}  # secret: keep it on this server")
        self.stdout.write(f"public key: {key.public.text}")

    def _agent_token(self, options: dict[str, Any]) -> None:
        agent_tokens.run(options, out=self.stdout, notes=self.stderr)

    def _answer(self, job: Job, options: dict[str, Any]) -> None:
        """Print a job that has just been submitted, once it has ended if that was asked for."""
        job.refresh_from_db()
        if options["wait"]:
            self._wait_for(job, quiet=options["json"])
        if options["json"]:
            self._print_json(JobSerializer(job).data)
        elif options["wait"]:
            self.stdout.write(in_full(job))
        else:
            self.stdout.write(job.job_id)
        if options["wait"] and job.state != State.SUCCEEDED:
            reason = job.failure_reason or State(job.state).label
            raise CommandError(
                f"Job {job.job_id} {job.state}: {reason} Remedy: {job.failure_remedy or 'none.'}",
                returncode=EXIT_JOB_FAILED,
            )

    def _wait_for(self, job: Job, *, quiet: bool) -> None:
        follower = None if quiet else Follower(self.stderr)
        pause = threading.Event()
        while job.is_open:
            if follower is not None:
                follower.show(job, why_waiting(job))
            pause.wait(WAIT_INTERVAL)
            self._sync_or_warn()
            job.refresh_from_db()
        if follower is not None:
            follower.show(job, None)
            follower.close()

    def _list(self, options: dict[str, Any]) -> None:
        rows = Job.objects.all()
        if options["state"]:
            rows = rows.filter(state=options["state"])
        chosen = list(rows[: options["limit"]])
        if options["json"]:
            self._print_json(JobSerializer(chosen, many=True).data)
        elif chosen:
            self.stdout.write(table(chosen))
        else:
            self.stdout.write("No jobs.")

    def _show(self, options: dict[str, Any]) -> None:
        job = jobs.refresh(jobs.find(options["job"]))
        if options["json"]:
            self._print_json(JobDetailSerializer(job).data)
        else:
            self.stdout.write(in_full(job, why_waiting(job)))

    def _sync(self, options: dict[str, Any]) -> None:
        if options["check"]:
            self._check_sync()
        elif options["watch"]:
            self._watch(options["interval"], as_json=options["json"])
        else:
            self._report(jobs.sync_all(), as_json=options["json"])

    def _check_sync(self) -> None:
        last = last_pass()
        if not is_kept_fresh(last):
            raise CommandError(
                f"{as_sentence(last)} Remedy: run labseg sync --watch beside the site.",
                returncode=EXIT_REFUSED,
            )
        self.stdout.write("labseg sync runs.")

    def _watch(self, interval: float, *, as_json: bool) -> None:
        """Pass after pass until a signal; only a setting that was never right ends it."""
        with _stopped_by_signals() as stop:
            where = get_conf().bucket
            self.stderr.write(f"Watching {where} every {interval:g} s.", style_func=str)
            failures, has_worked = 0, False
            while not stop.is_set():
                close_old_connections()
                try:
                    report = jobs.sync_all()
                    if report.changed or report.reaped:
                        self._report(report, as_json=as_json)
                    failures, has_worked = 0, True
                except Exception as error:
                    if not has_worked and _is_final(error):
                        raise
                    failures += 1
                    self._tell_failure(error)
                stop.wait(max(interval, min(LONGEST_PAUSE, interval * 2.0**failures)))

    def _tell_failure(self, error: Exception) -> None:
        if isinstance(error, SegRelayError):
            self.stderr.write(error.message)
        elif _is_away(error):
            self.stderr.write(_in_one_line(error))
        elif isinstance(error, DatabaseError):
            # Its words may quote a value.
            self.stderr.write(f"The database refuses this pass ({type(error).__name__}).")
        else:
            logger.error("sync pass failed; the next one tries again", exc_info=error)

    def _sync_or_warn(self) -> None:
        """One pass; a bucket or a database that does not answer is reported and survived."""
        try:
            jobs.sync_all()
        except (TransientError, OperationalError, InterfaceError) as error:
            if not isinstance(error, TransientError) and not _is_away(error):
                raise
            self._tell_failure(error)

    def _report(self, report: jobs.SyncReport, *, as_json: bool) -> None:
        if as_json:
            self._print_json(asdict(report))
            return
        for job in Job.objects.filter(pk__in=report.changed).order_by("pk"):
            self.stdout.write(f"{job.job_id} {job.state}")
        for job_id in report.reaped:
            self.stdout.write(f"{job_id} taken back from a dead agent")
        self.stdout.write(f"{len(report.changed)} of {report.looked_at} open jobs changed")

    def _print_json(self, document: Any) -> None:
        self.stdout.write(json.dumps(document, ensure_ascii=False))


def _shared(*names: str, **options: Any) -> CommandParser:
    """An option of several verbs."""
    parser = CommandParser(add_help=False)
    parser.add_argument(*names, **options)
    return parser


_JOB = _shared("job", metavar="JOB", help="job id, as submit and list print it")
_CONFIRM = _shared(
    "--confirm",
    action="store_true",
    help="also when the series contradict the profile: you have looked at them",
)
_WAIT = _shared("--wait", action="store_true", help="follow the job to its end; show progress")
_JSON = _shared("--json", action="store_true", help="print JSON, one document a line")


def _add_submit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", help="model profile (default: the site's usual one)")
    parser.add_argument(
        "--series",
        nargs="+",
        required=True,
        metavar="ID",
        help="Orthanc series ids, in the order of the profile's roles, ID:INDEX for a volume of a "
        "series; or one series that holds all phases",
    )
    parser.add_argument(
        "--roles",
        nargs="+",
        metavar="ROLE",
        help="what each series is, in the same order (default: as configured for the profile)",
    )
    parser.add_argument(
        "--priority",
        type=int,
        choices=range(10),
        metavar="0..9",
        help="0 is served first (default: the site's usual one)",
    )
    parser.add_argument(
        "--labels",
        nargs="*",
        metavar="LABEL",
        help="only for an agent that has all of these; none after it: for any "
        "(default: the profile's usual ones)",
    )


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", choices=State.values, help="only jobs in this state")
    parser.add_argument(
        "--limit", type=_positive(int), default=LIST_LIMIT, help="at most (default: %(default)s)"
    )


def _add_sync(parser: argparse.ArgumentParser) -> None:
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--watch", action="store_true", help="go on until stopped")
    how.add_argument(
        "--check",
        action="store_true",
        help="read nothing; exit code 1 unless a pass ended within the last 5 minutes",
    )
    parser.add_argument(
        "--interval",
        type=_positive(float),
        default=SYNC_INTERVAL,
        metavar="S",
        help="seconds between two looks with --watch (default: %(default)s)",
    )


def _positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    def convert(text: str) -> float:
        value = kind(text)
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError("must be greater than 0")
        return value

    return convert


def _is_final(error: Exception) -> bool:
    """Whether no waiting helps, if no pass has worked yet: a wrong setting, missing tables.

    Later these are trouble of another server, or an upgrade that is under way.
    """
    if isinstance(error, DatabaseError | InterfaceError):
        return not _is_away(error)
    return isinstance(error, FixConfigurationError)


def _command_error(error: SegRelayError) -> CommandError:
    if isinstance(error, FixConfigurationError):
        code = EXIT_CONFIGURATION
    elif isinstance(error, TransientError):
        code = EXIT_TRY_AGAIN
    elif isinstance(error, JobStateError):
        code = EXIT_REFUSED
    else:
        code = EXIT_USAGE
    return CommandError(f"{error.message} Remedy: {error.remedy}", returncode=code)


def _database_error(error: Exception) -> CommandError:
    """The line and the exit code: whether to wait for the database or to make its tables."""
    if _is_away(error):
        return CommandError(
            f"{_in_one_line(error)} Remedy: see whether it runs and what DATABASES says, "
            "then give the command again.",
            returncode=EXIT_TRY_AGAIN,
        )
    return CommandError(
        f"The database cannot be used ({error}). Remedy: run manage.py migrate.",
        returncode=EXIT_CONFIGURATION,
    )


def _is_away(error: Exception) -> bool:
    """Whether the database could not be asked at all, or only was busy.

    SQLite reports a missing table in the same class; its words for it begin with "no such".
    """
    is_of_connection = isinstance(error, OperationalError | InterfaceError)
    return is_of_connection and not str(error).startswith("no such")


def _in_one_line(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return f"The database does not answer ({lines[0].strip()})."


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """An event that the signals which end a program set: a pass under way is finished first."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in stop_signals()}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
