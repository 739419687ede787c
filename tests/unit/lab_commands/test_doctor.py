"""The doctor's checks, on settings and stores as they may be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from lab_side import cli
from lab_side.commands import console, doctor
from lab_side.conformance import PROMISES, Outcome, RowResult
from lab_side.doctor import Verdict, computer
from lab_side.doctor.computer import check_agent
from lab_side.doctor.orthanc import ASKED, check_way
from lab_side.doctor.queue import EMULATOR, check_emulator
from lab_side.doctor.settings import CHECKS, check_lifecycle
from lab_side.settings.config import LocalConfig, ModelConfig, ModelsConfig
from lab_side.settings.loading import load_queue_address
from lab_side.worker.protocol import LoadReply, LoadRequest
from segrelay.bucket import Bucket
from segrelay.bucket.local import LocalBucket
from segrelay.errors import FixConfigurationError
from segrelay.orthanc import OrthancSettings
from tests.support.buckets.faulty_bucket import Fault, FaultyBucket
from tests.support.command_line import Running
from tests.support.servers.raw_server import answer, raw_server

ROOT = "queue/"

SOUND: dict[str, Any] = {
    "versioning": {"enabled": False},
    "softDeletePolicy": {"retentionDurationSeconds": "0"},
    "iamConfiguration": {
        "uniformBucketLevelAccess": {"enabled": True},
        "publicAccessPrevention": "enforced",
    },
    "lifecycle": {
        "rule": [
            {
                "action": {"type": "Delete"},
                "condition": {
                    "age": 90,
                    "matchesPrefix": [
                        f"queue/v1/{folder}/"
                        for folder in (
                            "done",
                            "failed",
                            "rejected",
                            "attempts",
                            "results",
                            "progress",
                        )
                    ],
                },
            }
        ]
    },
}


def delete_rule(**condition: Any) -> dict[str, Any]:
    return {"action": {"type": "Delete"}, "condition": condition}


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SEGRELAY_BUCKET", "SEGRELAY_ORTHANC_URL", EMULATOR):
        monkeypatch.delenv(name, raising=False)


def verdicts(resource: Mapping[str, Any]) -> dict[str, Verdict]:
    return {name: check(resource, ROOT).verdict for name, check in CHECKS}


def test_sound_settings_pass() -> None:
    assert set(verdicts(SOUND).values()) == {Verdict.OK}


def test_every_check_is_listed_under_the_name_that_it_reports() -> None:
    assert [check(SOUND, ROOT).check for _, check in CHECKS] == [name for name, _ in CHECKS]


@pytest.mark.parametrize(
    ("change", "check", "verdict"),
    [
        ({"retentionPolicy": {"retentionPeriod": "60"}}, "retention policy", Verdict.FAILED),
        ({"defaultEventBasedHold": True}, "retention policy", Verdict.FAILED),
        ({"versioning": {"enabled": True}}, "versioning", Verdict.WARNING),
        (
            {"softDeletePolicy": {"retentionDurationSeconds": "604800"}},
            "soft delete",
            Verdict.WARNING,
        ),
        (
            {"iamConfiguration": {"publicAccessPrevention": "enforced"}},
            "uniform bucket-level access",
            Verdict.WARNING,
        ),
        (
            {
                "iamConfiguration": {
                    "uniformBucketLevelAccess": {"enabled": True},
                    "publicAccessPrevention": "inherited",
                }
            },
            "public access prevention",
            Verdict.WARNING,
        ),
        ({"lifecycle": {}}, "lifecycle", Verdict.WARNING),
        ({"lifecycle": {"rule": [delete_rule(age=30)]}}, "lifecycle", Verdict.FAILED),
    ],
)
def test_each_wrong_setting_is_found_by_its_check_alone(
    change: dict[str, Any], check: str, verdict: Verdict
) -> None:
    found = verdicts({**SOUND, **change})
    assert found.pop(check) is verdict
    assert set(found.values()) == {Verdict.OK}


@pytest.mark.parametrize(
    ("condition", "reaches_live_queue"),
    [
        ({"age": 30, "matchesPrefix": ["queue/v1/jobs/"]}, True),
        ({"age": 30, "matchesPrefix": ["que"]}, True),
        ({"age": 30, "matchesPrefix": ["queue/v1/jobs/agents/lab-1"]}, True),
        ({"age": 30, "matchesPrefix": ["queue/v1/jobs/.probe/"]}, False),
        ({"age": 30, "matchesPrefix": ["other/"]}, False),
        ({"age": 30, "isLive": False}, False),
        ({"numNewerVersions": 1}, False),
    ],
)
def test_a_rule_that_deletes_the_live_queue_is_found(
    condition: dict[str, Any], reaches_live_queue: bool
) -> None:
    resource = {"lifecycle": {"rule": [*SOUND["lifecycle"]["rule"], delete_rule(**condition)]}}
    expected = Verdict.FAILED if reaches_live_queue else Verdict.OK
    assert check_lifecycle(resource, ROOT).verdict is expected


def test_what_nothing_deletes_is_named() -> None:
    rule = delete_rule(age=1, matchesPrefix=["queue/v1/done/", "queue/v1/failed/"])
    finding = check_lifecycle({"lifecycle": {"rule": [rule]}}, ROOT)
    assert finding.verdict is Verdict.WARNING
    assert "v1/results/" in finding.detail
    assert "v1/done/" not in finding.detail


def test_the_emulator_variable_is_shown_without_what_may_be_secret_in_it() -> None:
    finding = check_emulator({EMULATOR: "http://user:secret@somewhere.example:99/"})
    assert finding.verdict is Verdict.WARNING
    assert "somewhere.example" in finding.detail
    assert "secret" not in finding.detail
    assert check_emulator({}).verdict is Verdict.OK


def test_a_directory_is_checked_without_any_other_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEGRELAY_BUCKET", tmp_path.as_uri())
    assert cli.run(["doctor", "--conformance", "--json"]) == console.EXIT_OK
    answer = json.loads(capsys.readouterr().out)
    found = {item["check"]: item for item in answer["findings"]}
    assert found.pop("configuration")["verdict"] == "NOT KNOWN", "no agent is configured here"
    steps = [check for check in found if check.startswith("right to ")]
    others = [
        "settings",
        "emulator variable",
        "queue reached",
        "clock of the queue",
        "self-test",
        "unusable objects",
    ]
    assert sorted(found) == sorted([*others, *steps, "conformance"])
    assert len(steps) == 10
    assert {item["verdict"] for item in found.values()} == {"OK"}
    assert found["conformance"]["detail"].startswith(f"{len(PROMISES)} of {len(PROMISES)} requests")
    assert len(answer["conformance"]) == len(PROMISES)
    assert LocalBucket(tmp_path).list("") == []


def test_without_a_queue_the_doctor_says_how_to_set_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["doctor"]) == console.EXIT_CONFIG
    answer = capsys.readouterr().out
    assert "FAILED    settings: There are no settings: bucket is missing" in answer
    assert "next: Run lab-agent setup" in answer


def test_the_address_is_read_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text('bucket = "gs://hospital/queue"\n')
    assert load_queue_address(file, {}) == "gs://hospital/queue"
    assert load_queue_address(file, {"SEGRELAY_BUCKET": "gs://b/q"}) == "gs://b/q"
    file.write_text('bukcet = "gs://hospital/queue"\n')
    with pytest.raises(FixConfigurationError, match="did you mean bucket") as caught:
        load_queue_address(file, {})
    assert caught.value.code == "bucket-address"


ORTHANC = answer(b'{"ApiVersion": 16, "Version": "1.10.1"}')
NO_SERIES = answer(b"[]")
EXAMINED = (ORTHANC, ORTHANC, NO_SERIES, *[ORTHANC] * ASKED, NO_SERIES)
"""What an empty Orthanc answers, in the order of the doctor's questions."""


