"""Dice, and the truth in the order of the images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from infra.gates.gate import BoolArray, read_grid
from infra.gates.truth import load_truth
from lab_side.evaluation.overlap import dice
from tests.support.dicom.seg_study import SHAPE, SegStudy, write_seg_study

MASKS = hnp.arrays(np.bool_, (2, 3, 4))


@given(first=MASKS, second=MASKS)
def test_dice_is_symmetric_and_one_only_for_equal_masks(
    first: BoolArray, second: BoolArray
) -> None:
    value = dice(first, second)
    assert 0 <= value <= 1
    assert value == dice(second, first)
    assert (value == 1) == np.array_equal(first, second)


def test_half_an_overlap_is_a_half() -> None:
    first, second = np.zeros((1, 1, 4), bool), np.zeros((1, 1, 4), bool)
    first[..., :2] = True
    second[..., 1:3] = True
    assert dice(first, second) == 0.5


@pytest.fixture(scope="module")
def shared_study(tmp_path_factory: pytest.TempPathFactory) -> SegStudy:
    return write_seg_study(tmp_path_factory.mktemp("truth"))


@given(order=st.permutations(range(SHAPE[0])))
def test_the_truth_is_sorted_by_its_uids(shared_study: SegStudy, order: list[int]) -> None:
    study = shared_study
    grid = read_grid(study.sources)
    path = study.seg.with_name("truth.npz")
    np.savez(
        path,
        mask=study.mask[order].astype(np.uint8),
        sop_instance_uids=np.array(grid.uids)[order],
    )
    np.testing.assert_array_equal(load_truth(path, grid), study.mask)


def test_the_truth_of_another_series_is_refused(tmp_path: Path) -> None:
    study = write_seg_study(tmp_path)
    grid = read_grid(study.sources)
    np.savez(
        tmp_path / "truth.npz",
        mask=study.mask.astype(np.uint8),
        sop_instance_uids=np.array([f"1.2.{n}" for n in range(len(grid.uids))]),
    )
    with pytest.raises(ValueError, match="not of the series"):
        load_truth(tmp_path / "truth.npz", grid)
