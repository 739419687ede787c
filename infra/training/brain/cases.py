"""Whole synthetic examinations: four series, each on a grid of its own, and what is true.

    python -m infra.training.brain.cases --out DIR --count 10

writes the first held-out ones as NIfTI, as ``lab-agent evaluate`` reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813  (the library's own abbreviation)
import torch
from torch import Tensor
from torch.nn import functional

from infra.brain_phantom.atlas import Atlas, load_atlas
from infra.brain_phantom.patient import Patient, make_patient
from infra.brain_phantom.scanner import Slices, bright_images, random_slices
from infra.brain_phantom.tissues import SEQUENCES
from infra.phantom.grid import ORIENTATIONS, Grid, Matrix, centred_grid, rotation, tilted
from lab_side.imaging.volume.grid import to_image
from segrelay.system.command_line import HelpfulParser

FloatArray = npt.NDArray[np.float32]

VALIDATION_SEEDS = range(20_000_000, 20_000_060)
"""By which the profile's numbers and the step at which training ends may be chosen."""
HELD_OUT_SEEDS = range(30_000_000, 30_000_040)
SECOND_ANATOMY_SEEDS = range(40_000_000, 40_000_020)
HEALTHY_SEEDS = range(50_000_000, 50_000_040)

_EXTENT_MM = (186.0, 222.0, 198.0)
_SPACING_MM = 1.5
_PLANES = ("sagittal", "coronal", "axial")
_FIELD_MM = {"sagittal": (218, 190, 172), "coronal": (178, 190, 212), "axial": (178, 214, 186)}
_LEAST_DISTANCE_MM = 1.2
_IN_BOX = np.diag([-1.0, -1.0, 1.0])  # from LPS to Right, Anterior, Superior


@dataclass(frozen=True)
class Series:
    """One sequence: float32 [slices, rows, columns] and (column, row, slice, 1) to LPS mm."""

    voxels: FloatArray
    affine: Matrix