def examine(tmp_path: Path, orthanc: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The findings on Orthanc of a doctor whose queue is well, and the exit code."""
    file = tmp_path / "agent.toml"
    file.write_text(f'bucket = "{(tmp_path / "queue").as_uri()}"\n[orthanc]\n{orthanc}')
    (tmp_path / "queue").mkdir(exist_ok=True)
    code = cli.run(["--config", str(file), "doctor", "--json"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    found = {item["check"]: item for item in findings if "Orthanc" in item["check"]}
    return {**found, "code": code}


def test_the_way_to_orthanc_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with raw_server(*EXAMINED) as server:
        found = examine(tmp_path, f'url = "{server.url}"\n', capsys)
    assert found["code"] == console.EXIT_OK
    assert found["way to Orthanc"]["verdict"] == Verdict.OK
    assert found["way to Orthanc"]["detail"] == (
        "plain http within this machine; without user or token"
    )
    assert found["Orthanc answers"]["detail"] == "Orthanc 1.10.1"


def test_plain_http_to_another_machine_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with raw_server(*EXAMINED) as proxy:
        found = examine(
            tmp_path,
            f'url = "http://orthanc.example.org"\nproxy = "{proxy.url}"\nallow_plain_http = true\n',
            capsys,
        )
    assert found["code"] == console.EXIT_OK
    assert found["way to Orthanc"]["verdict"] == Verdict.WARNING
    assert "not encrypted" in found["way to Orthanc"]["detail"]
    assert "VPN" in found["way to Orthanc"]["remedy"]
    assert found["Orthanc answers"]["verdict"] == Verdict.OK


@pytest.mark.parametrize(
    ("orthanc", "check", "code", "exit_code"),
    [
        (
            'url = "http://orthanc.example.org"',
            "Orthanc settings",
            "orthanc-plain-http",
            console.EXIT_CONFIG,
        ),
        (
            'url = "https://orthanc.example.org"\nca_file = "/nowhere/ca.pem"',
            "Orthanc answers",
            "orthanc-ca-file",
            console.EXIT_CONFIG,
        ),
        (
            'url = "http://127.0.0.1:9"',
            "Orthanc answers",
            "orthanc-unavailable",
            console.EXIT_NOT_NOW,
        ),
    ],
)
def test_what_is_wrong_with_orthanc_is_a_finding(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    orthanc: str,
    check: str,
    code: str,
    exit_code: int,
) -> None:
    found = examine(tmp_path, f"{orthanc}\n", capsys)
    assert (found[check]["code"], found["code"]) == (code, exit_code)
    assert found[check]["remedy"]


def test_who_and_how_are_told_without_a_secret() -> None:
    settings = OrthancSettings.model_validate(
        {
            "url": "https://orthanc.example.org",
            "ca_file": "/etc/ca.pem",
            "client_cert": "/etc/lab.pem",
            "token": "hunter2",
            "proxy": "http://proxy:3128",
        }
    )
    finding = check_way(settings)
    assert finding.detail == (
        "TLS, trusting /etc/ca.pem; client certificate /etc/lab.pem; "
        "over the proxy proxy:3128; with a token"
    )


@pytest.mark.parametrize("operation", [1, 2])
def test_a_store_that_does_not_answer_is_worth_another_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: int
) -> None:
    def open_faulty(_address: str) -> Bucket:
        return FaultyBucket(LocalBucket(tmp_path), at=operation, fault=Fault.LOST_REQUEST)

    monkeypatch.setenv("SEGRELAY_BUCKET", tmp_path.as_uri())
    monkeypatch.setattr(doctor, "open_bucket", open_faulty)
    assert cli.run(["doctor"]) == console.EXIT_NOT_NOW


def row(outcome: Outcome, got: int | None = 412) -> RowResult:
    return RowResult(what="row", expected=412, got=got, outcome=outcome)


@pytest.mark.parametrize(
    ("rows", "verdict", "will_pass"),
    [
        ([row(Outcome.OK)], Verdict.OK, False),
        ([row(Outcome.OK), row(Outcome.NOT_KNOWN, 403)], Verdict.NOT_KNOWN, False),
        ([row(Outcome.OK), row(Outcome.NOT_KNOWN, None)], Verdict.FAILED, True),
        (
            [row(Outcome.DIFFERS, 200), row(Outcome.NOT_KNOWN, None)],
            Verdict.FAILED,
            False,
        ),
    ],
)
def test_the_rows_are_judged_together(
    rows: list[RowResult], verdict: Verdict, will_pass: bool
) -> None:
    finding = doctor.judge_rows(rows)
    assert (finding.verdict, finding.will_pass) == (verdict, will_pass)


@pytest.mark.parametrize("doubt", ["", "OpenVINO is not installed"])
def test_a_network_that_openvino_does_not_run_is_told_of(
    monkeypatch: pytest.MonkeyPatch, doubt: str
) -> None:
    asked = []

    class Worker:
        def load(self, request: LoadRequest) -> LoadReply:
            asked.append(request.cpu_engine)
            sha256 = "0" * 64
            return LoadReply(
                profile="demo", model_sha256=sha256, device="cpu", seconds=1, engine_doubt=doubt
            )

        def close(self) -> None:
            """There is nothing to end."""

    monkeypatch.setattr(computer, "new_worker", lambda _config: Worker())
    config = ModelsConfig(
        models=(ModelConfig(profile="demo"),), device="cpu", cpu_engine="openvino"
    )
    (finding,) = computer.run_models(cast(Any, config))
    assert asked == ["openvino"]
    assert finding.verdict is (Verdict.WARNING if doubt else Verdict.OK)
    assert (doubt in finding.detail, bool(finding.remedy)) == (True, bool(doubt))


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        ("listening", Verdict.OK),
        ("paused", Verdict.WARNING),
        ("waiting", Verdict.WARNING),
        ("stopped", Verdict.OK),
    ],
)
def test_an_agent_that_does_not_serve_is_told_of(
    tmp_path: Path, state: str, verdict: Verdict
) -> None:
    bucket = LocalBucket(tmp_path / "queue")
    agent = Running(bucket)
    agent.lease.renew(agent.heartbeat().model_copy(update={"state": state, "reason": "a sick GPU"}))
    config = LocalConfig(agent_id="lab-1", work_dir=tmp_path)
    finding = check_agent(bucket, cast(Any, config))
    assert (finding.verdict, bool(finding.remedy)) == (verdict, verdict is Verdict.WARNING)
    assert ("a sick GPU" in finding.detail) == (state != "stopped")
