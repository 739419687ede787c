"""``manage.py labseg``: what it prints, and its exit codes."""

from __future__ import annotations

import json
import re
import threading
from contextlib import nullcontext
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import InterfaceError, OperationalError
from django.utils.translation import override
from pytest_django import Settings

from gcp_side.labseg import jobs
from gcp_side.labseg.jobs import sync
from gcp_side.labseg.management.commands import labseg
from gcp_side.labseg.models import Job, State
from gcp_side.labseg.orthanc import client as orthanc_module
from segrelay.bucket import Bucket
from segrelay.errors import (
    FixConfigurationError,
    ManifestRejectedError,
    OrthancUnavailableError,
    StoreUnavailableError,
)
from segrelay.manifest import ResultStatus
from segrelay.queue import scan
from segrelay.stages import Stage
from tests.unit.gcp_side.fakes import FOUR, REPORT, SEG_ID, FakeAgent, ended, series_id

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("orthanc")]


def run(*arguments: str, stderr: StringIO | None = None) -> str:
    out = StringIO()
    call_command("labseg", *arguments, stdout=out, stderr=stderr or StringIO())
    return out.getvalue()


def run_json(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


def refused(*arguments: str) -> CommandError:
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    assert "\n" not in str(caught.value)
    return caught.value


def submit(*arguments: str) -> str:
    return run("submit", "--series", *FOUR, *arguments).strip()


def test_submit_prints_the_job_id(bucket: Bucket) -> None:
    job_id = submit("--priority", "0")
    (pending,) = scan(bucket).pending
    assert (pending.name.job_id, pending.name.priority) == (job_id, 0)


def test_submit_as_json_tells_the_whole_job() -> None:
    document = run_json("submit", "--series", *FOUR, "--profile", "breast-dce-swinunetr")
    assert document["state"] == "pending"
    assert document["profile"] == "breast-dce-swinunetr"
    assert [item["orthanc_id"] for item in document["series"]] == list(FOUR)


def test_roles_can_be_named() -> None:
    run("submit", "--profile", "mine", "--series", *FOUR[:2], "--roles", "a", "b")
    assert [item["role"] for item in Job.objects.get().series] == ["a", "b"]


def test_labels(settings: Settings) -> None:
    settings.SEGRELAY = settings.SEGRELAY | {"DEFAULT_LABELS": {"demo": ["site-a"]}}
    asked = [submit(), submit("--labels", "site-b", "gpu-24gb"), submit("--labels")]
    told = {job["job_id"]: job["labels"] for job in run_json("list")}
    assert [told[job_id] for job_id in asked] == [["site-a"], ["gpu-24gb", "site-b"], []]
    assert re.search(r"^labels +gpu-24gb, site-b$", run("show", asked[1]), re.MULTILINE)
    assert "labels" not in run("show", asked[2])


@pytest.mark.parametrize(
    "arguments",
    [
        ("--series", *FOUR[:3]),
        ("--series", *FOUR[:3], "junk"),
        ("--series", *FOUR[:3], series_id(8)),
        ("--series", *FOUR, "--profile", "unheard-of"),
        ("--series", *FOUR, "--roles", "a"),
        ("--series", *FOUR, "--labels", "Site A"),
    ],
)
def test_a_wrong_request_is_one_line_with_a_remedy(arguments: tuple[str, ...]) -> None:
    error = refused("submit", *arguments)
    assert error.returncode == 2
    assert "Remedy: " in str(error)
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OrthancUnavailableError("Orthanc did not answer."), 75),
        (FixConfigurationError("Orthanc refuses the password."), 78),
    ],
)
def test_an_orthanc_that_does_not_help(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(orthanc_module, "connect", fail)
    caught = refused("submit", "--series", *FOUR)
    assert caught.returncode == code
    assert str(error) in str(caught)


def test_a_wrong_setting_is_named(settings: Settings) -> None:
    settings.SEGRELAY = settings.SEGRELAY | {"PRIORITY": 11, "TYPO": 1}
    error = refused("submit", "--series", *FOUR)
    assert error.returncode == 78
    assert "PRIORITY" in str(error)
    assert "TYPO" in str(error)


def test_a_database_without_tables_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("no such table: labseg_job")

    monkeypatch.setattr(jobs, "find", fail)
    error = refused("show", "01arz3ndektsv4rrffq69g5fav")
    assert error.returncode == 78
    assert "migrate" in str(error)


@pytest.mark.parametrize("kind", [OperationalError, InterfaceError])
@pytest.mark.parametrize("verb", [("show", "01arz3ndektsv4rrffq69g5fav"), ("sync",)])
def test_a_database_that_is_away_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, kind: type[Exception], verb: tuple[str, ...]
) -> None:
    def fail(*_: object) -> None:
        raise kind('connection to server at "database" failed: refused\n\tIs it running?')

    monkeypatch.setattr(jobs, "find", fail)
    monkeypatch.setattr(jobs, "sync_all", fail)
    error = refused(*verb)
    assert error.returncode == 75
    assert "migrate" not in str(error)
    assert "\n" not in str(error)
    assert 'connection to server at "database" failed: refused' in str(error)


