"""The lab and the site on one series: the same order and the same place for every voxel."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gcp_side.labseg.dicom.pixels import SliceImage
from gcp_side.labseg.errors import SeriesNotShownError
from gcp_side.labseg.orthanc.client import SlicePlace
from gcp_side.labseg.viewer.geometry import make_geometry
from gcp_side.labseg.viewer.slices import displayed_order
from lab_side.imaging.read.geometry import Stack, place_slices
from segrelay.errors import SeriesRefusedError
from tests.support.dicom.dicom_series import ORIENTATIONS, make_affine, rotation

angles = st.floats(-180, 180)
spacings = st.floats(0.2, 8.0)
lengths = st.floats(0.985, 1.015)


def by_lab(
    positions: NDArray[np.float64],
    orientations: NDArray[np.float64],
    spacing: tuple[float, float],
) -> Stack | str:
    try:
        return place_slices(positions, orientations, spacing)
    except SeriesRefusedError as error:
        return error.code


def by_site(
    positions: NDArray[np.float64],
    orientations: NDArray[np.float64],
    spacing: tuple[float, float],
) -> Stack | str:
    places = [
        SlicePlace(
            orthanc_id=str(index),
            sop_instance_uid=f"1.2.{index:03}",
            position=tuple(position),
            orientation=tuple(orientation),
        )
        for index, (position, orientation) in enumerate(zip(positions, orientations, strict=True))
    ]
    middle = SliceImage(
        voxels=np.zeros((4, 5), "<u2"),
        pixel_spacing=spacing,
        thickness_mm=None,
        slope=1.0,
        intercept=0.0,
        window=(0.0, 1.0),
    )
    try:
        geometry = make_geometry(displayed_order(places), middle)
    except (SeriesNotShownError, SeriesRefusedError) as error:
        return error.code
    order = np.array([int(name) for name in geometry.instances], dtype=np.intp)
    return Stack(order=order, affine=geometry.affine)


@given(
    orientation=st.sampled_from(sorted(ORIENTATIONS)),
    turns=st.tuples(angles, angles, angles),
    spacing=st.tuples(spacings, spacings, spacings),
    lengths=st.tuples(lengths, lengths),
    jitter=st.lists(st.floats(-1.5, 1.5), min_size=1, max_size=12),
    slant=st.sampled_from([0.0, 0.01, 0.5]),
    fault=st.sampled_from(["none", "none", "gap", "twice", "shifted", "turned"]),
    seed=st.integers(0, 2**32 - 1),
)
@example("axial", (0, 0, 0), (1, 1, 1), (1, 1), [0] * 6, 0.0, "gap", 0)
@example("axial", (0, 0, 0), (1, 1, 1), (1, 1), [0] * 6, 0.0, "twice", 0)
def test_what_the_lab_accepts_the_site_places_alike(
    orientation: str,
    turns: tuple[float, float, float],
    spacing: tuple[float, float, float],
    lengths: tuple[float, float],
    jitter: list[float],
    slant: float,
    fault: str,
    seed: int,
) -> None:
    """``jitter``: of each slice, in tolerances; ``slant``: of the stack, in steps a slice."""
    affine = make_affine(orientation, spacing=spacing, tilt=rotation(*turns))
    unit = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    count, tolerance = len(jitter), max(0.1, 0.02 * spacing[2])
    step = affine[:3, 2] + slant * spacing[2] * unit[:, 0]
    places = np.arange(count, dtype=np.float64)
    if fault == "gap":
        places[count // 2 :] += 1
    elif fault == "twice":
        places[count // 2 :] -= 1
    positions = affine[:3, 3] + places[:, None] * step
    positions += np.outer(jitter, tolerance * unit[:, 2])
    if fault == "shifted":
        positions[-1] += 2 * tolerance * unit[:, 0]
    directions = (unit[:, :2] * lengths).T.ravel()
    orientations = np.tile(directions, (count, 1))
    if fault == "turned":
        orientations[-1, 3:] *= -1
    shuffle = np.random.default_rng(seed).permutation(count)
    given_all = positions[shuffle], orientations[shuffle], (spacing[1], spacing[0])
    lab, site = by_lab(*given_all), by_site(*given_all)
    if isinstance(lab, str):
        # The site shows some stacks that no mask is made of: two slices, or a slant.
        return
    assert isinstance(site, Stack), site
    np.testing.assert_array_equal(lab.order, site.order)
    np.testing.assert_array_equal(lab.affine, site.affine)
