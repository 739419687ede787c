"""What all benches share: options, the report on the terminal, rounds and their figures."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from infra.benches import rounds
from infra.benches.harness import Bench, Plan, Scene
from infra.benches.machine import filesystem
from infra.benches.report import as_expected, figure_table
from infra.benches.rounds import interleaved, percentile, ratio

EXPECTED = {"speed": ("at least", 2.0), "time": ("at most", 3.0), "peer": ("at least", 1.0)}


def _bench() -> Bench[Plan, Scene[Plan]]:
    return Bench(
        name="test",
        description="A bench.",
        seed=1,
        plan=Plan,
        options={"rounds": (3, "runs of each")},
        quick={"rounds": 1},
        peers=("other",),
        scene=Scene,
        phases={
            "first": lambda scene: {"speed": scene.plan.rounds, "peer": None},
            "second": lambda scene: {"time": 4.0, "rows": {"a": {"s": 1.234, "n": None}}},
        },
        summary=lambda measured: {"sum": measured["speed"] + measured["time"]},
        expected=EXPECTED,
        also_shown=("sum",),
        tables=lambda report: [
            figure_table("row", {"s": "s:.1f", "n": "n"}, report["rows"]),
            "[end]",
        ],
    )


def test_json_is_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _bench().main(["--json", "--no-peers", "--dir", str(tmp_path)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["bench"], report["seed"]) == ("test", 1)
    assert report["plan"] == {"rounds": 3, "peers": []}
    assert report["as_expected"] == {"speed": True, "time": False, "peer": None}
    assert report["sum"] == 7.0
    assert report["machine"]["cores"] > 0
    assert not list(tmp_path.iterdir())


def test_the_report_has_the_machine_the_headlines_and_the_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _bench().main(["--quick", "--dir", str(tmp_path)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    cells = [[cell for cell in line if cell not in "│┃"] for line in lines]
    for row in (
        ["speed", "1", "NO"],
        ["time", "4.0", "NO"],
        ["peer", "None", "-"],
        ["sum", "5.0", "-"],
    ):
        assert row in cells
    assert ["a", "1.2", "-"] in cells
    assert lines[-1] == ["[end]"]


def test_what_is_expected_is_compared_with_the_limit_included() -> None:
    assert as_expected(EXPECTED, {"speed": 2.0, "time": 3.0}) == {
        "speed": True,
        "time": True,
        "peer": None,
    }
    assert as_expected(EXPECTED, {"speed": 1.9, "time": 3.1})["speed"] is False


def test_every_contender_runs_once_a_round_and_a_slow_one_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rounds, "SLOW_S", 5.0)
    seconds = {"quick": 1.0, "slow": 6.0}
    order: list[str] = []

    def measure(kind: str) -> float:
        order.append(kind)
        return seconds[kind]

    found = interleaved(seconds, 4, random.Random(1), measure, seconds=lambda one: one)
    assert found == {"quick": [1.0] * 4, "slow": [6.0]}
    assert sorted(order[:2]) == ["quick", "slow"]


def test_figures() -> None:
    assert ratio([3.0, 9.0, 6.0], [1.0, 1.0, 1.0]) == 6.0
    assert percentile(range(1, 101), 0.99) == 99
    assert percentile([5.0], 0.99) == 5.0


def test_the_filesystem_is_that_of_the_folder(tmp_path: Path) -> None:
    assert " on " in filesystem(tmp_path)
    assert filesystem(Path("/proc")).startswith("proc ")
