"""The demo with one study as four series and as one: Orthanc, site and agent give one mask."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from infra.one_series.__main__ import main as rewrite
from infra.one_series.rewrite import Kind
from infra.phantom.case import make_case, scanner_grid
from infra.phantom.dicom import write_study
from tests.support.paths import ROOT

SHAPE, SPACING = (40, 96, 110), (1.5, 1.5, 3.0)
LIMIT_S = 300


def run_demo(study: Path, out: Path) -> Dataset:
    """The SEG; the demo itself checks frames through the site, dciodvfy, references and dcmqi."""
    words = ["--exit", "--profile", "demo", "--study", str(study), "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "infra.demos.job", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Everything passed." in done.stdout
    return pydicom.dcmread(out / "seg.dcm")


@pytest.mark.long
def test_each_kind_of_series_gives_the_mask_of_four(tmp_path: Path) -> None:
    case = make_case(
        31,
        has_lesion=True,
        grid=lambda anatomy: scanner_grid(anatomy, shape=SHAPE, spacing=SPACING),
    )
    write_study(case, tmp_path / "study")
    apart = tmp_path / "study" / "dicom"
    known = run_demo(apart, tmp_path / "apart")
    for kind in Kind:
        one = tmp_path / kind
        rewrite([str(apart), "--out", str(one), "--kind", kind, "--order", "shuffled"])
        seg = run_demo(one, tmp_path / f"out-{kind}")
        assert seg.PixelData == known.PixelData
        assert len(seg.ReferencedSeriesSequence) == 1
        sources = [
            source
            for group in seg.PerFrameFunctionalGroupsSequence
            for source in group.DerivationImageSequence[0].SourceImageSequence
        ]
        assert all(
            ("ReferencedFrameNumber" in one) is (kind is not Kind.CLASSIC) for one in sources
        )
