"""From anatomy and contrast to noiseless images on a grid, all phases unmoved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infra.phantom.anatomy import Anatomy
from infra.phantom.breast import blended
from infra.phantom.fields import soft_inside
from infra.phantom.grid import FloatArray, Grid
from infra.phantom.kinetics import PHASES, Contrast
from infra.phantom.lesion import Lesion
from infra.phantom.vessels import draw_vessels

_CREASE_MM = 14.0
_NIPPLE_RADIUS_MM = 5.0
_HEART_AXES_MM = np.array([52.0, 44.0, 56.0], np.float32)
# Depth below the chest's front in mm: fat, then the pectoral muscle, then ribs, then lung.
_MUSCLE_MM, _RIBS_MM, _LUNG_MM = 5.0, 16.0, 25.0


@dataclass(frozen=True)
class Rendering:
    """Images without noise and what is true about them.

    Attributes
    ----------
    phases:
        (4, slices, rows, columns) float32; 0 in air.
    truth:
        (slices, rows, columns) uint8; 1 where the voxel's centre lies in the lesion.
    """

    phases: FloatArray
    truth: npt.NDArray[np.uint8]


def render(anatomy: Anatomy, contrast: Contrast, grid: Grid) -> Rendering:
    """Draw the patient on a grid, from the outside in."""
    points = grid.points()
    edge = max(1.0, float(np.prod(grid.spacing)) ** (1 / 3))
    canvas = _Canvas(grid.shape)
    trunk = anatomy.chest.signed_distance(points)
    body = _outline(anatomy, points, trunk)
    canvas.paint(soft_inside(body, edge), contrast.fat)
    _paint_gland(canvas, anatomy, contrast, points, body)
    _paint_chest(canvas, anatomy, contrast, points, trunk, edge)
    canvas.paint(soft_inside(np.abs(body + 1.2) - 1.2, edge), contrast.skin)
    canvas.paint(draw_vessels(anatomy.vessels, grid, edge) * (body < 0), contrast.vessel)
    if len(anatomy.foci):
        canvas.paint(draw_vessels(anatomy.foci, grid, edge), contrast.focus)
    truth = np.zeros(grid.shape, np.uint8)
    if anatomy.lesion is not None:
        truth = _paint_lesion(canvas, anatomy.lesion, contrast, points, edge)
    return Rendering(canvas.phases, truth)


class _Canvas:
    """Four images that tissues are painted on, one over the other."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.phases: FloatArray = np.zeros((PHASES, *shape), np.float32)

    def paint(self, share: FloatArray, signal: FloatArray) -> None:
        """Cover ``share`` (0..1) of each voxel; ``signal`` is (4,) or (4, n painted voxels)."""
        where = share > 0
        part = share[where]
        for image, value in zip(self.phases, signal, strict=True):
            image[where] += part * (value - image[where])


def _outline(anatomy: Anatomy, points: FloatArray, trunk: FloatArray) -> FloatArray:
    """Signed distance to the skin in mm."""
    body = trunk
    for breast in anatomy.breasts:
        body = blended(body, breast.signed_distance(points), _CREASE_MM)
    for nipple in anatomy.nipples():
        ball = np.linalg.norm(points - nipple.astype(np.float32), axis=-1) - _NIPPLE_RADIUS_MM
        body = np.minimum(body, ball)
    outline: FloatArray = body.astype(np.float32, copy=False)
    return outline


def _paint_gland(
    canvas: _Canvas, anatomy: Anatomy, contrast: Contrast, points: FloatArray, body: FloatArray
) -> None:
    """Fibroglandular tissue and strands, with patchy parenchymal enhancement."""
    for breast in anatomy.breasts:
        q = breast.relative(points)
        where = (body < -3) & (np.abs(q[..., 0]) < 1) & (q[..., 1] > -0.05)
        share = np.zeros(body.shape, np.float32)
        share[where] = _gland_share(anatomy, points[where], q[where])
        share *= np.clip((-body - 4) / 5, 0, 1)
        uptake = np.clip(1 + 0.5 * anatomy.texture.uptake(points[share > 0]), 0, 1.6)
        signal = contrast.gland[:, None] + contrast.gland_uptake[:, None] * uptake
        canvas.paint(share, signal)


def _gland_share(anatomy: Anatomy, points: FloatArray, q: FloatArray) -> FloatArray:
    """Share of gland at (n, 3) places: a cone behind the nipple, broken up by fat."""
    texture = anatomy.texture
    narrow = 0.75 - 0.35 * np.clip(q[:, 1], 0, 1)
    reach = (q[:, 0] / narrow) ** 2 + ((q[:, 1] - 0.48) / 0.5) ** 2 + (q[:, 2] / narrow) ** 2
    score = 0.6 + anatomy.density - reach
    score += 0.6 * texture.coarse(points) + 0.4 * texture.fine(points)
    strands = 0.55 * np.clip(1.2 - 12 * np.abs(texture.strands(points)), 0, 1)
    steepness = np.float32(1.6)  # gland and fat interdigitate: a soft border of some millimetres
    share: FloatArray = np.maximum(np.clip(0.5 + score * steepness, 0, 0.95), strands)
    return share.astype(np.float32)


def _paint_chest(
    canvas: _Canvas,
    anatomy: Anatomy,
    contrast: Contrast,
    points: FloatArray,
    trunk: FloatArray,
    edge: float,
) -> None:
    """Pectoral muscle, ribs, lungs and the heart with its enhancing blood."""
    canvas.paint(soft_inside(trunk + _MUSCLE_MM, edge), contrast.muscle)
    ribs = np.clip(3 * np.sin(points[..., 2] * np.float32(2 * np.pi / 26)) - 1, 0, 1)
    canvas.paint(soft_inside(trunk + _RIBS_MM, edge) * ribs * np.float32(0.6), contrast.lung)
    canvas.paint(soft_inside(trunk + _LUNG_MM, edge), contrast.lung)
    offset = (points - anatomy.heart.astype(np.float32)) / _HEART_AXES_MM
    heart = ((np.linalg.norm(offset, axis=-1) - 1) * _HEART_AXES_MM.min()).astype(np.float32)
    heart = np.maximum(heart, trunk + np.float32(_LUNG_MM + 1))
    canvas.paint(soft_inside(heart, edge), contrast.muscle)
    canvas.paint(soft_inside(heart + 9, edge), contrast.blood)


def _paint_lesion(
    canvas: _Canvas, lesion: Lesion, contrast: Contrast, points: FloatArray, edge: float
) -> npt.NDArray[np.uint8]:
    """Paint the lesion and return its true mask."""
    distance = lesion.signed_distance(points)
    share = soft_inside(distance, edge)
    speckle = 1 + 0.08 * lesion.spikes(points[share > 0])
    canvas.paint(share, contrast.lesion[:, None] * speckle)
    if lesion.rim_mm is not None:
        core = soft_inside(distance + np.float32(lesion.rim_mm), 2.5)
        canvas.paint(core, contrast.core)
    return (distance < 0).astype(np.uint8)
