"""``lab-agent evaluate`` as a person uses it, with the real worker process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the library's own abbreviation)

from infra.phantom.anatomy import Anatomy
from infra.phantom.case import make_case, scanner_grid
from infra.phantom.grid import Grid
from tests.support.command_line import Cli
from tests.support.dicom.imaging_cases import image_of
from tests.support.networks.tiny_profile import write_tiny_profile


def small(anatomy: Anatomy) -> Grid:
    return scanner_grid(anatomy, shape=(12, 32, 36), spacing=(5.0, 5.0, 12.0))


def write_cases(folder: Path, *seeds: int) -> None:
    for seed in seeds:
        case = make_case(seed, grid=small)
        place = folder / f"case-{seed}"
        place.mkdir(parents=True)
        for number, phase in enumerate(case.phases):
            image = image_of(phase.astype(np.float32), case.affine)
            sitk.WriteImage(image, str(place / f"dce-{number}.nii.gz"))
        sitk.WriteImage(image_of(case.truth, case.affine), str(place / "truth.nii.gz"))


def test_cases_give_a_table_json_and_the_picture_of_the_worst(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_profile(tmp_path / "profiles")
    monkeypatch.setenv("SEGRELAY_PROFILES_DIR", str(tmp_path / "profiles"))
    monkeypatch.setenv("SEGRELAY_DEVICE", "cpu")
    write_cases(tmp_path / "cases", 8, 9)
    picture = tmp_path / "worst.png"
    arguments = ["evaluate", "--profile", "tiny", "--cases", str(tmp_path / "cases")]
    report = Cli(capsys).json(*arguments, "--montage", str(picture))
    assert set(report["cases"]) == {"case-8", "case-9"}
    assert report["worst_case"] in report["cases"]
    assert report["means"]["Tumor"]["dice"]["count"] == 2
    assert picture.read_bytes().startswith(b"\x89PNG")
    told = Cli(capsys)("evaluate", "--profile", "none", "--cases", str(tmp_path), code=78)
    assert told == ""
