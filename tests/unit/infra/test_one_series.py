"""The command that rewrites the phases of a study as one series."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest

from infra.one_series.__main__ import main
from segrelay.parts import PartKey, split_series
from tests.support.dicom.dicom_series import make_affine, write_series
from tests.support.dicom.one_series import images_in

PHASES, SLICES = 3, 5


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A zip file with a series for each phase, whose numbers run against their names."""
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for phase in range(PHASES):
            for path in write_series(
                tmp_path / "apart" / f"{9 - phase}",
                np.full((SLICES, 8, 8), 100 + phase, np.uint16),
                make_affine(),
                series_uid=f"2.25.77{phase}",
                seed=phase,
            ):
                image = pydicom.dcmread(path)
                image.SeriesNumber = phase + 1
                image.save_as(path)
                file.write(path, f"{9 - phase}/{path.name}")
    return archive


@pytest.mark.parametrize(
    ("kind", "files"), [("classic", 15), ("enhanced", 1), ("enhanced-phases", 3)]
)
def test_a_study_becomes_one_series(study: Path, tmp_path: Path, kind: str, files: int) -> None:
    out = tmp_path / "one"
    words = ["--kind", kind, "--key", "trigger-time", "--order", "shuffled"]
    main([str(study), "--out", str(out), *words])
    paths = sorted(out.iterdir())
    assert len(paths) == files
    assert len({pydicom.dcmread(path).SeriesInstanceUID for path in paths}) == 1
    split = split_series(images_in(paths))
    assert (split.key, [len(part.images) for part in split.parts]) == (
        PartKey.TRIGGER_TIME,
        [SLICES] * PHASES,
    )
    for phase, part in enumerate(split.parts):
        for image in part.images:
            pixels = pydicom.dcmread(image.instance).pixel_array.reshape(-1, 8, 8)
            assert (pixels[(image.frame or 1) - 1] == 100 + phase).all()


def test_phases_of_other_sizes_are_refused(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([str(study), "--out", str(tmp_path / "one"), "--series", "1", "7"])
    assert "fewer than two series" in capsys.readouterr().err
    assert not (tmp_path / "one").exists()


def test_nothing_is_overwritten(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([str(study), "--out", str(tmp_path)])
    assert "not empty" in capsys.readouterr().err
