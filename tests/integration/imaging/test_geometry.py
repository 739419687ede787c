"""A known shape in patient space comes back where it was, whatever the scanner's grids."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from torch import nn

from lab_side.evaluation.overlap import dice
from lab_side.imaging.pipeline import CaseInput, segment_case
from lab_side.imaging.volume.grid import Grid, reorient
from segrelay.errors import SeriesRefusedError
from segrelay.profiles import Profile
from tests.support.dicom.dicom_series import (
    ORIENTATIONS,
    centres,
    make_affine,
    rotation,
    write_series,
)
from tests.support.dicom.imaging_cases import CREATED_AT, make_profile, read_with_dcmqi
from tests.support.networks.stand_in import stand_in

ROLES = ("first", "second")
CENTRE = np.array([12.0, -30.0, 45.0])
BALLS = ((0.0, 0.0, 0.0, 17.0), (12.0, 7.0, 4.0, 11.0), (-6.0, 14.0, -9.0, 8.0))
"""Offset from the centre and radius, millimetres: no mirror image of it is itself."""

EXTENT_MM = 74.0
"""The shape and some space around it."""

ZERO, PER_MM, CLIP_MM = 2000, 100, 12.0
"""Pixel value on the surface, its rise for each millimetre inwards, and where it ends."""

LEAST_DICE, FARTHEST_VOXELS = 0.99, 0.2


def depth(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Millimetres below the surface of the shape: [..., 3] LPS to [...], negative outside."""
    inside = [r - np.linalg.norm(places - CENTRE - [x, y, z], axis=-1) for x, y, z, r in BALLS]
    deepest: NDArray[np.float64] = np.max(inside, axis=0)
    return deepest


class Surface(nn.Module):
    """Reads the depth back from the pixels: the mean of both series."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """[batch, 2, …] to logits [batch, 1, …]: a quarter of the depth in millimetres."""
        return (windows.mean(dim=1, keepdim=True) - ZERO) / (4 * PER_MM)


@dataclass(frozen=True)
class Scan:
    """How one series is taken."""

    orientation: str
    turns: tuple[float, float, float]
    spacing: tuple[float, float, float]
    shift: tuple[float, float, float]
    """Of the field of view, millimetres."""
    jitter: float
    """Of each slice along the normal, as a share of what is tolerated."""
    seed: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows, columns around the shape."""
        columns, rows, slices = (round(EXTENT_MM / side) for side in self.spacing)
        return slices, rows, columns

    @property
    def affine(self) -> NDArray[np.float64]:
        affine = make_affine(
            self.orientation, spacing=self.spacing, origin=(0, 0, 0), tilt=rotation(*self.turns)
        )
        middle = (np.array(self.shape[::-1]) - 1) / 2
        affine[:3, 3] = CENTRE + self.shift - affine[:3, :3] @ middle
        return affine

    def write(self, folder: Path, role: int, pixels: NDArray[np.uint16]) -> list[Path]:
        """The series, its slices a little off their places and its files shuffled."""
        step = self.affine[:3, 2]
        size = float(np.linalg.norm(step))
        limit = 0.45 * max(0.1, 0.02 * size) * self.jitter
        off = np.random.default_rng(self.seed).uniform(-limit, limit, self.shape[0])

        def edit(dataset: Dataset, index: int) -> None:
            moved = self.affine[:3, 3] + index * step + off[index] * step / size
            dataset.ImagePositionPatient = [f"{value:.9g}" for value in moved]

        return write_series(
            folder / ROLES[role],
            pixels,
            self.affine,
            series_uid=f"2.25.{role + 1}",
            edit=edit,
            seed=self.seed,
        )

    def pixels(self) -> NDArray[np.uint16]:
        """The depth as the scanner would show it."""
        shown = np.clip(depth(centres(self.shape, self.affine)), -CLIP_MM, CLIP_MM)
        return np.rint(ZERO + PER_MM * shown).astype(np.uint16)


