"""From a patient to the tissues on a grid, painted from the outside in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from infra.phantom.breast import Breast, blended
from infra.phantom.fields import SmoothField, soft_inside
from infra.phantom.grid import FloatArray, Grid, Matrix
from infra.phantom.patient.anatomy import Ellipsoid, Patient
from infra.phantom.patient.organs import paint_thorax
from infra.phantom.patient.tissue_map import Box, TissueMap, box_around, part_of
from infra.phantom.patient.tissues import Tissue
from infra.phantom.patient.tumour import Tumour
from infra.phantom.vessels import draw_vessels

_CREASE_MM = 14.0
_GLANDS = (Tissue.GLAND_RIGHT, Tissue.GLAND_LEFT)


@dataclass(frozen=True)
class Outline:
    """Signed distances in mm on the whole grid, negative inside; (slices, rows, columns)."""

    trunk: FloatArray
    body: FloatArray


def draw(patient: Patient, grid: Grid) -> TissueMap:
    """The patient's tissues on a grid."""
    tissues = TissueMap(grid)
    edge = max(1.0, float(np.prod(grid.spacing)) ** (1 / 3))
    outline = _outline(patient, grid)
    whole: Box = tuple(slice(0, side) for side in grid.shape)  # type: ignore[assignment]
    tissues.paint(whole, soft_inside(outline.body, edge), Tissue.FAT)
    for tissue, breast in zip(_GLANDS, patient.breasts, strict=True):
        _paint_gland(tissues, patient, breast, tissue, outline)
    paint_thorax(tissues, patient, outline.trunk, edge)
    for growth in patient.growths:
        paint_ellipsoid(tissues, growth, edge, limit=outline.body + 2.0)
    _paint_vessels(tissues, patient, outline, edge)
    shell = np.abs(outline.body + 0.5 * patient.skin_mm) - 0.5 * patient.skin_mm
    tissues.paint(whole, soft_inside(shell, edge), Tissue.SKIN)
    for nipple in patient.nipples():
        ball = Ellipsoid(nipple, np.full(3, patient.nipple_mm), np.eye(3), Tissue.NIPPLE)
        paint_ellipsoid(tissues, ball, edge)
    for index, tumour in enumerate(patient.tumours):
        _paint_tumour(tissues, tumour, outline, edge, is_primary=index == 0)
    for growth in patient.growths:
        if growth.tissue is Tissue.CLIP:  # lies inside the tumour as a rule
            paint_ellipsoid(tissues, growth, edge)
    return tissues


def paint_ellipsoid(
    tissues: TissueMap, body: Ellipsoid, edge_mm: float, *, limit: FloatArray | None = None
) -> None:
    """Paint a smooth body; ``limit`` (mm, whole grid): only where this is negative."""
    box = box_around(tissues.grid, body.centre, float(body.semi_axes.max()) + edge_mm)
    part = part_of(tissues.grid, box)
    if 0 in part.shape:
        return
    offset = (part.points() - body.centre.astype(np.float32)) @ body.turn.astype(np.float32).T
    radius = np.linalg.norm(offset / body.semi_axes.astype(np.float32), axis=-1)
    size = np.float32(body.semi_axes.min())
    distance = (radius - 1) * size
    if limit is not None:
        distance = np.maximum(distance, limit[box])
    tissues.paint(box, soft_inside(distance, edge_mm), body.tissue)
    if body.kernel is not None and body.kernel_share > 0:
        kernel = (radius - body.kernel_share) * size
        tissues.paint(box, soft_inside(kernel, edge_mm), body.kernel)


