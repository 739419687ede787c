"""Log lines: what they carry, where they are kept, how they are read, and what a bad disk costs."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lab_side import cli
from lab_side.download.download_pool import DownloadPool
from lab_side.log import (
    at_stage,
    configure_logging,
    current_log_context,
    job_log_context,
    log_context,
    log_event,
)
from lab_side.log_file import LogFile, LogReader, keep_log
from lab_side.settings.config import LocalConfig
from lab_side.worker.log import pass_on

JOB = "01" + "a" * 24
OTHER = "01" + "b" * 24

logger = logging.getLogger("segrelay.test")


@pytest.fixture
def config(tmp_path: Path) -> LocalConfig:
    return LocalConfig(agent_id="lab-1", work_dir=tmp_path, log_megabytes=0.01, log_files=3)


@pytest.fixture
def kept(config: LocalConfig, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The log as a service of Windows has it: no standard error, files alone."""
    monkeypatch.setattr(sys, "stderr", None)
    configure_logging("auto")
    keep_log(config)
    yield config.log_path
    for handler in logging.getLogger().handlers:
        handler.close()


def lines(path: Path) -> list[dict[str, Any]]:
    return list(LogReader(path).read())


def test_a_line_about_a_job_carries_id_stage_and_attempt(kept: Path) -> None:
    log_event(logger, logging.INFO, "before")
    with job_log_context(JOB, 2, "fetch"):
        log_event(logger, logging.INFO, "fetched", seconds=1.5)
        at_stage("infer")
        logging.getLogger("library").warning("%s of another", "a line")
    log_event(logger, logging.INFO, "after")
    told = [{key: item for key, item in line.items() if key != "time"} for line in lines(kept)]
    job = {"job": JOB, "attempt": 2}
    assert told == [
        {"level": "info", "event": "before"},
        {"level": "info", "event": "fetched", **job, "stage": "fetch", "seconds": 1.5},
        {"level": "warning", "event": "a line of another", **job, "stage": "infer"},
        {"level": "info", "event": "after"},
    ]


def test_what_a_line_concerns_is_the_threads_own() -> None:
    seen: list[dict[str, Any]] = []
    with job_log_context(JOB, 1, "fetch"):
        thread = threading.Thread(target=lambda: seen.append(current_log_context()))
        thread.start()
        thread.join()
        seen.append(current_log_context())
    assert seen == [{}, {"job": JOB, "attempt": 1, "stage": "fetch"}]
    at_stage("infer")
    assert current_log_context() == {}


