"""The whole bench: its parts, and the structure of its report; never how fast anything is."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from infra.benches.infer.plain import naive_seg
from infra.benches.report import print_report
from infra.benches.whole import bench, phases
from infra.benches.whole.case import LEAST_SHARE, BreastCase
from infra.benches.whole.click import split
from infra.benches.whole.measure import CLOUD, ORTHANC, JobDone, Sample, System, figures, measured
from infra.benches.whole.peers import mosec_web
from infra.benches.whole.process_tree import Peaks, ProcessTree
from infra.benches.whole.relay import LAB
from infra.benches.whole.scene import CASE, WholePlan, WholeScene
from infra.benches.whole.systems import DIRECTORY, MOSEC, RELAYS, SYSTEMS
from infra.benches.whole.table import WORDS, tables
from infra.servers.site_and_agent import DemoError

SLICES, SIDE = 12, 32
TINY = WholePlan(seed=1, rounds=1, slices=SLICES, side=SIDE, window=64, jobs=2)

_BURN = """
import subprocess, sys, time
if len(sys.argv) < 2:
    subprocess.run([sys.executable, __file__, "child"], check=True)
    print("burnt", flush=True)
    sys.stdin.read()
end = time.process_time() + 0.3
while time.process_time() < end: pass
"""


def _seg(case: BreastCase, share: float) -> bytes:
    """A SEG of the slices' lesion, of the first ``share`` of them that have one."""
    images = list(case.images(0))
    masks = np.stack([case.lesion(position) for position in range(len(images))])
    there = np.flatnonzero(masks.any(axis=(1, 2)))
    masks[there[round(share * len(there)) :]] = False
    buffer = io.BytesIO()
    naive_seg(images, masks[..., None], is_whole=False).save_as(buffer)
    return buffer.getvalue()


