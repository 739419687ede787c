"""The web bench: its parts, and the structure of its report; never how fast anything is."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import SimpleITK

from infra.benches.report import print_report
from infra.benches.web import bench, frames, niivue
from infra.benches.web.first import LEFT_OUT
from infra.benches.web.frames import OURS
from infra.benches.web.reading import OTHERS
from infra.benches.web.scene import SEG_KINDS, SHAPES, WebPlan, WebScene
from infra.benches.web.study import Phases, tumour
from infra.benches.web.table import CONTENDERS, OVERLAYS, SIZES
from infra.packages.programs import CHROMIUM

SHAPE = (12, 48, 40)
TINY = WebPlan(rounds=1, seed=1, shapes={"brats": SHAPE})


def test_the_tumour_is_three_shells_one_in_another() -> None:
    oedema, enhancing, necrosis = tumour((80, 90, 100), seed=1)
    assert 60_000 < oedema.sum() < 90_000
    for outer, inner in ((oedema, enhancing), (enhancing, necrosis)):
        assert 0 < inner.sum() < outer.sum()
        assert not (inner > outer).any()


def test_the_volumes_of_niivue_are_the_phases(tmp_path: Path) -> None:
    script = tmp_path / "script.js"
    script.write_text("")
    phases = Phases(SHAPE, seed=1)
    (tmp_path / "site").mkdir()
    niivue.write_site(tmp_path / "site", script, phases)
    for series in range(4):
        image = SimpleITK.ReadImage(str(tmp_path / "site" / f"{series}.nii.gz"))
        voxels = [np.frombuffer(one.PixelData, "<u2") for one in phases.images(series)]
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), np.reshape(voxels, SHAPE))
        assert np.allclose(image.GetOrigin(), 0)
        assert np.allclose(image.GetDirection(), np.eye(3).ravel())


def test_its_page_is_served_on_loopback(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(niivue.PAGE)
    with niivue.serve(tmp_path) as address:
        assert requests.get(address, timeout=30).text == niivue.PAGE
    assert niivue.PAGE.count("<canvas>") == 4


@pytest.mark.process
def test_why_there_is_no_niivue_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert niivue.fetch(tmp_path) == (None, "npm is not installed")
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/false")
    assert niivue.fetch(tmp_path) == (None, "npm pack failed (CalledProcessError)")

    def another(command: list[str], **_: Any) -> None:
        Path(command[-1], "niivue.tgz").write_bytes(gzip.compress(b"another package"))

    monkeypatch.setattr(subprocess, "run", another)
    found, reason = niivue.fetch(tmp_path)
    assert (found, "not the one" in reason) == (None, True)
    kept = tmp_path / niivue.VERSION / niivue.SCRIPT
    kept.parent.mkdir()
    kept.write_text("script")
    assert niivue.fetch(tmp_path) == (kept, "")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebScene]:
    with WebScene(TINY, tmp_path_factory.mktemp("scene")) as scene:
        yield scene


@pytest.fixture(scope="module")
def report(scene: WebScene) -> dict[str, Any]:
    """Of a run on the one scene of these tests, with one site for all phases."""
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed")
    with pytest.MonkeyPatch.context() as patch, scene.site() as site:
        patch.setattr(scene, "site", lambda: nullcontext(site))
        # In a thread of its own: other tests of this process may have a browser open.
        with ThreadPoolExecutor(1) as thread:
            run = replace(bench.BENCH, scene=lambda *_: nullcontext(scene))
            return thread.submit(run.measure, TINY, scene.folder).result()


def test_a_tiny_run_has_every_figure(report: dict[str, Any]) -> None:
    assert set(report["as_expected"]) == set(bench.BENCH.expected)
    assert set(report["frames"]["contenders"]) == {*OURS, *OTHERS} == set(CONTENDERS)
    assert report["frames"]["frames"] == 3 * SHAPE[0]
    assert set(report["overlay"]) == set(SEG_KINDS) == set(OVERLAYS)
    for row in report["overlay"].values():
        assert 0 < row["labels_kib"] < row["page_kib"]
        assert row["png_kib"] > 0
    assert set(SIZES) == set(SHAPES)
    assert set(report["first_image"]) == set(TINY.shapes)
    for row in report["first_image"].values():
        assert (row["shape"], row["ours_runs"], row["ours_ms"] > 0) == ([4, *SHAPE], 1, True)
    assert report["machine"]["cores"] > 0


def test_without_niivue_its_figure_is_null_and_the_reason_is_given(report: dict[str, Any]) -> None:
    assert report["first_image_vs_niivue"] is None
    assert report["as_expected"]["first_image_vs_niivue"] is None
    assert report["niivue"] == {"version": None, "reason": LEFT_OUT}


@pytest.mark.process
def test_a_contender_that_finds_other_voxels_is_an_error(
    scene: WebScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OTHERS, "bits", lambda *_: (1, 0))
    seg_id = scene.store_seg("brats", "tumour", "test")
    with pytest.raises(RuntimeError, match="bits found 1"):
        frames._other(scene, "bits", seg_id, 36, 1000)


def test_the_table_names_everybody(
    report: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    print_report(report, (), bench.BENCH.tables(report))
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    for name in (*CONTENDERS.values(), *OVERLAYS.values(), LEFT_OUT):
        assert name in text
