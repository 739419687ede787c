"""The phantoms that the demo network is trained, tuned and measured on.

The ranges of seeds do not meet. Every case goes through the product's own
preprocessing, from a scanner's grid to the network's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from infra.phantom.anatomy import Anatomy
from infra.phantom.case import Case, make_case, scanner_grid
from infra.phantom.grid import ORIENTATIONS, FloatArray, Grid, Matrix, tilted
from lab_side.imaging.pipeline import network_input
from lab_side.imaging.volume.grid import grid_of, network_grid, to_grid
from segrelay.profiles import Profile

TRAINING_SEEDS = range(1_000_000, 1_000_400)
VALIDATION_SEEDS = range(2_000_000, 2_000_060)
HELD_OUT_LESION_SEEDS = range(5_000_000, 5_000_040)
HELD_OUT_HEALTHY_SEEDS = range(5_000_040, 5_000_080)

PROFILE_FOLDER = Path(__file__).parents[2] / "lab_side" / "profiles" / "demo"

_HEALTHY_EVERY = 4
_CLEANED_AIR_SHARE = 0.3


@dataclass(frozen=True)
class Phase:
    """One phase of a case as the imaging pipeline takes it.

    ``voxels`` is float32 [slices, rows, columns]; ``affine`` maps (column, row, slice, 1) to
    LPS millimetres.
    """

    voxels: FloatArray
    affine: Matrix


@dataclass(frozen=True)
class Example:
    """One case on the network's grid.

    ``channels`` is float16 [4, R, A, S], normalised; ``truth`` float16 [R, A, S], the share of
    lesion in each voxel.
    """

    channels: npt.NDArray[np.float16]
    truth: npt.NDArray[np.float16]


def is_healthy(seed: int) -> bool:
    """Whether the training or validation case of a seed has no lesion."""
    return seed % _HEALTHY_EVERY == 0


def varied_case(seed: int, *, has_lesion: bool) -> Case:
    """The case of a seed on a grid of random orientation, tilt, spacing and field of view.

    Three cases in ten have their air set to 0, as some scanners do.
    """
    rng = np.random.default_rng([seed, 5])
    case = make_case(seed, has_lesion=has_lesion, grid=partial(_varied_grid, rng=rng))
    if rng.random() >= _CLEANED_AIR_SHARE:
        return case
    first, second, third, fourth = (_without_air(phase) for phase in case.phases)
    return Case((first, second, third, fourth), case.truth, case.affine, seed, has_lesion)


def volumes_of(case: Case, profile: Profile) -> dict[str, Phase]:
    """The phases by the profile's roles, in order."""
    return {
        role: Phase(phase, case.affine)
        for role, phase in zip(profile.roles, case.phases, strict=True)
    }


def example(seed: int, profile: Profile, *, has_lesion: bool) -> Example:
    """The varied case of a seed, preprocessed as the profile says."""
    case = varied_case(seed, has_lesion=has_lesion)
    volumes = volumes_of(case, profile)
    settings = profile.preprocessing
    reference = grid_of(volumes[profile.reference_role])
    grid = network_grid(reference, settings.orientation, settings.spacing_mm)
    channels = network_input(volumes, profile, grid)
    truth = to_grid(case.truth.astype(np.float32), case.affine, grid).transpose(2, 1, 0)
    return Example(channels.astype(np.float16), truth.astype(np.float16))


def _varied_grid(anatomy: Anatomy, rng: np.random.Generator) -> Grid:
    """Axial for both breasts or one; sagittal and coronal for one; half of them tilted."""
    bilateral = rng.random() < 0.4
    name = "axial" if bilateral else str(rng.choice(["axial", "axial", "sagittal", "coronal"]))
    direction = ORIENTATIONS[name]
    if rng.random() < 0.5:
        direction = tilted(direction, rng.uniform(-15, 15), rng.uniform(-15, 15))
    in_plane = rng.uniform(1.3, 1.7) if bilateral else rng.uniform(0.8, 1.4)
    spacing = (in_plane, in_plane, rng.uniform(1.4, 3.0))
    # Along patient axes x, y, z; the tilt is small enough to count with the untilted axes.
    size = rng.uniform([310, 130, 125], [360, 170, 165]) if bilateral else rng.uniform(130, 175, 3)
    along = np.abs(ORIENTATIONS[name]).T @ size
    columns, rows, slices = (round(float(length)) for length in along / np.array(spacing))
    return scanner_grid(
        anatomy,
        shape=(slices, rows, columns),
        spacing=spacing,
        direction=direction,
        bilateral=bilateral,
    )


def _without_air(phase: FloatArray) -> FloatArray:
    """Set what is as dark as the darkest tenth of the image to 0."""
    smooth = ndimage.uniform_filter(phase, 3)
    noise = float(np.percentile(smooth, 10))
    return np.where(smooth < 1.6 * noise, np.float32(0), phase).astype(np.float32)