def test_the_download_s_threads_write_about_the_same_job(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    pool = object.__new__(DownloadPool)
    monkeypatch.setattr(DownloadPool, "_work", lambda _self: seen.append(current_log_context()))
    with job_log_context(JOB, 1, "fetch"):
        thread = pool._start()
    thread.join()
    assert seen == [{"job": JOB, "attempt": 1, "stage": "fetch"}]


def test_the_worker_s_lines_say_which_job_they_concern(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = io.StringIO()
    monkeypatch.setattr(sys, "stderr", console)
    line: dict[str, Any] = {"time": "2026-01-01T00:00:00+00:00", "level": "error"}
    line |= {"event": "unexpected 100 %s"}
    line |= {"job": JOB, "attempt": 1, "stage": "infer", "kind": "ValueError"}
    text = io.StringIO(f"torch: no CUDA\n{json.dumps(line)}\n[1]\n")
    pass_on(text, threading.Event())
    (found,) = lines(kept)
    assert found.pop("time") > "2026-01-02"
    assert found == {**{k: v for k, v in line.items() if k != "time"}, "by": "worker"}
    assert console.getvalue() == "torch: no CUDA\n[1]\n", "shown, never kept"


def test_from_the_first_data_set_on_only_places_in_the_code_are_shown(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = io.StringIO()
    monkeypatch.setattr(sys, "stderr", console)
    may_quote = threading.Event()
    may_quote.set()
    place = '  File "/opt/lab/read.py", line 7, in read\n'
    text = f"ITK: PatientName Zebrafinch\n{place}    name = 'Zebrafinch'\nKeyError: Zebrafinch\n"
    pass_on(io.StringIO(text), may_quote)
    assert console.getvalue() == place
    assert not kept.exists() or not lines(kept)


def test_files_rotate_and_are_read_from_the_oldest_line_on(kept: Path) -> None:
    for number in range(400):
        log_event(logger, logging.INFO, "line", number=number)
    files = sorted(path.name for path in kept.parent.iterdir())
    assert files == ["lab-1.log", "lab-1.log.1", "lab-1.log.2"]
    assert all(path.stat().st_size <= 10_000 for path in kept.parent.iterdir())
    numbers = [line["number"] for line in lines(kept)]
    assert numbers == list(range(numbers[0], 400))


def test_a_reader_goes_on_over_rotations_and_waits_for_the_end_of_a_line(kept: Path) -> None:
    reader = LogReader(kept)
    assert list(reader.read()) == []
    read: list[int] = []
    for number in range(300):
        log_event(logger, logging.INFO, "line", number=number)
        if number % 7 == 0:
            read += [line["number"] for line in reader.read()]
    read += [line["number"] for line in reader.read()]
    assert read == list(range(300))
    with kept.open("a") as file:
        file.write('{"number": ')
        file.flush()
        assert list(reader.read()) == []
        file.write("300}\nno JSON\n[]\n")
    assert [line["number"] for line in reader.read()] == [300]


def test_a_file_that_cannot_be_renamed_is_written_on(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, while another program has it open."""

    def refuse(_source: object, _target: object) -> None:
        raise PermissionError(13, "in use")

    monkeypatch.setattr(os, "rename", refuse)
    for number in range(300):
        log_event(logger, logging.INFO, "line", number=number)
    monkeypatch.undo()
    assert [line["number"] for line in lines(kept)] == list(range(300))


def test_a_disk_that_refuses_costs_lines_and_nothing_else(
    config: LocalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = io.StringIO()
    monkeypatch.setattr(sys, "stderr", console)
    configure_logging("json")
    config.home.mkdir()
    (config.home / "logs").touch()
    keep_log(config)
    log_event(logger, logging.INFO, "goes on")
    (config.home / "logs").unlink()
    keep_log(config)
    config.log_path.mkdir()
    log_event(logger, logging.INFO, "also here")
    told = [json.loads(line)["event"] for line in console.getvalue().splitlines()]
    assert told == ["log file not kept", "goes on", "also here"]
    assert isinstance(logging.getLogger().handlers[-1], LogFile)


@pytest.fixture
def settings(config: LocalConfig, tmp_path: Path) -> Path:
    """A file with the settings, and three lines in the log."""
    path = tmp_path / "agent.toml"
    path.write_text(f"agent_id = \"lab-1\"\nwork_dir = '{config.work_dir}'\n")
    now = datetime.now(UTC)
    config.log_path.parent.mkdir(parents=True)
    with config.log_path.open("w") as file:
        for age, job in ((timedelta(days=2), JOB), (timedelta(hours=1), OTHER), (timedelta(), JOB)):
            line = {
                "time": (now - age).isoformat(),
                "level": "info",
                "event": "x\x1b[2J",
                "job": job,
            }
            file.write(json.dumps(line) + "\n")
        file.write('{"event": "without a time"}\n')
    return path


def show(settings: Path, *arguments: str) -> int:
    return cli.run(["--config", str(settings), "logs", *arguments])


@pytest.mark.parametrize(
    ("arguments", "jobs"),
    [
        ([], [JOB, OTHER, JOB, None]),
        (["--job", JOB.upper()], [JOB, JOB]),
        (["--since", "90min"], [OTHER, JOB]),
        (["--since", "2h", "--job", JOB], [JOB]),
        (["--since", (datetime.now() - timedelta(days=3)).isoformat()], [JOB, OTHER, JOB]),
        (["-n", "2"], [JOB, None]),
        (["-n", "9" * 5000], [JOB, OTHER, JOB, None]),
        (["--job", JOB, "-n", "1"], [JOB]),
    ],
)
def test_logs_shows_what_was_asked_for(
    settings: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], jobs: list[str | None]
) -> None:
    assert show(settings, "--json", *arguments) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("job") for line in told] == jobs


def test_logs_speaks_to_a_person(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(settings, "-n", "2") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d x\?\[2J \(job={JOB}\)", first)
    assert second == "? without a time"


def test_logs_tells_where_it_looked_in_vain(
    settings: Path, config: LocalConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show(settings, "--job", "01" + "z" * 24) == 75
    assert str(config.log_path) in capsys.readouterr().err


def test_logs_of_another_account_are_told_from_no_logs(
    settings: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_folder: object) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("lab_side.commands.logs.os.listdir", refuse)
    assert show(settings) == 78
    assert "[log-closed]" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["yesterday", "5 weeks", "25:00", "0x", "999999d", "9999-12-31T23:59-10:00"]
)
def test_logs_refuses_a_time_that_it_does_not_understand(settings: Path, text: str) -> None:
    with pytest.raises(SystemExit) as caught:
        show(settings, "--since", text)
    assert caught.value.code == 2


def test_logs_follows_until_it_is_stopped(
    settings: Path,
    config: LocalConfig,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns = iter([{"event": "new", "job": JOB}, {"event": "new", "job": OTHER}])

    def add(_seconds: float) -> None:
        line = next(turns, None)
        if line is None:
            raise KeyboardInterrupt
        with config.log_path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    monkeypatch.setattr("lab_side.commands.logs.time.sleep", add)
    assert show(settings, "--follow", "--job", JOB, "-n", "1", "--json") == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["event"][0], line["job"]) for line in told] == [("x", JOB), ("n", JOB)]


def test_what_concerns_is_put_back_also_after_an_error() -> None:
    with pytest.raises(ValueError, match="x"), log_context({"job": JOB}):
        raise ValueError("x")
    assert current_log_context() == {}
