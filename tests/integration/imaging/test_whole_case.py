"""A whole case through the product, and through MONAI's own transforms as a training has them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the library's own abbreviation)
from numpy.typing import NDArray
from scipy import ndimage

from infra.benches.infer.chain import run_chain
from infra.gates.gate import masks_by_dcmqi, read_grid
from infra.phantom.anatomy import Anatomy
from infra.phantom.case import make_case, scanner_grid
from infra.phantom.dicom import write_study
from infra.phantom.grid import ORIENTATIONS, RAS, Grid
from lab_side.evaluation.overlap import dice
from lab_side.imaging.pipeline import CaseInput, segment_case
from lab_side.models.loaded import LoadedModel, load_model
from lab_side.settings.config import PACKAGED_PROFILES
from tests.support.dicom.imaging_cases import image_of
from tests.support.repetition import at_length

SEED = 3_000_045
DIRECTIONS = {**ORIENTATIONS, "as the network": RAS}
LPS_OF_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
CREATED_AT = datetime(2024, 5, 6, tzinfo=UTC)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model(PACKAGED_PROFILES / "demo")


def by_monai(
    series: dict[str, Path], model: LoadedModel, reference_grid: sitk.Image, *, is_turned: bool
) -> NDArray[np.bool_]:
    """The mask on the reference series' grid: bool [slices, rows, columns].

    ``is_turned``: the series' axes are not yet those of the network.
    """
    settings = model.profile.inference
    result = run_chain(
        series,
        model.profile,
        model.network,
        window=settings.window,
        overlap=settings.overlap,
        is_turned=is_turned,
    )
    mask = result.mask
    image = image_of(
        mask[0].numpy().transpose(2, 1, 0).astype(np.uint8), LPS_OF_RAS @ mask.affine.numpy()
    )
    placed = sitk.Resample(image, reference_grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    return largest_part(sitk.GetArrayFromImage(placed) > 0)


def largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without its smaller parts and its holes; MONAI's own step needs one more library."""
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = ndimage.sum_labels(mask, labels, range(1, count + 1))
    kept: NDArray[np.bool_] = ndimage.binary_fill_holes(labels == np.argmax(sizes) + 1)
    return kept


@pytest.mark.parametrize(
    "orientation", ["axial", "sagittal", *at_length("coronal", "as the network")]
)
def test_the_mask_is_that_of_monais_own_chain(
    tmp_path: Path, model: LoadedModel, orientation: str
) -> None:
    is_turned = orientation != "as the network"
    if is_turned:
        pytest.importorskip("nibabel", reason="MONAI's Orientationd needs nibabel")

    def grid(anatomy: Anatomy) -> Grid:
        # Along columns, rows, slices; the field of view of one breast in any direction.
        return scanner_grid(
            anatomy,
            shape=(70, 140, 150),
            spacing=(1.0, 1.0, 2.0),
            direction=DIRECTIONS[orientation],
        )

    study = write_study(make_case(SEED, grid=grid), tmp_path)
    files = dict(zip(model.profile.roles, (list(s.paths) for s in study.series), strict=True))
    output = segment_case(
        CaseInput(
            job_key="whole-case",
            series=files,
            expected_sop_uids={},
            created_at=CREATED_AT,
            output=tmp_path / "seg.dcm",
        ),
        model,
        lambda *_: None,
    )
    assert output.measurements[0].voxels > 100
    reference = read_grid(files[model.profile.reference_role])
    (ours,) = masks_by_dcmqi(tmp_path / "seg.dcm", reference).values()

    folders = {}
    for role, paths in files.items():
        folders[role] = tmp_path / role
        folders[role].mkdir()
        for path in paths:
            path.rename(folders[role] / path.name)
    assert dice(ours, by_monai(folders, model, reference.image, is_turned=is_turned)) >= 0.99