@dataclass(frozen=True)
class BrainCase:
    """One synthetic examination.

    Attributes
    ----------
    series:
        By role of the profile ``glioma``; after a registration that leaves a millimetre.
    truth:
        uint8 on the grid of ``t1c``: 0, or a Segment Number of the profile (1 core without
        enhancement, 2 oedema, 3 enhancing).
    patient:
        What was scanned; its ``brain`` is a skull strip with errors.
    """

    seed: int
    series: dict[str, Series]
    truth: npt.NDArray[np.uint8]
    patient: Patient

    def regions(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Whole tumour, core and enhancing part on the grid of ``t1c``."""
        return regions_of(self.truth)


def regions_of(labels: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.bool_]]:
    """The nested regions of Segment Numbers."""
    return {
        "whole": labels > 0,
        "core": (labels == 1) | (labels == 3),
        "enhancing": labels == 3,
    }


def make_case(seed: int, atlas: Atlas, *, has_tumour: bool) -> BrainCase:
    """The examination of a seed."""
    patient = make_patient(
        seed, atlas, has_tumour=has_tumour, spacing_mm=_SPACING_MM, extent_mm=_EXTENT_MM
    )
    rng = np.random.default_rng([seed, 31])
    images = bright_images(patient, rng)
    cuts = random_slices(rng)
    noise, scale = rng.uniform(0.004, 0.04), rng.uniform(150, 2500)
    series = {}
    for role, image, cut in zip(SEQUENCES, images, cuts, strict=True):
        grid = _grid(cut, rng)
        motion = np.eye(4) if role == "t1c" else _motion(rng)
        values = sampled(image, patient, grid, cut.thickness_mm, motion)
        sigma = noise * float(image[image > 0].mean()) * rng.uniform(0.6, 1.5)
        noisy = np.abs(values + sigma * rng.standard_normal(values.shape)) * (values > 0)
        series[role] = Series(np.rint(noisy * scale).astype(np.float32), grid.affine)
        if role == "t1c":
            shares = [
                sampled(part, patient, grid, cut.thickness_mm, motion) for part in patient.truth()
            ]
    core, whole, enhancing = (share >= 0.5 for share in shares)
    truth = np.select([enhancing, core, whole], [3, 1, 2], 0).astype(np.uint8)
    return BrainCase(seed, series, truth, patient)


def sampled(
    image: Tensor, patient: Patient, grid: Grid, thickness_mm: float, motion: Matrix
) -> FloatArray:
    """[slices, rows, columns]: the mean over each slice's thickness; 0 outside the box.

    ``motion`` leads from where the header says that a voxel lies to where it was.
    """
    parts = max(1, round(thickness_mm / patient.spacing_mm))
    normal = grid.direction[:, 2]
    total = torch.zeros(grid.shape)
    for part in range(parts):
        across = ((part + 0.5) / parts - 0.5) * thickness_mm * normal
        affine = motion @ grid.affine
        affine[:3, 3] += motion[:3, :3] @ across
        total += _at(image, patient.spacing_mm, Grid(grid.shape, affine).points())
    return np.asarray((total / parts).numpy(), np.float32)


def brain_on(patient: Patient, grid_points: FloatArray) -> npt.NDArray[np.bool_]:
    """What the phantom's skull strip keeps, at (..., 3) LPS mm."""
    kept = _at(patient.brain.float(), patient.spacing_mm, grid_points)
    return np.asarray(kept.numpy() >= 0.5)


def _at(image: Tensor, spacing_mm: float, points: FloatArray) -> Tensor:
    places = torch.from_numpy(points @ _IN_BOX.astype(np.float32))
    half = (torch.tensor(image.shape) - 1) / 2 * spacing_mm
    scaled = (places / half).flip(-1).contiguous()
    return functional.grid_sample(image[None, None], scaled[None], align_corners=True)[0, 0]


def _grid(cut: Slices, rng: np.random.Generator) -> Grid:
    plane = _PLANES[cut.axis]
    slopes = np.degrees(np.arctan(cut.tilt))
    direction = tilted(ORIENTATIONS[plane], float(slopes[0]), float(slopes[1]))
    distance = max(cut.distance_mm, _LEAST_DISTANCE_MM)
    in_plane = float(rng.uniform(0.85, 1.3))
    spacing = (in_plane, in_plane, distance)
    width, height, depth = _FIELD_MM[plane]
    shape = (round(depth / distance), round(height / in_plane), round(width / in_plane))
    centre = rng.normal(0, 2, 3)
    return centred_grid(shape, spacing, direction, centre)


def _motion(rng: np.random.Generator) -> Matrix:
    """What registration leaves."""
    motion = np.eye(4)
    for axis in range(3):
        motion[:3, :3] = motion[:3, :3] @ rotation(axis, float(rng.normal(0, 0.4)))
    motion[:3, 3] = rng.normal(0, 0.5, 3)
    return motion


def write_case(case: BrainCase, folder: Path) -> None:
    """Write ``t1c.nii.gz`` … and ``truth.nii.gz``."""
    folder.mkdir(parents=True, exist_ok=True)
    for role, series in case.series.items():
        sitk.WriteImage(to_image(series), str(folder / f"{role}.nii.gz"))
    truth = Series(case.truth.astype(np.float32), case.series["t1c"].affine)
    labels = sitk.Cast(to_image(truth), sitk.sitkUInt8)
    sitk.WriteImage(labels, str(folder / "truth.nii.gz"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write held-out cases."""
    parser = HelpfulParser(prog="infra.training.brain.cases", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--count", type=int, default=10, help="how many (default: 10)")
    options = parser.parse_args(arguments)
    atlas = load_atlas("mni")
    for seed in HELD_OUT_SEEDS[: options.count]:
        write_case(make_case(seed, atlas, has_tumour=True), options.out / str(seed))
    print(f"{options.count} cases in {options.out}")


if __name__ == "__main__":
    main()
