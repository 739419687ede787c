"""The set-up script of the cloud bucket: what it prints, what it would do, what it refuses."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from lab_side.doctor import Verdict
from lab_side.doctor.settings import check_lifecycle
from tests.support.paths import ROOT

FOLDER = ROOT / "infra" / "gcs"
SCRIPT = FOLDER / "setup"
NEEDED = ("--project", "my-project", "--bucket", "my-bucket")

STAND_IN = """#!/usr/bin/env bash
printf '%s\\n' "$(printf '%q ' "$@")" >>"$GCLOUD_LOG"
case " $* " in *" describe "*) exit "${DESCRIBE_EXIT:-1}" ;; esac
"""
"""In place of gcloud: notes its arguments; ``describe`` finds nothing unless told otherwise."""


def set_up(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, *options],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def commands_of(text: str) -> list[list[str]]:
    return [shlex.split(line) for line in text.splitlines() if not line.startswith("#")]


def option(command: list[str], name: str) -> str:
    return next(word for word in command if word.startswith(f"{name}=")).partition("=")[2]


def apply(folder: Path, *options: str, **environment: str) -> list[list[str]]:
    """Run with --apply against a stand-in; returns the arguments of every call of gcloud."""
    stand_in, log = folder / "gcloud", folder / "log"
    stand_in.write_text(STAND_IN)
    stand_in.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    done = set_up(*NEEDED, *options, "--apply", PATH=path, GCLOUD_LOG=str(log), **environment)
    assert done.returncode == 0, done.stderr
    return [shlex.split(line) for line in log.read_text().splitlines()]


@pytest.mark.process
def test_it_is_valid_bash() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not here")
def test_shellcheck_finds_nothing() -> None:
    subprocess.run(["shellcheck", SCRIPT], check=True)


@pytest.mark.process
def test_without_apply_it_prints_and_never_calls_gcloud(tmp_path: Path) -> None:
    (tmp_path / "gcloud").write_text("#!/bin/sh\ntouch $0.called\n")
    (tmp_path / "gcloud").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = set_up(*NEEDED, "--files", str(tmp_path / "files"), PATH=path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("# Nothing is done without --apply.")
    assert not (tmp_path / "gcloud.called").exists()
    assert "doctor --conformance" in done.stdout


@pytest.mark.process
def test_the_printed_commands_parse_and_name_files_that_exist(tmp_path: Path) -> None:
    commands = commands_of(set_up(*NEEDED, "--files", str(tmp_path)).stdout)
    assert {command[0] for command in commands} == {"gcloud"}
    named = [
        Path(word.partition("=")[2])
        for command in commands
        for word in command
        if re.match(r"--(lifecycle-file|file|condition-from-file)=", word)
    ]
    assert named
    for file in named:
        assert "@" not in file.read_text(), file
    assert {file.name for file in named} == {file.name for file in tmp_path.iterdir()}


@pytest.mark.process
def test_every_role_is_created_before_it_is_bound_and_every_binding_has_its_condition(
    tmp_path: Path,
) -> None:
    commands = commands_of(set_up(*NEEDED, "--files", str(tmp_path)).stdout)
    made = [c[4] for c in commands if c[1:4] == ["iam", "roles", "create"]]
    bound = [c for c in commands if c[3] == "add-iam-policy-binding"]
    assert {option(c, "--role").rpartition("/")[2] for c in bound} == set(made)
    for command in bound:
        who = option(command, "--member").partition(":segrelay-")[2].partition("@")[0]
        verb = option(command, "--role").rpartition("segrelay")[2].lower()
        condition = Path(option(command, "--condition-from-file"))
        assert condition.name == f"{who}-{verb}.json"
        assert set(json.loads(condition.read_text())) == {"title", "description", "expression"}


@pytest.mark.process
def test_the_bucket_is_closed_and_keeps_nothing(tmp_path: Path) -> None:
    commands = commands_of(set_up(*NEEDED, "--files", str(tmp_path)).stdout)
    create = next(c for c in commands if c[1:4] == ["storage", "buckets", "create"])
    update = next(c for c in commands if c[1:4] == ["storage", "buckets", "update"])
    for command in (create, update):
        assert {"--uniform-bucket-level-access", "--public-access-prevention"} <= set(command)
    assert {"--location=asia-northeast3", "--soft-delete-duration=0"} <= set(create)
    assert {"--no-versioning", "--clear-soft-delete", "--clear-retention-period"} <= set(update)


@pytest.mark.parametrize(("prefix", "root"), [("queue", "queue/"), ("", ""), ("a/b", "a/b/")])
@pytest.mark.process
def test_the_lifecycle_is_what_the_doctor_asks_for(tmp_path: Path, prefix: str, root: str) -> None:
    assert set_up(*NEEDED, "--prefix", prefix, "--files", str(tmp_path)).returncode == 0
    lifecycle = json.loads((tmp_path / "lifecycle.json").read_text())
    assert check_lifecycle({"lifecycle": lifecycle}, root).verdict is Verdict.OK
    prefixes = [p for rule in lifecycle["rule"] for p in rule["condition"].get("matchesPrefix", [])]
    assert f"{root}v1/jobs/.probe/" in prefixes


@pytest.mark.process
def test_listing_the_bucket_is_another_condition(tmp_path: Path) -> None:
    done = set_up(*NEEDED, "--listing", "bucket", "--files", str(tmp_path))
    assert "agent-list-bucket.json" in done.stdout
    assert "agent-list.json" not in done.stdout
    expression = json.loads((tmp_path / "site-list-bucket.json").read_text())["expression"]
    assert expression == 'resource.name == "projects/_/buckets/my-bucket"'


@pytest.mark.process
def test_apply_does_what_was_printed(tmp_path: Path) -> None:
    files = ("--files", str(tmp_path / "files"))
    printed = [command[1:] for command in commands_of(set_up(*NEEDED, *files).stdout)]
    called = apply(tmp_path, *files)
    assert [call for call in called if "describe" not in call] == printed


@pytest.mark.process
def test_what_exists_is_kept_and_brought_up_to_date(tmp_path: Path) -> None:
    called = apply(tmp_path, DESCRIBE_EXIT="0")
    assert not any("create" in call for call in called)
    assert sum(call[:3] == ["iam", "roles", "update"] for call in called) == 6
    assert any(call[:3] == ["storage", "buckets", "update"] for call in called)


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--project", "my-project"),
        ("--bucket", "my-bucket"),
        (*NEEDED, "--prefix", "/queue"),
        (*NEEDED, "--prefix", "queue/"),
        (*NEEDED, "--prefix", 'q") || true || ("'),
        ("--project", "my-project", "--bucket", "my|bucket"),
        ("--project", "p; rm -rf", "--bucket", "my-bucket"),
        (*NEEDED, "--region", "asia northeast3"),
        (*NEEDED, "--listing", "everything"),
        (*NEEDED, "--site", "segrelay-agent"),
        (*NEEDED, "--agent"),
        (*NEEDED, "--force"),
    ],
    ids=" ".join,
)
@pytest.mark.process
def test_what_makes_no_sense_is_refused(tmp_path: Path, options: tuple[str, ...]) -> None:
    done = set_up("--files", str(tmp_path / "files"), *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("setup: ")
    assert not (tmp_path / "files").exists()


@pytest.mark.process
def test_the_help_says_what_is_untried() -> None:
    done = set_up("--help")
    assert done.returncode == 0
    assert "NOT TRIED ON THE REAL SERVICE" in done.stdout
    for name in re.findall(r"^ +(--[a-z]+)", done.stdout, re.MULTILINE):
        assert name in SCRIPT.read_text().partition("set -euo")[2]


def test_roles_are_plain_yaml_and_conditions_use_every_placeholder() -> None:
    for role in (FOLDER / "roles").iterdir():
        for line in role.read_text().splitlines():
            assert re.fullmatch(
                r"(title|description|stage): [^:#]+|includedPermissions:|  - \S+", line
            )
    for condition in (FOLDER / "conditions").iterdir():
        assert "@BUCKET@" in condition.read_text() or "@ROOT@" in condition.read_text()
