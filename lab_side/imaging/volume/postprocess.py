"""From probabilities on the reference series' grid to the mask of one segment."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segrelay.profiles import Postprocessing

Mask = NDArray[np.uint8]
"""uint8 [slices, rows, columns], 0 or 1."""


def clean_mask(
    probabilities: NDArray[np.float32], settings: Postprocessing, voxel_ml: float
) -> Mask:
    """Threshold, then keep what the profile wants.

    Components touch by faces, edges or corners; holes are background that does not reach
    the border through faces (the matching rule for background). The order is: drop small
    components, keep the largest, fill holes.

    Parameters
    ----------
    probabilities:
        float32 [slices, rows, columns].
    voxel_ml:
        Volume of one voxel in millilitres.
    """
    mask = probabilities >= np.float32(settings.threshold)
    result = np.zeros(mask.shape, dtype=np.uint8)
    box = bounding_box(mask)
    if box is None:
        return result
    part = mask[box]
    if settings.minimum_volume_ml > 0 or settings.keep_largest_component:
        part = _keep_components(part, probabilities[box], settings, voxel_ml)
    if settings.fill_holes:
        part = ndimage.binary_fill_holes(part)
    result[box] = part
    return result


def bounding_box(mask: NDArray[Any]) -> tuple[slice, slice, slice] | None:
    """The smallest box around what is not 0; None for an empty mask."""
    sides = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        filled = np.flatnonzero(mask.any(axis=others))
        if not len(filled):
            return None
        sides.append(slice(int(filled[0]), int(filled[-1]) + 1))
    return sides[0], sides[1], sides[2]


def _keep_components(
    mask: NDArray[np.bool_],
    probabilities: NDArray[np.float32],
    settings: Postprocessing,
    voxel_ml: float,
) -> NDArray[np.bool_]:
    labels, count = ndimage.label(mask, structure=np.ones((3, 3, 3), dtype=bool))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    keep = sizes * voxel_ml >= settings.minimum_volume_ml
    keep[0] = False
    if settings.keep_largest_component and keep.any():
        merit = sizes.astype(np.float64)
        if settings.component_choice == "certainty":
            merit = _certainty(labels, probabilities, voxel_ml)
        best = int(np.argmax(np.where(keep, merit, 0)))
        keep[:] = False
        keep[best] = True
    kept: NDArray[np.bool_] = keep[labels]
    return kept


def _certainty(
    labels: NDArray[np.integer[Any]], probabilities: NDArray[np.float32], voxel_ml: float
) -> NDArray[np.float64]:
    """By label: sum of the probabilities of its most probable millilitre, or of a lesser part."""
    most = max(1, round(1.0 / voxel_ml))
    sums = [0.0]
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        values = probabilities[box][labels[box] == number]
        top = values if len(values) <= most else np.partition(values, len(values) - most)[-most:]
        sums.append(float(top.sum(dtype=np.float64)))
    return np.array(sums)