def test_the_lesion_is_brighter_after_contrast_and_nowhere_else() -> None:
    case = BreastCase(SLICES, SIDE, seed=1)
    before, after = (list(case.images(series))[SLICES // 2].pixel_array for series in (0, 1))
    lesion = case.lesion(SLICES // 2)
    assert lesion.any()
    assert after[lesion].mean() > 2 * before[lesion].mean()
    assert after[~lesion].mean() == pytest.approx(before[~lesion].mean(), rel=0.1)


def test_the_share_of_the_lesion_in_a_seg() -> None:
    case = BreastCase(SLICES, SIDE, seed=1)
    assert case.share_found(_seg(case, 1)) == 1
    assert 0.1 < case.share_found(_seg(case, 0.4)) < LEAST_SHARE


@pytest.mark.process
def test_a_tree_has_the_time_of_what_has_ended(tmp_path: Path) -> None:
    script = tmp_path / "burn.py"
    script.write_text(_BURN)
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        tree = ProcessTree([process.pid])
        assert psutil.Process(process.pid).children() == []
        assert tree.cpu_s() >= 0.3
        assert tree.written() >= 0
        with Peaks({"it": tree}) as peaks:
            pass
        assert peaks.mib["it"] > 1
        process.communicate(b"")
    assert tree.cpu_s() == 0


class _Idle(System):
    """Does nothing, in no process."""

    def __init__(self) -> None:
        self.trees = {CLOUD: ProcessTree([psutil.Process().pid])}

    def job(self) -> JobDone:
        return JobDone(steps={"nothing": 0.0})


def test_a_job_is_counted_by_tree() -> None:
    system = _Idle()
    sample = measured(system, psutil.Process().pid, system.job)
    assert set(sample.cpu_s) == set(sample.peak_mib) == {CLOUD, ORTHANC}
    assert sample.seconds >= 0
    assert sample.line_bytes == 0
    assert sample.steps == {"nothing": 0.0}


def _sample(seconds: float, cloud_cpu: float, *, side: str = LAB) -> Sample:
    return Sample(
        seconds=seconds,
        cpu_s={CLOUD: cloud_cpu, ORTHANC: 0.5, side: 9.0},
        peak_mib={CLOUD: 100 * cloud_cpu, ORTHANC: 50, side: 700},
        loopback_bytes=10_000_000,
        line_bytes=0,
        written_bytes={CLOUD: 0, ORTHANC: 0},
        steps={},
    )


def test_figures_are_medians() -> None:
    row = figures([_sample(3, 1), _sample(1, 2), _sample(2, 9)])
    assert (row["seconds"], row["runs"], row["cpu_s"][CLOUD]) == (2, 3, 2)


def test_ratios_count_orthanc_for_both_and_are_null_without_a_peer() -> None:
    ours, theirs = figures([_sample(10, 0.5)]), figures([_sample(20, 39.5)])
    found = phases._ratios({DIRECTORY: ours, MOSEC: theirs})
    assert found["job_vs_mosec"] == 2
    assert found["cloud_cpu_vs_mosec"] == pytest.approx(1 / 40)
    assert found["cloud_cpu_vs_mosec_without_orthanc"] == pytest.approx(0.5 / 39.5, abs=1e-4)
    assert found["cloud_memory_vs_mosec"] == pytest.approx(100 / 4000)
    assert found["job_vs_seed"] is found["job_vs_monailabel"] is None


def test_stages_add_up_from_the_click_to_the_mask() -> None:
    page = {"clicked": 10.0, "answered": 10.2, "finished": 21.0, "mask": 21.6}
    events = {"job claimed": 10.1, "job opened": 10.15, "SEG written": 20.0}
    stages = {"fetch": 1.0, "read": 0.5, "preprocess": 0.5, "infer": 7.0, "upload": 0.3}
    found = split(page, events, stages)
    assert sum(found.values()) == pytest.approx(11.6)
    assert found["seen"] == 0
    assert found["infer"] == 7.0
    assert found["between"] == pytest.approx(20.0 - 11.15 - 8.0)
    assert found["mask"] == pytest.approx(0.6)


@pytest.fixture
def mosec() -> Iterator[str]:
    """Something that answers as Mosec's service does."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.upper())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/inference"
        server.shutdown()
        thread.join()


def test_the_web_process_hands_a_request_on(mosec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_MOSEC", mosec)
    body = json.dumps({"series": ["a"]}).encode()
    said: list[str] = []
    answer = mosec_web.application(
        {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)},
        lambda status, _: said.append(status),
    )
    assert b"".join(answer) == body.upper()
    assert said == ["200 OK"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeScene]:
    with WholeScene(TINY, tmp_path_factory.mktemp("scene")) as scene:
        yield scene


@pytest.mark.process
def test_a_seg_is_looked_at_and_removed(scene: WholeScene) -> None:
    def store(share: float) -> None:
        with scene.orthanc.session() as session:
            seg = _seg(scene.case, share)
            session.post(f"{scene.orthanc.url}/instances", seg).raise_for_status()

    store(1)
    scene.check_and_remove("it")
    with pytest.raises(DemoError, match="stored 0 SEGs, not 1"):
        scene.check_and_remove("it")
    store(0.3)
    with pytest.raises(DemoError, match="of the lesion"):
        scene.check_and_remove("it")


@pytest.mark.process
def test_the_model_is_that_of_its_profile(scene: WholeScene) -> None:
    assert scene.profile.inference.window == (TINY.window,) * 3
    assert len(scene.stored(CASE).series_ids) == len(scene.profile.roles)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a run without peers, which need venvs of their own."""
    return bench.BENCH.measure(TINY, tmp_path_factory.mktemp("run"))


def test_a_tiny_run_has_every_figure(report: dict[str, Any]) -> None:
    assert set(report["as_expected"]) == set(bench.BENCH.expected)
    assert set(report["one_job"]) == set(RELAYS)
    assert set(report["left_out"]) == set(SYSTEMS) - set(RELAYS)
    assert report["job_vs_mosec"] is report["eight_jobs_vs_mosec"] is None
    for row in report["one_job"].values():
        assert set(row["cpu_s"]) == {CLOUD, LAB, ORTHANC}
    for line in ("wan10", "wan30"):
        assert report["one_job"][line]["line_mb"] > 0
    assert report["start_to_ready_s"] > 0
    stages = report["click_to_mask_s"]
    assert stages["whole"] == pytest.approx(
        sum(s for name, s in stages.items() if name != "whole"), abs=0.05
    )
    assert 0 < report["overhead_s"] < stages["whole"]


def test_the_table_names_everybody(capsys: pytest.CaptureFixture[str]) -> None:
    row = figures([_sample(10, 0.5)])
    report = {
        "date": "",
        "seed": 1,
        "as_expected": {},
        "left_out": {"monailabel": "It is not here."},
        "machine": dict.fromkeys(
            ("cpu", "cores", "memory_gb", "filesystem", "python", "load_before", "load_after")
        ),
        "one_job": {name: row for name in SYSTEMS if name != "monailabel"},
        "several_jobs": {DIRECTORY: row},
        "click_to_mask_s": {"whole": 12.0, "submit": 0.1},
    }
    print_report(report, (), tables(report))
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    for words in (*WORDS.values(), "It is not here.", "submit 0.10"):
        assert words in text
