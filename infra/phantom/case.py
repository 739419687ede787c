"""A four-phase breast DCE case: the rendering plus all that a scanner and a patient add."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from infra.phantom.anatomy import Anatomy, random_anatomy
from infra.phantom.fields import SmoothField
from infra.phantom.grid import AXIAL, RAS, FloatArray, Grid, Matrix, centred_grid
from infra.phantom.kinetics import random_contrast
from infra.phantom.motion import move, random_motion
from infra.phantom.render import render

REFERENCE_PHASE = 1
"""The first phase after contrast: it does not move, and the truth is drawn in it."""

GridOf = Callable[[Anatomy], Grid]


@dataclass(frozen=True)
class Case:
    """One synthetic examination.

    Attributes
    ----------
    phases:
        Four arrays (slices, rows, columns) float32, 0..4095: before contrast, then three after.
    truth:
        (slices, rows, columns) uint8; 1 in the lesion, in the space of phase 1.
    affine:
        4x4 float64: (column, row, slice, 1) to LPS mm.
    seed, has_lesion:
        What the case was drawn from.
    """

    phases: tuple[FloatArray, FloatArray, FloatArray, FloatArray]
    truth: npt.NDArray[np.uint8]
    affine: Matrix
    seed: int
    has_lesion: bool

    @property
    def grid(self) -> Grid:
        """The grid that all phases share."""
        slices, rows, columns = self.truth.shape
        return Grid((slices, rows, columns), self.affine)


def make_case(seed: int, *, has_lesion: bool = True, grid: GridOf | None = None) -> Case:
    """Draw the case of a seed.

    Parameters
    ----------
    seed:
        Any integer >= 0. Patient and contrast depend on it alone, so the same lesion lies at the
        same place of patient space on every grid; only noise depends on the grid.
    has_lesion:
        False: the same kind of patient without a lesion.
    grid:
        Chooses the grid for the patient; default :func:`scanner_grid` with its defaults.
    """
    anatomy = random_anatomy(seed, has_lesion)
    target = (grid or scanner_grid)(anatomy)
    rendering = render(anatomy, random_contrast(seed), target)
    rng = np.random.default_rng([seed, 3])
    still = rendering.phases * _bias(rng, target)
    # A motion is drawn for every phase, so that the draws after it stay the same.
    motions = [random_motion(rng, target) for _ in still]
    motions[REFERENCE_PHASE] = np.eye(4)
    moved = [move(image, target, motion) for image, motion in zip(still, motions, strict=True)]
    first, second, third, fourth = _scanned(rng, np.stack(moved))
    return Case((first, second, third, fourth), rendering.truth, target.affine, seed, has_lesion)


def scanner_grid(
    anatomy: Anatomy,
    *,
    shape: tuple[int, int, int] = (70, 160, 192),
    spacing: tuple[float, float, float] = (0.9, 0.9, 2.0),
    direction: Matrix = AXIAL,
    bilateral: bool = False,
) -> Grid:
    """A grid as scanners have it, around one breast or both.

    ``shape`` is (slices, rows, columns), ``spacing`` mm along (columns, rows, slices),
    ``direction`` as in :func:`infra.phantom.grid.centred_grid`.
    """
    centre = anatomy.field_of_view_centre(bilateral, np.zeros(3))
    return centred_grid(shape, spacing, direction, centre)


def network_grid(
    anatomy: Anatomy,
    *,
    size_mm: tuple[float, float, float],
    spacing_mm: float,
    bilateral: bool,
    shift_mm: Matrix | None = None,
) -> Grid:
    """An isotropic grid whose columns, rows, slices grow to Right, Anterior, Superior.

    ``size_mm`` is along (columns, rows, slices); ``shift_mm`` (3,) moves the field of view.
    """
    columns, rows, slices = (max(1, round(size / spacing_mm)) for size in size_mm)
    shift = np.zeros(3) if shift_mm is None else shift_mm
    centre = anatomy.field_of_view_centre(bilateral, shift)
    return centred_grid((slices, rows, columns), (spacing_mm,) * 3, RAS, centre)


def _bias(rng: np.random.Generator, grid: Grid) -> FloatArray:
    """Multiplicative coil sensitivity, smooth over decimetres; the same in all phases."""
    field = SmoothField(rng, 130.0)
    strength = rng.uniform(0.03, 0.15)
    coarse = Grid(_quarter(grid.shape), grid.affine @ np.diag([4.0, 4.0, 4.0, 1.0]))
    values = np.exp(strength * field(coarse.points()))
    bias: FloatArray = ndimage.affine_transform(
        values, np.full(3, 0.25), output_shape=grid.shape, order=1, mode="nearest"
    )
    return bias


def _quarter(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    slices, rows, columns = (size // 4 + 2 for size in shape)
    return slices, rows, columns


def _scanned(rng: np.random.Generator, phases: FloatArray) -> FloatArray:
    """Rician noise (Gudbjartsson and Patz 1995) and the scanner's scale; 0..4095."""
    sigma = rng.uniform(0.008, 0.035)
    scale = rng.uniform(350, 1300)
    noisy = np.empty_like(phases)
    for image, target in zip(phases, noisy, strict=True):
        real = rng.standard_normal(image.shape, np.float32)
        imaginary = rng.standard_normal(image.shape, np.float32)
        target[...] = np.hypot(image + sigma * real, sigma * imaginary)
    scanned: FloatArray = np.clip(np.rint(noisy * scale), 0, 4095).astype(np.float32)
    return scanned
