"""What lies behind the breasts: muscle, ribs, lungs, heart, great vessels, liver, spleen."""

from __future__ import annotations

import numpy as np

from infra.phantom.fields import soft_inside
from infra.phantom.grid import FloatArray
from infra.phantom.patient.anatomy import Ellipsoid, Patient, Thorax
from infra.phantom.patient.tissue_map import Box, TissueMap, box_around, part_of
from infra.phantom.patient.tissues import Tissue
from infra.phantom.vessels import draw_vessels

_RIB_STEP_MM = 27.0
_LUNG_EDGE = 1.0


def paint_thorax(tissues: TissueMap, patient: Patient, trunk: FloatArray, edge_mm: float) -> None:
    """Paint the trunk behind its layer of fat; ``trunk``: signed distance in mm."""
    thorax, grid = patient.thorax, tissues.grid
    whole: Box = tuple(slice(0, side) for side in grid.shape)  # type: ignore[assignment]
    points = grid.points()
    x, y, z = (points[..., axis] for axis in range(3))
    depth = -trunk
    middle = np.abs(x) < 22  # the breastbone lies under skin and fat alone
    muscle_from = np.where(middle, np.float32(thorax.fat + 2), np.float32(thorax.fat))
    tissues.paint(whole, soft_inside(muscle_from - depth, edge_mm), Tissue.MUSCLE)
    wall_from = np.where(middle, np.float32(4.0), thorax.fat + np.float32(thorax.muscle))
    cavity_from = np.float32(thorax.fat + thorax.muscle + thorax.wall)
    ribs = np.sin((z + 0.35 * np.abs(x) + 0.3 * y) * np.float32(2 * np.pi / _RIB_STEP_MM)) > 0.1
    bone = soft_inside(wall_from - depth, edge_mm) * (ribs | middle) * (depth < cavity_from + 2)
    tissues.paint(whole, bone, Tissue.CORTICAL_BONE)
    marrow = soft_inside(wall_from + 3 - depth, edge_mm) * (ribs | middle)
    tissues.paint(whole, marrow * (depth < cavity_from - 2), Tissue.MARROW)
    _paint_cavity(tissues, patient, whole, depth - cavity_from, (x, y, z))
    for organ in thorax.organs:
        _paint_organ(tissues, organ, cavity_from - 2 + trunk, edge_mm)
    vessels = draw_vessels(thorax.large_vessels, grid, edge_mm)
    tissues.paint(whole, vessels * (depth > cavity_from + 6), Tissue.BLOOD)


def _paint_cavity(
    tissues: TissueMap,
    patient: Patient,
    whole: Box,
    inside: FloatArray,
    place: tuple[FloatArray, FloatArray, FloatArray],
) -> None:
    """Lungs above the diaphragm, fat between them, liver and fat below it."""
    thorax, chest = patient.thorax, patient.chest
    x, y, z = place
    cavity = soft_inside(-inside, _LUNG_EDGE)
    tissues.paint(whole, cavity, Tissue.LUNG)
    between = np.abs(x - 8) - (14 + 0.16 * np.clip(y, 0, 160))
    tissues.paint(whole, cavity * soft_inside(between, 3.0), Tissue.FAT)
    below = z - _dome(thorax, chest.half_depth_mm, x, y)
    abdomen = cavity * soft_inside(below, 3.0)
    tissues.paint(whole, abdomen, Tissue.FAT)
    liver = np.maximum(below + 2, 0.9 * (x - 25 + 0.35 * np.clip(y - 40, 0, 200)))
    share = cavity * soft_inside(liver.astype(np.float32), 3.0)
    tissues.paint(whole, share, Tissue.LIVER)
    if (share > 0).any():
        vessels = draw_vessels(thorax.liver_vessels, tissues.grid, 2.0)
        tissues.paint(whole, vessels * (share > 0.5), Tissue.VEIN)


def _dome(thorax: Thorax, half_depth_mm: float, x: FloatArray, y: FloatArray) -> FloatArray:
    """Height (z) of the diaphragm at a place: a dome on either side."""
    back = ((y - half_depth_mm) / half_depth_mm) ** 2
    right = thorax.right_dome - 45 * (((x + 75) / 85) ** 2 + back)
    left = thorax.left_dome - 45 * (((x - 75) / 85) ** 2 + back)
    dome: FloatArray = np.maximum(right, left).astype(np.float32)
    return dome


def _paint_organ(tissues: TissueMap, organ: Ellipsoid, limit: FloatArray, edge_mm: float) -> None:
    """Paint a body where ``limit`` (mm, whole grid) is negative."""
    box = box_around(tissues.grid, organ.centre, float(organ.semi_axes.max()) + edge_mm)
    part = part_of(tissues.grid, box)
    if 0 in part.shape:
        return
    offset = (part.points() - organ.centre.astype(np.float32)) @ organ.turn.astype(np.float32).T
    radius = np.linalg.norm(offset / organ.semi_axes.astype(np.float32), axis=-1)
    distance = (radius - 1) * np.float32(organ.semi_axes.min())
    tissues.paint(box, soft_inside(np.maximum(distance, limit[box]), edge_mm), organ.tissue)