def test_watching_goes_on_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    looks: list[str] = []

    def look() -> jobs.SyncReport:
        looks.append("look")
        if len(looks) < 3:
            raise OperationalError("the server closed the connection")
        stop.set()
        return jobs.SyncReport(looked_at=0, changed=(), reaped=())

    monkeypatch.setattr(jobs, "sync_all", look)
    monkeypatch.setattr(labseg, "_stopped_by_signals", lambda: nullcontext(stop))
    errors = StringIO()
    run("sync", "--watch", "--interval", "0.001", stderr=errors)
    assert len(looks) == 3
    assert errors.getvalue().count("The database does not answer") == 2


def test_watching_ends_where_the_tables_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def look() -> jobs.SyncReport:
        raise OperationalError("no such table: labseg_job")

    monkeypatch.setattr(jobs, "sync_all", look)
    error = refused("sync", "--watch")
    assert error.returncode == 78
    assert "migrate" in str(error)


class TestWait:
    """``submit --wait``, with an agent that moves whenever the command looks."""

    @pytest.fixture
    def moves(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        """What happens before each look into the queue."""
        moves: list[Any] = []
        real = jobs.sync_all

        def step() -> jobs.SyncReport:
            if moves:
                moves.pop(0)()
            return real()

        monkeypatch.setattr(jobs, "sync_all", step)
        monkeypatch.setattr(labseg, "WAIT_INTERVAL", 0)
        return moves

    def test_success(self, moves: list[Any], agent: FakeAgent) -> None:
        def work() -> None:
            claim, _ = agent.claim()
            agent.tell(claim, Stage.FETCH, 40, done=248, total=620)
            moves.append(lambda: agent.tell(claim, Stage.INFER, 50))
            moves.append(lambda: agent.finish(claim))

        moves.append(work)
        progress = StringIO()
        text = run("submit", "--series", *FOUR, "--wait", stderr=progress)
        assert [line.split(" ", 1)[1] for line in progress.getvalue().splitlines()] == [
            "waiting in the queue: no agent has ever been online",
            "downloading 248/620 on lab-1",
            "segmenting 50 % on lab-1",
            "Tumor 1.50 ml",
        ]
        assert SEG_ID in text
        assert "tumour" in text

    def test_progress_is_one_line_on_a_terminal(self, moves: list[Any], agent: FakeAgent) -> None:
        class Terminal(StringIO):
            def isatty(self) -> bool:
                return True

        def work() -> None:
            claim, _ = agent.claim()
            agent.tell(claim, Stage.INFER, 50)
            moves.append(lambda: agent.finish(claim))

        moves.append(work)
        progress = Terminal()
        run("submit", "--series", *FOUR, "--wait", stderr=progress)
        assert progress.getvalue().count("\n") == 1
        assert "[############............]" in progress.getvalue()

    def test_failure_has_its_own_exit_code(self, moves: list[Any], agent: FakeAgent) -> None:
        def work() -> None:
            claim, _ = agent.claim()
            agent.queue.finish(claim, ended(claim.job_id, ResultStatus.FAILED))

        moves.append(work)
        error = refused("submit", "--series", *FOUR, "--wait")
        assert error.returncode == 1
        assert "A slice is missing." in str(error)
        assert "Send it." in str(error)

    def test_json_stays_json(self, moves: list[Any], agent: FakeAgent) -> None:
        moves.append(lambda: agent.finish(agent.claim()[0]))
        assert run_json("submit", "--series", *FOUR, "--wait")["state"] == "succeeded"

    def test_a_queue_that_is_away_for_a_moment(self, moves: list[Any], agent: FakeAgent) -> None:
        def away() -> None:
            raise StoreUnavailableError("The queue did not answer.")

        moves += [away, lambda: agent.finish(agent.claim()[0])]
        progress = StringIO()
        run("submit", "--series", *FOUR, "--wait", stderr=progress)
        assert "The queue did not answer." in progress.getvalue()

    def test_interrupted(self, moves: list[Any]) -> None:
        def interrupt() -> None:
            raise KeyboardInterrupt

        moves.append(interrupt)
        assert refused("submit", "--series", *FOUR, "--wait").returncode == 130
        assert Job.objects.get().state == State.PENDING


class TestList:
    """``list``."""

    def test_newest_first(self) -> None:
        first, second = submit(), submit()
        lines = run("list").splitlines()
        assert lines[0].split()[0] == "JOB"
        assert [line.split()[0] for line in lines[1:]] == [second, first]
        assert [job["job_id"] for job in run_json("list", "--limit", "1")] == [second]

    def test_by_state(self, agent: FakeAgent) -> None:
        first, second = submit(), submit()
        agent.claim()
        run("sync")
        assert [job["job_id"] for job in run_json("list", "--state", "pending")] == [second]
        assert [job["job_id"] for job in run_json("list", "--state", "claimed")] == [first]

    def test_none(self) -> None:
        assert run("list") == "No jobs.\n"
        assert run_json("list") == []


class TestShow:
    """``show``."""

    def test_tells_why_a_manifest_was_rejected(self, agent: FakeAgent) -> None:
        job_id = submit()
        claim, _ = agent.claim()
        agent.queue.reject(
            claim, ManifestRejectedError("Too new.", code="schema-newer", remedy="Update.")
        )
        text = run("show", job_id)
        assert "rejected" in text
        assert "Too new. (schema-newer)" in text
        assert "Update." in text
        assert run_json("show", job_id)["failure"] == {
            "code": "schema-newer",
            "reason": "Too new.",
            "remedy": "Update.",
            "detail": "",
        }

    def test_tells_history_and_result(self, agent: FakeAgent) -> None:
        job_id = submit()
        agent.finish(agent.claim()[0], report=REPORT)
        text = run("show", job_id)
        for part in (
            SEG_ID,
            REPORT.orthanc_id,
            "Tumor 1.50 ml",
            "slow",
            "dce-3",
            "put into the queue",
        ):
            assert part in text
        events = run_json("show", job_id)["events"]
        assert [event["kind"] for event in events] == ["submitting", "pending", "succeeded"]

    def test_an_unknown_job(self) -> None:
        assert refused("show", "01arz3ndektsv4rrffq69g5fav").returncode == 2


class TestSync:
    """``sync``."""

    def test_tells_what_changed(self, agent: FakeAgent) -> None:
        job_id = submit()
        agent.finish(agent.claim()[0])
        assert run("sync").splitlines() == [f"{job_id} succeeded", "1 of 1 open jobs changed"]
        assert run_json("sync") == {"looked_at": 0, "changed": [], "reaped": []}

    def test_takes_jobs_back_from_dead_agents(self, agent: FakeAgent) -> None:
        job_id = submit()
        claim, _ = agent.claim()
        agent.heartbeat(state="stopped", claim=claim)
        assert f"{job_id} taken back from a dead agent" in run("sync")

    def test_a_queue_that_is_away(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise StoreUnavailableError("away")

        monkeypatch.setattr(sync, "scan", refuse)
        assert refused("sync").returncode == 75


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("dance",),
        ("submit",),
        ("submit", "--series", *FOUR, "--priority", "10"),
        ("list", "--state", "unknown"),
        ("list", "--limit", "0"),
        ("sync", "--interval", "0"),
        ("sync", "--interval", "nan"),
    ],
)
def test_a_wrong_command_line(arguments: tuple[str, ...]) -> None:
    # Called from Python, the parser raises instead of leaving with its exit code 2.
    with pytest.raises(CommandError, match="Error"):
        call_command("labseg", *arguments)


@pytest.mark.parametrize("verb", [None, "submit", "list", "show", "retry", "cancel", "sync"])
def test_help_tells_every_exit_code(verb: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        call_command("labseg", *filter(None, [verb]), "--help")
    assert caught.value.code == 0
    text = capsys.readouterr().out
    named = {value for name, value in vars(labseg).items() if name.startswith("EXIT_")}
    codes = {value for value in named if isinstance(value, int)}
    told = {int(code) for code in re.findall(r"^  (\d+) ", text, re.MULTILINE)}
    assert told == codes | {0}
    assert ("--json" in text) == (verb is not None)


def test_it_speaks_english_whatever_the_site_speaks(agent: FakeAgent) -> None:
    job_id = submit()
    with override("ko"):
        assert "waiting in the queue" in run("show", job_id)
        assert "There is no job" in str(refused("show", "01arz3ndektsv4rrffq69g5fav"))
