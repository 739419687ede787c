"""``lab-agent doctor``: what is wrong here, and what to do about it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lab_side.commands.console import EXIT_CONFIG, EXIT_NOT_NOW, EXIT_OK, add_json, write_json
from lab_side.doctor.clock import judge_clock
from lab_side.doctor.finding import Finding, Verdict, failed
from lab_side.doctor.orthanc import examine_orthanc
from lab_side.doctor.queue import (
    check_account,
    check_emulator,
    check_promises,
    check_reached,
    check_unusable,
)
from lab_side.doctor.rights import RightsWalk
from lab_side.queue_access import open_store
from lab_side.settings.config import AgentConfig
from lab_side.settings.loading import (
    has_agent,
    has_settings,
    load_config,
    load_orthanc_settings,
    load_queue_address,
    load_queue_config,
)
from lab_side.settings.settings_file import find_settings
from lab_side.settings.sources import misspelt_variables, no_settings
from segrelay.bucket import Bucket, open_bucket
from segrelay.bucket.address import RedisAddress, SiteAddress, parse_address
from segrelay.errors import SegRelayError

if TYPE_CHECKING:
    from rich.console import Console

    from lab_side.conformance import RowResult
    from segrelay.bucket.gcs import GcsBucket


UNTRIED = (
    "The table was made from Google's documentation and is untried on the real service until "
    "somebody has run it there."
)

TRIAL_SECONDS = 5.0
"""For all tries of one operation of the queue: there are many, and somebody waits."""

_CONFORMANCE = "conformance"

_COLOURS = {
    Verdict.OK: "green",
    Verdict.WARNING: "yellow",
    Verdict.FAILED: "bold red",
    Verdict.NOT_KNOWN: "cyan",
}


def add_to(commands: Any) -> None:
    """Add the command to the parser of ``lab-agent``."""
    command = commands.add_parser(
        "doctor", help="check settings, queue, Orthanc and this computer, and say what to do"
    )
    command.add_argument(
        "--conformance",
        action="store_true",
        help="try on the queue every request that its store must refuse (a minute)",
    )
    command.add_argument(
        "--write",
        action="store_true",
        help="also store a tiny instance in Orthanc, and delete it again",
    )
    command.add_argument(
        "--quick", action="store_true", help="do not run the models (on a GPU or CPU)"
    )
    add_json(command)
    command.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the checks; 0 without a failure, 75 if all failures may pass, else 78."""
    report = Report(as_json=options.json)
    if not _check_settings(report, options):
        return report.end()
    config = _check_configuration(report, options)
    bucket = _check_queue(report, options)
    _check_orthanc(report, options)
    if config is not None:
        from lab_side.doctor.computer import check_agent, check_service, examine_computer

        for finding in examine_computer(config, quick=options.quick):
            report.add(finding)
        report.add(check_service(config))
        if bucket is not None:
            report.add(check_agent(bucket, config))
    return report.end()


def _check_settings(report: Report, options: argparse.Namespace) -> bool:
    """Check which file is read; False where nothing else can be checked."""
    for name, meant in misspelt_variables().items():
        report.add(
            Finding.warning(
                "variables",
                f"{name} is not a known variable, and nothing reads it",
                f"Did you mean {meant}?",
            )
        )
    check = "settings"
    file = find_settings(options.config)
    try:
        if not has_settings(options.config):
            raise no_settings(file, "bucket")
    except SegRelayError as error:
        report.add(failed(check, error))
        return False
    detail = file.in_words() if file.path is not None else "from the environment alone"
    report.add(Finding.ok(check, detail))
    return True


def _check_configuration(report: Report, options: argparse.Namespace) -> AgentConfig | None:
    """The agent's settings; None where they are wrong, or no agent is configured here."""
    check = "configuration"
    try:
        if not has_agent(options.config):
            detail = "no work_dir is set, so no agent is here: only queue and Orthanc are looked at"
            report.add(Finding.not_known(check, detail))
            return None
        config = load_config(options.config)
        config.load_profiles()
    except SegRelayError as error:
        report.add(failed(check, error))
        return None
    detail = f"agent {config.agent_id}, profiles {', '.join(m.profile for m in config.models)}"
    report.add(Finding.ok(check, detail))
    return config


def _check_queue(report: Report, options: argparse.Namespace) -> Bucket | None:
    """The queue, where it can be used."""
    try:
        address = load_queue_address(options.config)
        agent = ""
        if isinstance(parse_address(address), SiteAddress | RedisAddress):
            queue = load_queue_config(options.config)
            agent, bucket = queue.agent_id, open_store(queue, deadline=TRIAL_SECONDS)
        else:
            bucket = open_bucket(address)
    except SegRelayError as error:
        report.add(check_emulator(os.environ))
        report.add(failed("queue address", error))
        return None
    for finding in examine_queue(bucket, address, agent):
        report.add(finding)
    if options.conformance:
        _conform(report, bucket, address)
    return bucket


