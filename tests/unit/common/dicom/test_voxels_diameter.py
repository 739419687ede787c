"""The longest diameter of a segment."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from segrelay.voxels.diameter import longest_diameter_mm, outline_points
from tests.support.dicom.dicom_series import ORIENTATIONS, make_affine, rotation


@given(
    orientation=st.sampled_from(sorted(ORIENTATIONS)),
    shape=st.tuples(*[st.integers(1, 8)] * 3),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**31),
)
def test_it_is_the_longest_of_all_pairs(
    orientation: str, shape: tuple[int, int, int], share: float, seed: int
) -> None:
    mask = np.random.default_rng(seed).random(shape) < share
    affine = make_affine(orientation, spacing=(0.7, 0.9, 3.0), tilt=rotation(20, -35, 50))
    longest = longest_diameter_mm(outline_points(mask, affine))
    centres = np.argwhere(mask)[:, ::-1] @ affine[:3, :3].T
    if not len(centres):
        assert longest is None
        return
    every = longest_diameter_mm(centres)
    assert longest == every == pytest.approx(max(pdist(centres), default=0.0), abs=5.001e-3)