angles = st.floats(-30, 30)
shifts = st.floats(-4, 4)
scans = st.builds(
    Scan,
    orientation=st.sampled_from(sorted(ORIENTATIONS)),
    turns=st.tuples(angles, angles, angles),
    spacing=st.tuples(st.floats(0.8, 1.3), st.floats(0.8, 1.3), st.floats(1.0, 2.2)),
    shift=st.tuples(shifts, shifts, shifts),
    jitter=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
codes = st.permutations(["RL", "AP", "SI"]).flatmap(
    lambda axes: st.tuples(*[st.sampled_from(axis) for axis in axes]).map("".join)
)


def profile_for(code: str, spacing: tuple[float, float, float]) -> Profile:
    profile = make_profile(roles=ROLES, spacing=spacing, window=(96, 96, 96))
    return profile.model_copy(
        update={
            "preprocessing": profile.preprocessing.model_copy(update={"orientation": code}),
        }
    )


def case_of(folder: Path, files: list[list[Path]]) -> CaseInput:
    return CaseInput(
        job_key="geometry",
        series=dict(zip(ROLES, files, strict=True)),
        expected_sop_uids={},
        created_at=CREATED_AT,
        output=folder / "seg.dcm",
    )


def mask_of(
    folder: Path, profile: Profile, network: nn.Module, files: list[list[Path]], scan: Scan
) -> NDArray[np.bool_]:
    """The SEG of the case as dcmqi reads it, sampled where the first series was written."""
    segment_case(case_of(folder, files), stand_in(profile, network), lambda *_: None)
    found = read_with_dcmqi(folder / "seg.dcm", scan.shape, scan.affine, folder / "dcmqi")
    return found[1] > 0


def centroid(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    place: NDArray[np.float64] = np.argwhere(mask).mean(axis=0)
    return place


def check_round_trip(first: Scan, second: Scan, code: str, spacing: float) -> None:
    """Two series on their own grids, onto the network's and back."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [scan.write(folder, i, scan.pixels()) for i, scan in enumerate((first, second))]
        found = mask_of(folder, profile_for(code, (spacing,) * 3), Surface(), files, first)
    truth = depth(centres(first.shape, first.affine)) >= 0
    assert dice(found, truth) >= LEAST_DICE
    assert np.abs(centroid(found) - centroid(truth)).max() <= FARTHEST_VOXELS


def check_exact(scan: Scan, code: str) -> None:
    """Any mask of voxels, where the network's grid has the scanner's own voxels."""
    grid = Grid(shape=scan.shape[::-1], affine=scan.affine)
    own = [float(side) for side in reorient(grid, code).spacing]
    random = np.random.default_rng(scan.seed)
    truth = random.random(scan.shape) < 0.4
    pixels = np.where(truth, ZERO + 800, ZERO - 800).astype(np.uint16)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [scan.write(folder, role, pixels) for role in range(2)]
        profile = profile_for(code, (own[0], own[1], own[2]))
        found = mask_of(folder, profile, Surface(), files, scan)
    np.testing.assert_array_equal(found, truth)


@settings(max_examples=6)
@given(first=scans, second=scans, code=codes, spacing=st.floats(0.9, 1.2))
def test_a_shape_comes_back_where_it_was(
    first: Scan, second: Scan, code: str, spacing: float
) -> None:
    check_round_trip(first, second, code, spacing)


@pytest.mark.long
@settings(max_examples=200)
@given(first=scans, second=scans, code=codes, spacing=st.floats(0.9, 1.2))
def test_two_hundred_shapes_come_back_where_they_were(
    first: Scan, second: Scan, code: str, spacing: float
) -> None:
    check_round_trip(first, second, code, spacing)


coarse = scans.map(lambda scan: replace(scan, spacing=(3.1, 2.7, 4.3), jitter=0.0))


@settings(max_examples=8)
@given(scan=coarse, code=codes)
def test_without_resampling_every_voxel_comes_back(scan: Scan, code: str) -> None:
    check_exact(scan, code)


@pytest.mark.long
@settings(max_examples=100)
@given(scan=coarse, code=codes)
def test_without_resampling_every_voxel_of_a_hundred_comes_back(scan: Scan, code: str) -> None:
    check_exact(scan, code)


Files = list[list[Path]]
Fault = Callable[[Files], object]

OBLIQUE = Scan("coronal", (7.0, -11.0, 4.0), (3.0, 3.0, 4.0), (0.0, 0.0, 0.0), 0.5, 3)


def changed(series: int, slices: slice = slice(None), **values: object) -> Fault:
    """Change attributes in some files of a series; None removes."""

    def spoil(files: Files) -> None:

        for path in sorted(files[series])[slices]:
            dataset = pydicom.dcmread(path)
            for keyword, value in values.items():
                if value is None:
                    delattr(dataset, keyword)
                else:
                    setattr(dataset, keyword, value)
            dataset.save_as(path)

    return spoil


def moved(series: int, index: int, share: float) -> Fault:
    """Move one slice along the stack by a share of its step."""

    def spoil(files: Files) -> None:
        step = OBLIQUE.affine[:3, 2]
        place = OBLIQUE.affine[:3, 3] + (index + share) * step
        changed(series, slice(index, index + 1), ImagePositionPatient=[f"{v:.9g}" for v in place])(
            files
        )

    return spoil


def without(series: int, slices: slice) -> Fault:
    """Leave some slices out."""

    def spoil(files: Files) -> None:
        gone = set(sorted(files[series])[slices])
        files[series] = [path for path in files[series] if path not in gone]

    return spoil


def twice(files: Files) -> None:
    """The same instance in two files."""
    files[0].append(files[0][0])


def the_same_series(files: Files) -> None:
    files[1] = list(files[0])


ONE = slice(4, 5)

FAULTS: dict[str, Fault] = {
    "missing-slice": without(0, ONE),
    "too-few-slices": without(1, slice(2, None)),
    "duplicate-instance": twice,
    "duplicate-slice": moved(0, 4, 1.0),
    "uneven-spacing": moved(1, 6, 0.4),
    "localizer": changed(0, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
    "not-mr": changed(1, Modality="CT"),
    "multiframe": changed(0, NumberOfFrames=2),
    "mixed-orientation": changed(0, ONE, ImageOrientationPatient=[0, 1, 0, 0, 0, -1]),
    "mixed-pixel-spacing": changed(0, ONE, PixelSpacing=[2.0, 2.0]),
    "mixed-matrix": changed(1, ONE, Rows=OBLIQUE.shape[1] // 2),
    "mixed-study": changed(0, ONE, StudyInstanceUID="2.25.99"),
    "other-study": changed(1, StudyInstanceUID="2.25.99"),
    "frame-of-reference": changed(1, FrameOfReferenceUID="2.25.99"),
    "other-patient": changed(1, PatientID="SOMEBODY"),
    "same-series": the_same_series,
    "no-position": changed(0, ONE, ImagePositionPatient=None),
    "missing-pixel-data": changed(1, ONE, PixelData=None),
}
"""The reason to what is done to a pair of good series."""


class Never(nn.Module):
    """A network that must not run."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        raise AssertionError(f"inference ran on {windows.shape}")


@pytest.mark.parametrize("reason", sorted(FAULTS))
def test_a_fault_is_refused_before_inference_with_its_own_reason(
    tmp_path: Path, reason: str
) -> None:
    pixels = OBLIQUE.pixels()
    files = [OBLIQUE.write(tmp_path, role, pixels) for role in range(2)]
    FAULTS[reason](files)
    profile = profile_for("RAS", (3.0, 3.0, 3.0))
    with pytest.raises(SeriesRefusedError) as caught:
        segment_case(case_of(tmp_path, files), stand_in(profile, Never()), lambda *_: None)
    assert caught.value.code == reason
    assert not (tmp_path / "seg.dcm").exists()


def test_the_series_without_a_fault_are_taken(tmp_path: Path) -> None:
    files = [OBLIQUE.write(tmp_path, role, OBLIQUE.pixels()) for role in range(2)]
    found = mask_of(tmp_path, profile_for("RAS", (3.0, 3.0, 3.0)), Surface(), files, OBLIQUE)
    truth = depth(centres(OBLIQUE.shape, OBLIQUE.affine)) >= 0
    assert dice(found, truth) >= 0.9
