"""A whole case through the product, and through MONAI's own transforms as a training has them."""

from __future__ import annotations

import warnings
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the library's own abbreviation)
import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers.utils import sliding_window_inference
from monai.transforms.compose import Compose
from monai.transforms.intensity.dictionary import NormalizeIntensityd
from monai.transforms.io.dictionary import LoadImaged
from monai.transforms.post.dictionary import (
    Activationsd,
    AsDiscreted,
    Invertd,
)
from monai.transforms.spatial.dictionary import Orientationd, Spacingd
from monai.transforms.utility.dictionary import ConcatItemsd, EnsureChannelFirstd
from numpy.typing import NDArray
from scipy import ndimage

from infra.gate import masks_by_dcmqi, read_grid
from infra.phantom.anatomy import Anatomy
from infra.phantom.case import make_case, scanner_grid
from infra.phantom.dicom import write_study
from infra.phantom.grid import ORIENTATIONS, RAS, Grid
from infra.truth import dice
from lab_side.config import PACKAGED_PROFILES
from lab_side.imaging.pipeline import CaseInput, segment_case
from lab_side.models.loaded import LoadedModel, load_model
from tests.support.imaging_cases import image_of

SEED = 3_000_045
DIRECTIONS = {**ORIENTATIONS, "as the network": RAS}
LPS_OF_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
CREATED_AT = datetime(2024, 5, 6, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model(PACKAGED_PROFILES / "demo")


def by_monai(
    series: dict[str, Path], model: LoadedModel, reference_grid: sitk.Image, *, is_turned: bool
) -> NDArray[np.bool_]:
    """The mask on the reference series' grid: bool [slices, rows, columns].

    ``is_turned``: the series' axes are not yet those of the network.
    """
    profile = model.profile
    keys = list(profile.roles)
    with warnings.catch_warnings():
        # MONAI makes every reader that it knows, and tells which ones it lacks.
        warnings.simplefilter("ignore")
        load = LoadImaged(keys, reader="PydicomReader")
    axes = profile.preprocessing.orientation
    turn = [Orientationd(keys, axcodes=axes, labels=None)] if is_turned else []
    before = Compose(
        [
            load,
            EnsureChannelFirstd(keys),
            *turn,
            Spacingd(keys, pixdim=profile.preprocessing.spacing_mm, mode="bilinear"),
            NormalizeIntensityd(keys, nonzero=True, channel_wise=True),
            ConcatItemsd(keys, name="image"),
        ]
    )
    data = before({role: str(folder) for role, folder in series.items()})
    settings = profile.inference
    with torch.inference_mode():
        logits = sliding_window_inference(
            data["image"][None],
            settings.window,
            1,
            model.network,
            overlap=settings.overlap,
            mode=settings.blend,
        )
    assert isinstance(logits, torch.Tensor)
    reference = profile.reference_role
    data["pred"] = MetaTensor(logits[0], meta=data[reference].meta)
    after = Compose(
        [
            Activationsd("pred", sigmoid=True),
            Invertd("pred", transform=before, orig_keys=reference, nearest_interp=False),
            AsDiscreted("pred", threshold=profile.postprocessing.threshold),
        ]
    )
    mask = after(data)["pred"]
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


@pytest.mark.parametrize("orientation", sorted(DIRECTIONS))
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
