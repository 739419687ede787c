"""Jobs are up to date though nobody looks, and the history tells when things happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DataError, OperationalError, connection
from django.utils.translation import override
from rest_framework.test import APIClient

from gcp_side.labseg import jobs
from gcp_side.labseg.checks import check_sync
from gcp_side.labseg.jobs import freshness, rows, submission, sync
from gcp_side.labseg.models import EventKind, Job, SyncPass
from gcp_side.labseg.signals import job_finished
from segrelay.errors import FixConfigurationError, InferenceError, StoreUnavailableError
from tests.support.paths import ROOT
from tests.unit.gcp_side.fakes import FOUR, FakeAgent, FakeOrthanc

pytestmark = pytest.mark.django_db(transaction=True)

LATER = timedelta(hours=3)
RACERS = 3


@pytest.fixture
def job(orthanc: FakeOrthanc) -> Job:
    return jobs.submit(jobs.Submission(series_ids=FOUR), orthanc=orthanc)


@pytest.fixture
def three_hours_later(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """By this site's clock; the queue's goes on as it was."""

    class Clock:
        @staticmethod
        def now() -> datetime:
            return datetime.now(UTC) + LATER

    with monkeypatch.context() as patch:
        for module in (rows, submission, sync):
            patch.setattr(module, "now", Clock.now)
        yield


def times(job: Job) -> dict[str, datetime]:
    return {event.kind: event.at for event in job.events.all()}


class TestEventTimes:
    """The queue's own, though this site looks hours later, by a clock that is wrong."""

    def test_of_a_job_that_ends(
        self, job: Job, agent: FakeAgent, request: pytest.FixtureRequest
    ) -> None:
        claim, _ = agent.claim()
        request.getfixturevalue("three_hours_later")
        jobs.sync_all()
        agent.finish(claim)
        jobs.sync_all()
        seen = times(job)
        assert list(seen) == ["submitting", "pending", "claimed", "succeeded"]
        job.refresh_from_db()
        assert seen.pop("succeeded") == job.finished_at
        for at in seen.values():
            assert abs(at - datetime.now(UTC)) < timedelta(minutes=1)

    def test_a_claim_is_as_old_as_the_claim_and_not_as_its_file(
        self, job: Job, agent: FakeAgent
    ) -> None:
        (file,) = Path(agent.bucket.describe().removeprefix("file://")).rglob("pending/*.json")
        os.utime(file, (0, 0))
        jobs.sync_all()
        before = datetime.now(UTC) - timedelta(seconds=1)
        agent.claim()
        jobs.sync_all()
        assert times(job)["claimed"] >= before

    @pytest.mark.usefixtures("three_hours_later")
    def test_of_an_attempt(self, orthanc: FakeOrthanc, agent: FakeAgent) -> None:
        job = jobs.submit(jobs.Submission(series_ids=FOUR), orthanc=orthanc)
        claim, _ = agent.claim()
        agent.queue.fail_attempt(claim, InferenceError("It failed."), started=True)
        jobs.sync_all()
        assert times(job)["attempt-ended"] < datetime.now(UTC) + timedelta(minutes=1)

    @pytest.mark.usefixtures("three_hours_later")
    def test_of_the_publication_itself(self, orthanc: FakeOrthanc) -> None:
        job = jobs.submit(jobs.Submission(series_ids=FOUR), orthanc=orthanc)
        seen = times(job)
        assert seen[EventKind.SUBMITTING] - seen[EventKind.PENDING] > LATER / 2


class TestWarning:
    """Where nothing runs ``labseg sync``."""

    def test_check_says_so_until_something_does(self, orthanc: FakeOrthanc) -> None:
        assert check_sync() == []
        jobs.submit(jobs.Submission(series_ids=FOUR), orthanc=orthanc)
        (found,) = check_sync()
        assert (found.id, found.msg.partition(".")[0]) == (
            "labseg.W005",
            "Nothing has ever run `labseg sync` here",
        )
        call_command("labseg", "sync")
        assert check_sync() == []
        SyncPass.objects.update(passed_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC))
        (found,) = check_sync()
        assert "since 2026-01-02 03:04 UTC" in found.msg

    @pytest.mark.usefixtures("job")
    def test_a_pass_in_the_future_hides_nothing(self) -> None:
        call_command("labseg", "sync")
        SyncPass.objects.update(passed_at=datetime.now(UTC) + timedelta(minutes=4))
        assert check_sync() == []
        SyncPass.objects.update(passed_at=datetime(2226, 1, 2, 3, 4, tzinfo=UTC))
        (found,) = check_sync()
        assert "2226-01-02 03:04 UTC, in the future" in found.msg
        with pytest.raises(CommandError, match="in the future"):
            call_command("labseg", "sync", "--check")
        call_command("labseg", "sync")
        assert check_sync() == []

    @pytest.mark.usefixtures("job")
    def test_is_silent_before_the_tables_are_made(self) -> None:
        with connection.schema_editor() as editor:
            editor.delete_model(SyncPass)
        try:
            assert check_sync() == []
        finally:
            with connection.schema_editor() as editor:
                editor.create_model(SyncPass)

    @pytest.mark.usefixtures("orthanc")
    def test_health_and_the_command_say_it_too(self, client: APIClient, agent: FakeAgent) -> None:
        agent.heartbeat()
        health = "/api/mri/segmentation/health/"
        with override("ko"):
            told = client.get(health, headers={"accept-language": "ko"}).json()
        assert told["last_sync"] is None
        assert "실행된 적이 없습니다" in told["sync"]
        with pytest.raises(CommandError) as caught:
            call_command("labseg", "sync", "--check")
        assert caught.value.returncode == 1
        jobs.sync_all()
        call_command("labseg", "sync", "--check")
        told = client.get(health).json()
        assert (told["status"], told["sync"]) == ("ok", "ok")
        assert datetime.fromisoformat(told["last_sync"]).utcoffset() == timedelta(0)

    @pytest.mark.usefixtures("bucket")
    def test_a_pass_that_fails_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def away(_: object) -> None:
            raise StoreUnavailableError("The bucket is away.")

        monkeypatch.setattr(sync, "scan", away)
        with pytest.raises(StoreUnavailableError):
            jobs.sync_all()
        assert freshness.last_pass() is None


