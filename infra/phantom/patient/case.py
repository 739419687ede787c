"""A whole synthetic examination on the grid of a scanner or of a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infra.phantom.grid import ORIENTATIONS, RAS, FloatArray, Grid, Matrix, centred_grid, tilted
from infra.phantom.patient.anatomy import Patient, random_patient
from infra.phantom.patient.drawing import draw
from infra.phantom.patient.scanner import scan

_TILTED = 0.4
_SLICE_AXES = {
    "axial": 0,
    "coronal": 1,
    "sagittal": 2,
}  # of an array [slices, rows, columns] in RAS


@dataclass(frozen=True)
class PatientCase:
    """One synthetic examination.

    Attributes
    ----------
    phases:
        (4, slices, rows, columns) float32: before contrast, then three after.
    truth:
        (slices, rows, columns) uint8; 1 in the primary tumour.
    ignored:
        As ``truth``; 1 in further malignant foci.
    affine:
        4x4 float64: (column, row, slice, 1) to LPS mm.
    """

    phases: FloatArray
    truth: npt.NDArray[np.uint8]
    ignored: npt.NDArray[np.uint8]
    affine: Matrix
    seed: int
    has_lesion: bool


@dataclass(frozen=True)
class FieldOfView:
    """Where and how a technician planned the slices.

    Attributes
    ----------
    orientation:
        ``axial``, ``sagittal`` or ``coronal``.
    size_mm:
        (3,) along patient x, y, z.
    centre:
        (3,) LPS mm.
    tilt_degrees:
        About two axes.
    """

    orientation: str
    size_mm: Matrix
    centre: Matrix
    tilt_degrees: tuple[float, float]


def make_patient_case(seed: int, *, has_lesion: bool = True) -> PatientCase:
    """Draw the examination of a seed on a scanner's grid of random plane, tilt and spacing.

    ``seed``: any integer >= 0.
    """
    patient = random_patient(seed, has_lesion)
    grid = scanner_grid(patient, seed)
    tissues = draw(patient, grid)
    phases = scan(tissues, seed)
    return PatientCase(phases, tissues.truth, tissues.ignored, grid.affine, seed, has_lesion)


def scanner_grid(patient: Patient, seed: int) -> Grid:
    """The grid on which the seed's examination is acquired."""
    rng = np.random.default_rng([seed, 14])
    view = random_field_of_view(rng, patient)
    in_plane = rng.uniform(1.2, 1.8) if view.size_mm[0] > 250 else rng.uniform(0.8, 1.4)
    spacing = (in_plane, in_plane, rng.uniform(1.4, 3.0))
    plane = ORIENTATIONS[view.orientation]
    columns, rows, slices = (
        round(float(length)) for length in np.abs(plane).T @ view.size_mm / np.array(spacing)
    )
    direction = tilted(plane, *view.tilt_degrees)
    return centred_grid((slices, rows, columns), spacing, direction, view.centre)


def network_view(patient: Patient, seed: int, spacing_mm: float) -> tuple[Grid, int]:
    """A grid of cubic voxels in RAS around the seed's field of view, and its slice axis."""
    view = random_field_of_view(np.random.default_rng([seed, 14]), patient)
    columns, rows, slices = (round(float(length) / spacing_mm) for length in view.size_mm)
    direction = tilted(RAS, *view.tilt_degrees)
    grid = centred_grid((slices, rows, columns), (spacing_mm,) * 3, direction, view.centre)
    return grid, _SLICE_AXES[view.orientation]


def random_field_of_view(rng: np.random.Generator, patient: Patient) -> FieldOfView:
    """Both breasts in axial slices as a rule; else one breast, in any plane."""
    breast = patient.breasts[patient.side]
    front = float(breast.base[1] - breast.depth_mm)
    kind = rng.random()
    if kind < 0.65:
        size = rng.uniform([290, 170, 140], [370, 360, 220])
        middle, orientation = 0.0, "axial" if rng.random() < 0.93 else "coronal"
    elif kind < 0.82:
        size = rng.uniform([75, 150, 150], [130, 200, 210])
        middle, orientation = float(breast.base[0]), "sagittal"
    else:
        size = rng.uniform([150, 140, 130], [190, 200, 190])
        middle, orientation = float(breast.base[0]), "axial"
    margin = rng.uniform(3, 35)
    centre = np.array([middle, front - margin + size[1] / 2, breast.base[2]])
    centre += rng.uniform([-10, 0, -22], [10, 1, 22])
    tilt = rng.uniform(-12, 12, 2) if rng.random() < _TILTED else np.zeros(2)
    return FieldOfView(orientation, size, centre, (float(tilt[0]), float(tilt[1])))