def _check_orthanc(report: Report, options: argparse.Namespace) -> None:
    """Nothing where no Orthanc is configured: an operator of the queue alone has none."""
    try:
        settings = load_orthanc_settings(options.config)
    except SegRelayError as error:
        if not report.has_told(error):
            report.add(failed("Orthanc settings", error))
        return
    if settings is not None:
        for finding in examine_orthanc(settings, write=options.write):
            report.add(finding)


def examine_queue(bucket: Bucket, address: str, agent: str = "") -> Iterator[Finding]:
    """Every check of the queue; nothing more once it is not reached.

    ``agent``: who is let in, by a token or password, where the queue needs one.
    """
    cloud = _as_cloud(bucket, address)
    yield check_emulator(os.environ)
    if cloud is not None:
        yield check_account(cloud.client)
    reached = check_reached(bucket)
    yield reached
    if reached.verdict is Verdict.FAILED:
        return
    if agent:
        yield from _examine_server(bucket, address, agent)
    walk = RightsWalk(bucket)
    yield from walk.run()
    yield judge_clock("clock of the queue", walk.clock_offset_s, "the queue's store")
    yield from check_promises(bucket)
    yield check_unusable(bucket)
    if cloud is not None:
        from lab_side.doctor.settings import examine_settings

        yield from examine_settings(cloud.client, cloud.bucket_name, cloud.prefix)


def _examine_server(bucket: Bucket, address: str, agent: str) -> Iterator[Finding]:
    """What only a queue at a site or in a Redis has."""
    # Imported here: another queue needs neither client.
    if isinstance(parse_address(address), SiteAddress):
        from lab_side.doctor.site import examine_site
        from segrelay.bucket.site import SiteBucket

        if isinstance(bucket, SiteBucket):
            yield from examine_site(bucket, agent)
        return
    from lab_side.doctor.redis import examine_redis
    from segrelay.bucket.redis import RedisBucket

    if isinstance(bucket, RedisBucket):
        yield from examine_redis(bucket)


def _conform(report: Report, bucket: Bucket, address: str) -> None:
    if report.has_failed:
        detail = "not tried: fix the failures above first"
        report.add(Finding.not_known(_CONFORMANCE, detail))
        return
    from lab_side.conformance import open_probe, try_promises

    results = [report.add_row(result) for result in try_promises(bucket)]
    cloud = _as_cloud(bucket, address)
    if cloud is None:
        report.add(judge_rows(results))
        return
    report.add(judge_rows(results, check="promises of the protocol"))
    report.note(UNTRIED)
    with open_probe(cloud.client, cloud.bucket_name, cloud.prefix) as probe:
        results = [report.add_row(result) for result in probe.run()]
    report.add(judge_rows(results))
    if probe.left_behind != 0:
        report.add(_left_behind(probe.root, probe.left_behind))


def judge_rows(results: Iterable[RowResult], *, check: str = _CONFORMANCE) -> Finding:
    """Summarise all rows in one finding."""
    from lab_side.conformance import Outcome

    results = list(results)
    counts = {o: sum(result.outcome is o for result in results) for o in Outcome}
    unanswered = sum(result.outcome is Outcome.NOT_KNOWN and not result.got for result in results)
    detail = (
        f"{counts[Outcome.OK]} of {len(results)} requests refused as documented, "
        f"{counts[Outcome.DIFFERS]} differ, {counts[Outcome.NOT_KNOWN]} not known"
    )
    if counts[Outcome.DIFFERS]:
        return Finding.failure(
            check,
            detail=detail,
            remedy="Do not run the queue here where a row on creating, moving, deleting or "
            "patching differs. On the real service, report the rows: the table is wrong there.",
            code="store-differs",
        )
    if unanswered:
        return Finding.failure(
            check,
            detail=detail,
            remedy="The store did not answer; run it again.",
            code="store-unavailable",
            will_pass=True,
        )
    if counts[Outcome.NOT_KNOWN]:
        return Finding.not_known(
            check,
            detail,
            "Run it again with an account that may do all this under the queue's "
            "prefix; roles/storage.objectUser may.",
        )
    return Finding.ok(check, detail)


def _left_behind(root: str, count: int | None) -> Finding:
    return Finding.warning(
        "cleaning up",
        f"{'some' if count is None else count} objects are left under {root}",
        "They do no harm; delete them, or leave them to the lifecycle rule of .probe/.",
    )