class TestWatching:
    """``labseg sync --watch`` outlives what passes."""

    def watch(self, monkeypatch: pytest.MonkeyPatch, *passes: Exception | None) -> list[float]:
        """Each pass raises one of these; a signal comes with the last. Returns the times."""
        left, real, at = list(passes), jobs.sync_all, []

        def one_pass() -> Any:
            at.append(time.monotonic())
            error = left.pop(0)
            if not left:
                signal.raise_signal(signal.SIGTERM)
            if error is not None:
                raise error
            return real()

        monkeypatch.setattr(jobs, "sync_all", one_pass)
        call_command("labseg", "sync", "--watch", "--interval", "0.05")
        assert left == []
        return at

    @pytest.mark.usefixtures("bucket")
    def test_trouble_of_every_kind_passes(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.watch(
            monkeypatch,
            StoreUnavailableError("The bucket is away."),
            None,
            OperationalError("connection refused"),
            DataError("value too long: secret"),
            FixConfigurationError("The bucket refuses this account."),
            ValueError("unforeseen"),
            None,
        )
        told = capsys.readouterr().err
        for text in (
            "The bucket is away.",
            "(connection refused)",
            "(DataError)",
            "refuses this account",
        ):
            assert text in told
        assert "secret" not in told
        assert freshness.is_kept_fresh(freshness.last_pass())

    @pytest.mark.usefixtures("bucket")
    def test_it_asks_less_often_while_it_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        away = StoreUnavailableError("The bucket is away.")
        at = self.watch(monkeypatch, away, away, away, None)
        pauses = [later - earlier for earlier, later in pairwise(at)]
        assert pauses[0] < pauses[1] < pauses[2]

    @pytest.mark.usefixtures("bucket")
    def test_a_database_that_is_away_at_the_start_is_waited_for(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.watch(monkeypatch, OperationalError("connection refused"), None)

    @pytest.mark.parametrize(
        ("error", "code"),
        [(FixConfigurationError("Wrong."), 78), (OperationalError("no such table"), 78)],
    )
    @pytest.mark.usefixtures("bucket")
    def test_what_was_never_right_ends_it(
        self, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
    ) -> None:
        with pytest.raises(CommandError) as caught:
            self.watch(monkeypatch, error, None)
        assert caught.value.returncode == code
        # The handlers of signals are as before.
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


class TestTwoAtOnce:
    """A service and somebody's cron, or the old and the new version in an upgrade."""

    def test_each_job_goes_back_once_and_ends_once(
        self, job: Job, orthanc: FakeOrthanc, agent: FakeAgent
    ) -> None:
        claim, _ = agent.claim()
        other = jobs.submit(jobs.Submission(series_ids=FOUR), orthanc=orthanc)
        agent.finish(agent.claim()[0])
        agent.heartbeat(state="stopped", claim=claim)
        heard: list[str] = []

        def hear(job: Job, **_: object) -> None:
            heard.append(job.pk)

        job_finished.connect(hear)
        start = threading.Barrier(RACERS)

        def sync() -> tuple[str, ...]:
            try:
                start.wait(60)
                return jobs.sync_all().reaped
            finally:
                connection.close()

        try:
            with ThreadPoolExecutor(RACERS) as pool:
                reaped = [one.result(60) for one in [pool.submit(sync) for _ in range(RACERS)]]
        finally:
            job_finished.disconnect(hear)
        # Each may have met the claim; what they did is done once.
        assert set(sum(reaped, ())) == {job.pk}
        assert heard == [other.pk]
        jobs.sync_all()
        job.refresh_from_db()
        assert (job.state, job.attempt) == ("pending", 1)
        assert job.events.filter(kind="attempt-ended").count() == 1
        assert SyncPass.objects.count() == 1


BESIDE = """
import sys
from gcp_side.site import sync
sync.COMMAND = (sys.executable, "-c", "import time; time.sleep(600)")
sync.retry.SYNC_PROCESS = sync.retry.RetryPolicy(first=0.05, longest=60)
sync._LOOK_EVERY = 0.05
raise SystemExit(sync.main())
"""


def wait_for(is_so: Callable[[], Any]) -> Any:
    end = time.monotonic() + 60
    while not (found := is_so()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


class TestBesideTheSite:
    """The process that gunicorn starts."""

    @pytest.mark.process
    def test_is_started_again_and_ends_at_a_signal(self) -> None:
        with subprocess.Popen([sys.executable, "-c", BESIDE], cwd=ROOT) as beside:
            (first,) = wait_for(psutil.Process(beside.pid).children)
            first.kill()
            wait_for(lambda: [p for p in psutil.Process(beside.pid).children() if p != first])
            beside.terminate()
            assert beside.wait(60) == 0

    @pytest.mark.process
    def test_ends_with_the_site(self) -> None:
        site = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BESIDE!r}])"
        with subprocess.Popen([sys.executable, "-c", site], cwd=ROOT) as parent:
            both = wait_for(
                lambda: (
                    found
                    if len(found := psutil.Process(parent.pid).children(recursive=True)) == 2
                    else None
                )
            )
            parent.kill()
        gone, alive = psutil.wait_procs(both, timeout=60)
        assert (len(gone), alive) == (2, [])