def coarse_values(field: SmoothField, grid: Grid, step: int) -> FloatArray:
    """A smooth field on a grid, evaluated at every ``step``-th voxel and interpolated."""
    shape = tuple(side // step + 2 for side in grid.shape)
    few = Grid((shape[0], shape[1], shape[2]), grid.affine @ np.diag([step, step, step, 1.0]))
    return interpolated(field(few.points()), grid, step)


def interpolated(values: FloatArray, grid: Grid, step: int) -> FloatArray:
    """Values at every ``step``-th voxel of a grid, linearly in between."""
    full: FloatArray = ndimage.affine_transform(
        values, np.full(3, 1 / step), output_shape=grid.shape, order=1, mode="nearest"
    )
    return full


def _outline(patient: Patient, grid: Grid) -> Outline:
    points = grid.points()
    trunk = patient.chest.signed_distance(points)
    body = trunk.copy()
    for breast in patient.breasts:
        reach = max(breast.half_width_mm, breast.depth_mm, breast.half_height_mm) + 30
        box = box_around(grid, breast.place(0, 0, 0), float(reach) * 1.15)
        if 0 not in body[box].shape:
            mound = breast.signed_distance(points[box])
            body[box] = blended(body[box], mound, _CREASE_MM)
    for nipple in patient.nipples():
        box = box_around(grid, nipple, patient.nipple_mm + 2)
        ball = np.linalg.norm(points[box] - nipple.astype(np.float32), axis=-1)
        body[box] = np.minimum(body[box], ball - np.float32(patient.nipple_mm))
    return Outline(trunk, body)


def _paint_gland(
    tissues: TissueMap, patient: Patient, breast: Breast, tissue: Tissue, outline: Outline
) -> None:
    """Fibroglandular tissue and strands, with patchy parenchymal enhancement."""
    reach = max(breast.half_width_mm, breast.depth_mm, breast.half_height_mm)
    box = box_around(tissues.grid, breast.place(0, 0.4, 0), float(reach))
    part = part_of(tissues.grid, box)
    if 0 in part.shape:
        return
    points, body = part.points(), outline.body[box]
    q = breast.relative(points)
    where = (body < -3) & (np.abs(q[..., 0]) < 1) & (q[..., 1] > -0.05)
    where &= outline.trunk[box] > -patient.thorax.fat
    share = np.zeros(body.shape, np.float32)
    share[where] = _gland_share(patient, points[where], q[where])
    share *= np.clip((-body - 3) / 5, 0, 1)
    inside = share > 0
    uptake = np.zeros(body.shape, np.float32)
    coarse, fine = patient.patchiness
    places = points[inside]
    uptake[inside] = np.clip(
        1
        + coarse * patient.texture.uptake(places)
        + fine * patient.texture.fine(places[:, [2, 0, 1]]),
        0,
        2.2,
    )
    tissues.paint(box, share, tissue, uptake)


def _gland_share(patient: Patient, points: FloatArray, q: FloatArray) -> FloatArray:
    """Share of gland at (n, 3) places: a cone behind the nipple, broken up by fat."""
    texture = patient.texture
    narrow = 0.8 - 0.35 * np.clip(q[:, 1], 0, 1)
    reach = (q[:, 0] / narrow) ** 2 + ((q[:, 1] - 0.48) / 0.52) ** 2 + (q[:, 2] / narrow) ** 2
    score = 0.6 + patient.density - reach
    score += 0.6 * texture.coarse(points) + 0.4 * texture.fine(points)
    strands = 0.55 * np.clip(1.2 - 12 * np.abs(texture.strands(points)), 0, 1)
    share: FloatArray = np.maximum(np.clip(0.5 + 1.6 * score, 0, 0.95), strands)
    return share.astype(np.float32)


def _paint_vessels(tissues: TissueMap, patient: Patient, outline: Outline, edge_mm: float) -> None:
    """Vessels of breast, chest wall and armpit, and enhancing dots."""
    whole: Box = tuple(slice(0, side) for side in tissues.grid.shape)  # type: ignore[assignment]
    inside = outline.body < 0
    not_lung = outline.trunk > -(patient.thorax.fat + patient.thorax.muscle + patient.thorax.wall)
    drawn: tuple[tuple[Matrix, Tissue], ...] = (
        (patient.veins, Tissue.VEIN),
        (patient.arteries, Tissue.ARTERY),
        (patient.foci, Tissue.FOCUS),
    )
    for knots, tissue in drawn:
        if len(knots):
            share = draw_vessels(knots, tissues.grid, edge_mm) * (inside & not_lung)
            tissues.paint(whole, share, tissue)


def _paint_tumour(
    tissues: TissueMap, tumour: Tumour, outline: Outline, edge_mm: float, *, is_primary: bool
) -> None:
    """Paint one malignant growth and mark it as truth or as ignored."""
    box = box_around(tissues.grid, tumour.centre, tumour.reach_mm)
    part = part_of(tissues.grid, box)
    if 0 in part.shape:
        return
    points = part.points()
    distance = np.maximum(tumour.signed_distance(points), outline.body[box] + 1.0)
    patches = tumour.patches(points)
    if not tumour.is_mass:
        distance = np.maximum(distance, (0.1 - patches) * np.float32(2.5))
    _paint_spicules(tissues, tumour, box, part, edge_mm)
    share = soft_inside(distance, edge_mm)
    uptake = np.clip(1 + tumour.unevenness * patches, 0.3, 2.0).astype(np.float32)
    tissue = Tissue.TUMOUR if is_primary else Tissue.SATELLITE
    tissues.paint(box, share, tissue, uptake)
    if tumour.rim_mm is not None and tumour.is_mass:
        depth = distance + np.float32(tumour.rim_mm) * (1 + 0.35 * np.clip(patches, -1.5, 1.5))
        tissues.paint(box, soft_inside(depth, 2.5), Tissue.NECROSIS)
    mask = (distance < 0).astype(np.uint8)
    if is_primary:
        tissues.truth[box] = mask
    else:
        tissues.ignored[box] |= mask & (1 - tissues.truth[box])


def _paint_spicules(
    tissues: TissueMap, tumour: Tumour, box: Box, part: Grid, edge_mm: float
) -> None:
    if len(tumour.spicules):
        share = draw_vessels(tumour.spicules, part, edge_mm)
        share *= tissues.upper[box] != Tissue.AIR
        tissues.paint(box, share, Tissue.SPICULE)
