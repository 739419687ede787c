"""The transfer bench: its parts, and the structure of its report; never how fast anything is."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest

from infra.benches.child import PEERS_PYTHON, started_workers
from infra.benches.report import print_report
from infra.benches.seg import SEGMENTS, write_seg
from infra.benches.study import SERIES, StoredStudy, SyntheticStudy
from infra.benches.transfer import bench
from infra.benches.transfer.phases import sustained
from infra.benches.transfer.phases.downloads import BLACK_KINDS
from infra.benches.transfer.phases.upload import KINDS as UPLOAD_KINDS
from infra.benches.transfer.runs import PEERS, Worker, download, upload
from infra.benches.transfer.scene import LINES, Route, TransferPlan, TransferScene
from infra.benches.transfer.table import CONTENDERS, SUSTAINED
from infra.benches.transfer.tasks import Server
from infra.line import LineProfile
from infra.packages.debian import repository_root
from infra.phantom.anatomy import Anatomy
from infra.phantom.case import make_case, scanner_grid
from infra.phantom.grid import Grid

FAST = LineProfile(rtt_ms=2, mbit=400)
TINY = TransferPlan(
    rounds=1,
    instances=3,
    peers=(),
    seed=1,
    blast_s=0.05,
    jobs=2,
    jobs_alone=1,
    lines={name: line and FAST for name, line in LINES.items()},
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TransferScene]:
    with TransferScene(TINY, tmp_path_factory.mktemp("scene")) as scene:
        yield scene


@pytest.fixture
def study(scene: TransferScene) -> StoredStudy:
    return scene.stored("noisy")


@pytest.fixture
def naive() -> Iterator[Worker]:
    with started_workers(Worker, ["naive"]) as workers:
        yield workers["naive"]


@pytest.mark.process
@pytest.mark.parametrize("kind", PEERS)
def test_every_peer_takes_part(scene: TransferScene, study: StoredStudy, kind: str) -> None:
    if not (repository_root() / PEERS_PYTHON).exists():
        pytest.skip("infra/bench has not installed the peers here")
    with started_workers(Worker, [kind]) as workers, scene.route("wan30") as route:
        assert download(scene, workers[kind], route, study).seconds >= 2 * FAST.rtt_ms / 1e3


@pytest.mark.process
def test_too_few_or_other_instances_are_an_error(
    scene: TransferScene, study: StoredStudy, naive: Worker
) -> None:
    with scene.route("loopback") as route:
        download(scene, naive, route, study)
        uid, found = next(iter(study.instances.items()))
        more = {**study.instances, "1.2.3": found}
        other = {**study.instances, uid: found._replace(pixels="0" * 64)}
        larger = {**study.instances, uid: found._replace(size=1)}
        for instances, message in (
            (more, "brought 12 of 13 instances"),
            (other, "not the stored one"),
            (larger, "not the stored one"),
        ):
            with pytest.raises(RuntimeError, match=message):
                download(scene, naive, route, replace(study, instances=instances))


@pytest.mark.process
def test_an_upload_is_compared_and_leaves_nothing_behind(
    scene: TransferScene, tmp_path: Path
) -> None:
    path = tmp_path / "seg.dcm"
    write_seg(scene.study("black"), path)
    with started_workers(Worker, ["upload"]) as workers, scene.route("upload20") as route:
        for _ in range(2):
            upload(scene, workers["upload"], route, path)
        spoilt = bytearray(path.read_bytes())
        with scene.orthanc.session() as session:
            session.post(f"{scene.orthanc.url}/instances", bytes(spoilt)).raise_for_status()
        spoilt[-1] ^= 1
        path.write_bytes(spoilt)
        with pytest.raises(RuntimeError, match="stored other bytes"):
            upload(scene, workers["upload"], route, path)


def test_noise_does_not_compress_and_a_black_background_eight_times() -> None:
    for kind, least, most in (("noisy", 0.99, 1.01), ("black", 7.0, 9.0)):
        files = []
        for image in SyntheticStudy(kind, instances=15, seed=1).images(0):
            buffer = BytesIO()
            image.save_as(buffer, enforce_file_format=True)
            files.append(buffer.getvalue())
        ratio = sum(map(len, files)) / sum(len(zlib.compress(data)) for data in files)
        assert least < ratio < most


def test_a_study_is_the_same_each_time_and_no_two_images_are() -> None:
    pixels = [
        image.PixelData
        for _ in range(2)
        for series in range(SERIES)
        for image in SyntheticStudy("noisy", instances=2, seed=1).images(series)
    ]
    assert pixels[:8] == pixels[8:]
    assert len(set(pixels)) == 8


def test_the_seg_has_every_segment_in_every_slice_and_is_nearly_empty(tmp_path: Path) -> None:
    path = tmp_path / "seg.dcm"
    write_seg(SyntheticStudy("black", instances=5, seed=1), path)
    seg = pydicom.dcmread(path)
    assert (seg.SegmentationType, seg.NumberOfFrames) == ("BINARY", 5 * len(SEGMENTS))
    assert 0 < seg.pixel_array.mean() < 0.05
    assert len(gzip.compress(path.read_bytes())) < path.stat().st_size / 20


def test_the_byte_limit_is_full_bandwidth_and_two_round_trips() -> None:
    server: Server = {"url": "", "user": "", "password": ""}
    route = Route(server=server, profile=LineProfile(rtt_ms=30, mbit=8), pid=None)
    assert route.limit_s(2_000_000) == pytest.approx(2.06)
    assert replace(route, profile=None).limit_s(1) is None


@pytest.fixture(scope="module")
def report(scene: TransferScene) -> dict[str, Any]:
    """Of a run on the one scene of these tests; the agent works once for both of its phases."""

    def coarse(anatomy: Anatomy) -> Grid:
        return scanner_grid(anatomy, shape=(12, 32, 36), spacing=(5.0, 5.0, 12.0))

    found: list[dict[str, Any]] = []
    measure = sustained.measure

    def once(*arguments: Any, **plan: Any) -> dict[str, Any]:
        if not found:
            found.append(measure(*arguments, **plan))
        return found[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sustained, "make_case", partial(make_case, grid=coarse))
        patch.setattr(sustained, "measure", once)
        run = replace(bench.BENCH, scene=lambda *_: nullcontext(scene))
        return run.measure(TINY, scene.folder)


def test_a_tiny_run_has_every_figure(report: dict[str, Any]) -> None:
    assert set(report["as_expected"]) == set(bench.BENCH.expected)
    for figure in bench.BENCH.expected:
        if figure == "wan30_vs_pyorthanc":
            assert report[figure] is None
        else:
            assert report[figure] >= 0
    for line in report["downloads"].values():
        assert set(line["contenders"]) == {"naive", "session", "ours"}
        assert (line["instances"], line["bytes"] > 900_000) == (12, True)
    for line in report["black_background"].values():
        assert set(line["contenders"]) == set(BLACK_KINDS)
    assert set(report["upload"]["contenders"]) == set(UPLOAD_KINDS)
    assert set(report["line_alone"]) == {"unlimited", "wan10", "wan30", "thin30", "upload20"}
    assert report["folder_alone"]["files"] == 12
    assert report["folder_alone"]["files_s"] > 0
    assert report["machine"]["cores"] > 0
    for phase in SUSTAINED:
        run = report[phase]
        assert set(run["stages_alone_s"]) == set(run["stages_together_s"])
        assert run["slowest_stage"] in run["stages_alone_s"]
        assert min(run["agent_peak_mib"] + run["worker_peak_mib"]) > 0


def test_no_line_is_faster_than_its_limit(report: dict[str, Any]) -> None:
    rows = [report["line_alone"][name] for name, line in TINY.lines.items() if line]
    for phase in ("downloads", "black_background"):
        rows += [
            row
            for line in report[phase].values()
            for kind, row in line["contenders"].items()
            if line["limit_s"] is not None and kind != "ours-archive"
        ]
    assert len(rows) == 4 + 2 * 3 + 2 * 2
    assert all(row["to_limit"] >= 0.99 for row in rows)


def test_the_table_names_everybody(
    report: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    print_report(report, (), bench.BENCH.tables(report))
    text = capsys.readouterr().out
    for threads in SUSTAINED.values():
        assert threads in " ".join(text.split())
    for kind in ("naive", "session", *BLACK_KINDS, *UPLOAD_KINDS):
        assert CONTENDERS[kind] in text
    assert set(CONTENDERS) == {"naive", "session", *PEERS, *BLACK_KINDS, *UPLOAD_KINDS}