def _as_cloud(bucket: Bucket, address: str) -> GcsBucket | None:
    """The bucket as what it is in the cloud; None for a directory."""
    if not address.startswith("gs://"):
        return None
    # Imported here: a directory as queue needs nothing of Google's.
    from segrelay.bucket.gcs import GcsBucket

    return bucket if isinstance(bucket, GcsBucket) else None


def conclude(findings: Sequence[Finding]) -> tuple[Verdict, str, str]:
    """The worst verdict, all findings in one sentence, and what to do next.

    Findings come in the order in which one explains the next: the first failure is the one to
    begin with.
    """
    failures = [item for item in findings if item.verdict is Verdict.FAILED]
    warnings = [item for item in findings if item.verdict is Verdict.WARNING]
    unknown = sum(item.verdict is Verdict.NOT_KNOWN for item in findings)
    counted = f"{_many(len(warnings), 'warning')} in {_many(len(findings), 'check')}"
    checks = _many(len(findings), "check") + (f", {unknown} without an answer" if unknown else "")
    if failures:
        first = failures[0]
        dot = "" if first.remedy.endswith((".", "?")) else "."
        more = "" if len(failures) == 1 else f" Begin with the first, {first.check}:"
        return (
            Verdict.FAILED,
            f"This computer cannot segment: {_many(len(failures), 'failure')}, {counted}.",
            f"{more.strip()} {first.remedy}{dot} Then run lab-agent doctor again.".strip(),
        )
    has_agent_here = any(
        item.check == "configuration" and item.verdict is Verdict.OK for item in findings
    )
    if has_agent_here:
        follow = (
            "lab-agent segment --series-ids … segments one study by hand; lab-agent run serves "
            "the queue."
        )
    else:
        follow = "Nothing, unless an agent is to run here: lab-agent setup."
    if warnings:
        return Verdict.WARNING, f"It works: no failure, {counted}.", f"Read the warnings. {follow}"
    ran = any(item.check.startswith("run of ") for item in findings)
    left_out = "" if ran or not has_agent_here else "; no network was run"
    return Verdict.OK, f"All is well: {checks}{left_out}.", follow


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def terminal() -> Console | None:
    """Standard output as a terminal that shows colours; None where it is none.

    ``NO_COLOR``, ``TERM=dumb`` and old consoles of Windows are rich's part.
    """
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    return console if console.color_system is not None and not console.no_color else None


class Report:
    """The answer, as lines while it comes or as one JSON document at the end."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._terminal = None if as_json else terminal()
        self._findings: list[Finding] = []
        self._rows: list[RowResult] = []
        self._note = ""

    @property
    def has_failed(self) -> bool:
        """Whether a check has failed so far."""
        return any(finding.verdict is Verdict.FAILED for finding in self._findings)

    def has_told(self, error: SegRelayError) -> bool:
        """Return whether a finding was this very error."""
        return any(finding.detail == error.message for finding in self._findings)

    def add(self, finding: Finding) -> None:
        """Add a finding."""
        self._findings.append(finding)
        self._say_verdict(finding.verdict, f"{finding.check}: {finding.detail}")
        if finding.remedy:
            self.say(f"{'':<10}remedy: {finding.remedy}")

    def add_row(self, result: RowResult) -> RowResult:
        """Add a row of the conformance table; returns it."""
        self._rows.append(result)
        got = "no answer" if result.got is None else str(result.got)
        why = f" ({result.why})" if result.why else ""
        self.say(
            f"{result.outcome.value:<10}{result.what}: expected {result.expected}, got {got}{why}"
        )
        return result

    def note(self, text: str) -> None:
        """Add what is to be known about the table."""
        self._note = text
        self.say(text)

    def say(self, line: str) -> None:
        """Print a line, unless a program reads."""
        if not self._as_json:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    def _say_verdict(self, verdict: Verdict, text: str) -> None:
        """A line that begins with a verdict, in its colour on a terminal."""
        if self._terminal is None:
            self.say(f"{verdict.value:<10}{text}")
            return
        self._terminal.print(f"{verdict.value:<10}", style=_COLOURS[verdict], end="")
        self.say(text)

    def end(self) -> int:
        """Print what is left to print; returns the exit code."""
        failures = [f for f in self._findings if f.verdict is Verdict.FAILED]
        code = EXIT_OK
        if failures:
            code = EXIT_NOT_NOW if all(f.will_pass for f in failures) else EXIT_CONFIG
        worst, conclusion, next_step = conclude(self._findings)
        self.say("")
        self._say_verdict(worst, conclusion)
        self.say(f"{'':<10}next: {next_step}")
        if self._as_json:
            document = {
                "findings": self._findings,
                "conformance": self._rows,
                "conformance_note": self._note,
                "conclusion": conclusion,
                "next": next_step,
                "exit_code": code,
            }
            write_json(document)
        return code
