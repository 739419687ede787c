"""The bench of the demo's start: what it counts, and the structure of its report."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.benches.harness import Plan
from infra.benches.report import print_report
from infra.benches.start.bench import BENCH
from infra.benches.start.demo import _processor_seconds

BUSY = "import time\nwhile time.process_time() < 0.3: pass\nprint(1, flush=True)\ninput()"


@pytest.mark.process
def test_processes_that_run_and_those_that_ended_are_counted_once() -> None:
    before = _processor_seconds()
    with subprocess.Popen(
        [sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        while_it_runs = _processor_seconds() - before
        child.communicate(b"\n")
    after = _processor_seconds() - before
    assert 0.2 < while_it_runs <= after + 0.02
    assert after - while_it_runs < 0.2


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return BENCH.measure(Plan(seed=1, rounds=1), tmp_path_factory.mktemp("start"))


def test_one_start_has_every_figure(
    report: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert set(report["as_expected"]) == set(BENCH.expected)
    assert 0 < report["demo_start_cpu_s"] < 120
    assert report["starts"] == [
        {
            "s": pytest.approx(report["demo_start_s"], abs=0.01),
            "cpu_s": pytest.approx(report["demo_start_cpu_s"], abs=0.01),
        }
    ]
    print_report(report, BENCH.also_shown, BENCH.tables(report))
    assert "processor seconds" in capsys.readouterr().out
