"""``lab-agent doctor`` on a cloud bucket: the strict fake, and fakes that lie."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from infra.fake_gcs import FakeGcs, FaultKind
from lab_side import cli
from lab_side.commands import console
from lab_side.conformance import REFUSALS, Outcome, Probe, RowResult, open_probe
from segrelay import names
from tests.support.buckets.gcs import BUCKET, make_client
from tests.support.buckets.other_gcs import other_emulator
from tests.support.paths import ROOT

PREFIX = "hospital/queue"

FOREIGN = (
    f"{PREFIX}/{names.PENDING}5-somebody.json",
    f"{PREFIX}/{names.PROBE}somebody.json",
    "another/thing",
)
"""What others have in the bucket, next to where the probe works."""

LIES = {
    "upload": {
        "create twice",
        "overwrite a wrong generation",
        "overwrite nothing",
        "overwrite a wrong metageneration",
        "overwrite only if absent is false",
        "resumable create twice",
        "resumable overwrite wrong generation",
        "resumable create overtaken",
        "simple upload, create twice",
    },
    "get": {"get a wrong generation", "unchanged since"},
    "download": {"download a wrong generation"},
    "patch": {"patch a wrong generation", "patch a wrong metageneration"},
    "delete": {"delete a wrong generation", "delete a wrong metageneration"},
    "copy": {"copy onto an object", "copy a wrong source"},
    "rewrite": {"rewrite onto an object", "rewrite a wrong source"},
    "move": {
        "move onto an object",
        "move a wrong source",
        "move a wrong source metageneration",
    },
}
"""The operation whose conditions a store ignores, and the rows that show it."""


@contextlib.contextmanager
def probing(fake: FakeGcs) -> Iterator[Probe]:
    """A probe that does not wait before another try."""
    with (
        make_client(fake.url) as client,
        open_probe(client, BUCKET, PREFIX, pause=0) as probe,
    ):
        yield probe


def put_foreign_objects(fake: FakeGcs) -> None:
    with make_client(fake.url) as client:
        for name in FOREIGN:
            client.bucket(BUCKET).blob(name).upload_from_string(name)


def contents(fake: FakeGcs) -> dict[str, tuple[int, int]]:
    """Generation and metageneration of everything in the bucket."""
    with make_client(fake.url) as client:
        return {b.name: (b.generation, b.metageneration) for b in client.list_blobs(BUCKET)}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGcs]:
    with FakeGcs([BUCKET]) as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        monkeypatch.setenv("SEGRELAY_BUCKET", f"gs://{BUCKET}/{PREFIX}")
        yield fake


def ask(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = cli.run(["doctor", "--json", *options])
    return code, json.loads(capsys.readouterr().out)


def found(answer: dict[str, Any]) -> dict[str, str]:
    return {item["check"]: item["verdict"] for item in answer["findings"]}


def test_every_row_passes_on_the_strict_fake_and_nothing_is_left(
    fake: FakeGcs, capsys: pytest.CaptureFixture[str]
) -> None:
    put_foreign_objects(fake)
    before = contents(fake)
    assert cli.run(["doctor", "--conformance"]) == console.EXIT_OK
    lines = capsys.readouterr().out.splitlines()
    for row in REFUSALS:
        assert f"OK        {row.what}: expected {row.status}, got {row.status}" in lines
    total = len(REFUSALS)
    assert any(f"{total} of {total} requests refused as documented" in line for line in lines)
    assert any("untried on the real service" in line for line in lines)
    assert contents(fake) == before


def test_only_the_probes_own_folder_is_written_to(fake: FakeGcs) -> None:
    with probing(fake) as probe:
        list(probe.run())
        own = probe.root
    changing = [r for r in fake.requests if r["method"] not in ("GET", "PUT")]
    named = [r["query"].get("name", r["path"]) for r in changing if r["operation"] != "upload"]
    assert named
    assert all(own in name.replace("%2F", "/") for name in named)
    assert own.startswith(f"{PREFIX}/{names.PROBE}")


@pytest.mark.parametrize("lie", LIES)
def test_a_store_that_lies_in_one_respect_is_caught_by_the_rows_about_it(lie: str) -> None:
    with FakeGcs([BUCKET], lies=[lie]) as fake:
        put_foreign_objects(fake)
        before = contents(fake)
        with probing(fake) as probe:
            results = list(probe.run())
        assert {r.what for r in results if r.outcome is Outcome.DIFFERS} == LIES[lie]
        assert all(r.outcome is not Outcome.NOT_KNOWN for r in results)
        assert contents(fake) == before
        assert probe.left_behind == 0


def test_an_emulator_by_others_is_found_out() -> None:
    with other_emulator(BUCKET) as url, make_client(url) as client:
        with open_probe(client, BUCKET, PREFIX, pause=0) as probe:
            results = list(probe.run())
        differs = {r.what for r in results if r.outcome is Outcome.DIFFERS}
        assert {"move onto an object", "patch a wrong generation"} <= differs
        assert list(client.list_blobs(BUCKET)) == []


def run_with(fake: FakeGcs, operation: str, status: int, times: int) -> dict[str, RowResult]:
    with probing(fake) as probe:
        fake.break_next(FaultKind.STATUS, operation, status=status, times=times)
        return {result.what: result for result in probe.run()}


def test_a_row_that_the_account_may_not_ask_is_not_known(fake: FakeGcs) -> None:
    results = run_with(fake, "rewrite", 403, 100)
    for what in ("rewrite onto an object", "rewrite a wrong source"):
        assert results[what].outcome is Outcome.NOT_KNOWN
        assert results[what].got == 403
    assert sum(r.outcome is Outcome.OK for r in results.values()) == len(REFUSALS) - 2


def test_where_nothing_can_be_put_nothing_is_known(fake: FakeGcs) -> None:
    results = run_with(fake, "upload", 403, 1000)
    assert {result.outcome for result in results.values()} == {Outcome.NOT_KNOWN}


def test_a_busy_store_is_asked_again(fake: FakeGcs) -> None:
    results = run_with(fake, "move", 429, 2)
    assert {result.outcome for result in results.values()} == {Outcome.OK}


def test_a_store_that_stays_busy_is_not_known(fake: FakeGcs) -> None:
    results = run_with(fake, "copy", 503, 100)
    assert results["copy onto an object"].outcome is Outcome.NOT_KNOWN
    assert results["move onto an object"].outcome is Outcome.OK


@pytest.mark.parametrize("kind", [FaultKind.DROP_BEFORE, FaultKind.DROP_AFTER, FaultKind.CUT])
def test_a_broken_connection_is_tried_again_on_fresh_objects(
    fake: FakeGcs, kind: FaultKind
) -> None:
    for skip in range(0, 250, 31):
        fake.break_next(kind, skip=skip)
    with probing(fake) as probe:
        results = list(probe.run())
    assert [r.what for r in results if r.outcome is not Outcome.OK] == []
    assert probe.left_behind == 0
    assert contents(fake) == {}


def break_off(fake: FakeGcs) -> None:
    """As if the user gave up in the middle of a row."""
    with probing(fake) as probe:
        next(probe.run())
        with make_client(fake.url) as client:
            client.bucket(BUCKET).blob(f"{probe.root}/999/half").upload_from_string(b"x")
        raise KeyboardInterrupt


def test_an_interrupted_run_cleans_up(fake: FakeGcs) -> None:
    put_foreign_objects(fake)
    before = contents(fake)
    with pytest.raises(KeyboardInterrupt):
        break_off(fake)
    assert contents(fake) == before


def test_what_cannot_be_deleted_is_counted(fake: FakeGcs) -> None:
    with probing(fake) as probe:
        fake.break_next(FaultKind.STATUS, "delete", status=403, times=1000)
        next(probe.run())
    assert probe.left_behind == 2


def test_the_doctor_says_what_is_left_behind(
    fake: FakeGcs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(probe: Probe) -> None:
        probe.left_behind = None

    monkeypatch.setattr(Probe, "clean_up", leave)
    code, answer = ask(capsys, "--conformance")
    assert code == console.EXIT_OK
    assert found(answer)["cleaning up"] == "WARNING"


def test_a_lying_store_fails_the_self_test_and_is_not_probed_further(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeGcs([BUCKET], lies=["move"]) as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        monkeypatch.setenv("SEGRELAY_BUCKET", f"gs://{BUCKET}/{PREFIX}")
        code, answer = ask(capsys, "--conformance")
        assert contents(fake) == {}
    assert code == console.EXIT_CONFIG
    assert (found(answer)["self-test"], found(answer)["conformance"]) == ("FAILED", "NOT KNOWN")
    assert answer["conformance"] == []


def test_a_difference_that_the_self_test_does_not_see_fails_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeGcs([BUCKET], lies=["copy"]) as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        monkeypatch.setenv("SEGRELAY_BUCKET", f"gs://{BUCKET}/{PREFIX}")
        code, answer = ask(capsys, "--conformance")
    assert code == console.EXIT_CONFIG
    assert (found(answer)["self-test"], found(answer)["conformance"]) == ("OK", "FAILED")
    assert answer["exit_code"] == code


def test_settings_that_the_account_may_not_read_are_not_known(
    fake: FakeGcs, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.break_next(FaultKind.STATUS, "get-bucket", status=403, times=1)
    code, answer = ask(capsys)
    assert code == console.EXIT_OK
    assert [c for c, verdict in found(answer).items() if verdict == "NOT KNOWN"] == [
        "configuration",
        "retention policy",
        "versioning",
        "soft delete",
        "uniform bucket-level access",
        "public access prevention",
        "lifecycle",
    ]


def test_a_bucket_that_is_not_there(
    fake: FakeGcs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGRELAY_BUCKET", "gs://not-there/queue")
    code, answer = ask(capsys, "--conformance")
    assert code == console.EXIT_CONFIG
    assert found(answer)["queue reached"] == "FAILED"
    assert "self-test" not in found(answer)


def test_a_foreign_emulator_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://somewhere.example:8080")
    monkeypatch.setenv("SEGRELAY_BUCKET", f"gs://{BUCKET}/{PREFIX}")
    code, answer = ask(capsys)
    assert code == console.EXIT_CONFIG
    assert found(answer) == {
        "settings": "OK",
        "configuration": "NOT KNOWN",
        "emulator variable": "WARNING",
        "queue address": "FAILED",
    }


def test_the_document_gives_the_number_of_requests() -> None:
    text = (ROOT / "infra" / "gcs" / "README.md").read_text(encoding="utf-8")
    assert f"{len(REFUSALS)} requests" in text
