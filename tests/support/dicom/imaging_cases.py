"""Profiles, masks and stand-in networks for imaging tests."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the library's own abbreviation)
from numpy.typing import NDArray

from lab_side.imaging.write.seg import SegOrigin
from segrelay.profiles import (
    Code,
    Inference,
    InputRole,
    Lora,
    Network,
    Postprocessing,
    Preprocessing,
    Profile,
    Segment,
    Text,
    Weights,
)
from tests.support.paths import ROOT

TEXT = Text(en="test", ko="시험")
CREATED_AT = datetime(2024, 5, 6, 13, 14, 15, tzinfo=timezone(timedelta(hours=9)))
MODEL_SHA256 = "ab" * 32

SMALL_UNET = Network(
    architecture="UNet",
    arguments={
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 1,
        "channels": [4, 8],
        "strides": [2],
        "norm": "BATCH",
    },
)


def make_profile(
    *,
    roles: tuple[str, ...] = ("first",),
    segments: int = 1,
    network: Network | None = None,
    window: tuple[int, int, int] = (32, 32, 32),
    spacing: tuple[float, float, float] = (1.5, 1.5, 1.5),
    normalisation: str = "none",
    postprocessing: Postprocessing | None = None,
    lora: Lora | None = None,
    body_part: str = "BREAST",
) -> Profile:
    """A valid profile of the given shape."""
    return Profile.model_validate(
        {
            "schema_version": "1.0",
            "name": "test-profile",
            "version": "1.2.3",
            "title": TEXT,
            "intended_use": TEXT,
            "licence": "none",
            "body_part_examined": body_part,
            "content_label": "TEST_TUMOUR",
            "inputs": [InputRole(role=role, title=TEXT) for role in roles],
            "reference_role": roles[0],
            "network": network or Network(architecture="UNet", arguments={}),
            "weights": Weights(lora=lora),
            "preprocessing": Preprocessing.model_validate(
                {"orientation": "RAS", "spacing_mm": spacing, "normalisation": normalisation}
            ),
            "inference": Inference(window=window, overlap=0.25),
            "postprocessing": postprocessing or Postprocessing(),
            "segments": [_segment(number) for number in range(1, segments + 1)],
        }
    )


def _segment(number: int) -> Segment:
    return Segment(
        number=number,
        label=f"Lesion {number}",
        title=TEXT,
        channel=number - 1,
        category=Code(value="49755003", scheme="SCT", meaning="Morphologically Abnormal Structure"),
        type=Code(value="108369006", scheme="SCT", meaning="Neoplasm"),
        region=Code(value="76752008", scheme="SCT", meaning="Breast"),
        colour=(220, 40, 10 * number),
    )


def make_origin(profile: Profile, *, job_key: str = "01HZXJOB") -> SegOrigin:
    """Where a test's SEG comes from."""
    return SegOrigin(
        job_key=job_key,
        created_at=CREATED_AT,
        profile=profile,
        model_sha256=MODEL_SHA256,
        software_version="0.0.0",
    )


def blob(shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A mask without any symmetry: uint8 [slices, rows, columns], with a hole."""
    mask = np.zeros(shape, dtype=np.uint8)
    slices, rows, columns = shape
    mask[1 : slices - 2, 2 : rows // 2, 1 : columns // 3] = 1
    mask[2, 3 : rows - 2, 2:5] = 1
    mask[1, 2, 2 : columns - 1] = 1
    mask[2, 4, 3] = 0
    return mask


def image_of(values: NDArray[np.generic], affine: NDArray[np.float64]) -> sitk.Image:
    """A SimpleITK image, placed by an affine (column, row, slice index) to LPS."""
    image = sitk.GetImageFromArray(values)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


def read_with_dcmqi(
    seg: Path, shape: tuple[int, int, int], affine: NDArray[np.float64], folder: Path
) -> dict[int, NDArray[np.uint8]]:
    """Segments of a SEG as dcmqi reads them, sampled by SimpleITK at the given voxel centres.

    Neither the affine nor the voxels pass through the code under test.
    """
    program = Path(sys.executable).with_name("segimage2itkimage")
    folder.mkdir()
    subprocess.run(
        [program, "--inputDICOM", seg, "--outputDirectory", folder, "-t", "nrrd"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    frame = image_of(np.zeros(shape, dtype=np.uint8), affine)
    found = {}
    for path in sorted(folder.glob("*.nrrd")):
        image = sitk.ReadImage(str(path))
        sampled = sitk.Resample(image, frame, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
        number = int(path.stem.split("-")[-1])
        found[number] = (sitk.GetArrayFromImage(sampled) > 0).astype(np.uint8)
    return found


def real_study(name: str) -> Path:
    """Path of a real study's zip; skips the test where it is absent."""
    return real_file(name, "study.zip")


def real_file(study: str, name: str) -> Path:
    """Path of a file with real images; skips the test where it is absent."""
    path = ROOT.parent / "shared" / "data" / study / name
    if not path.is_file():
        pytest.skip(f"the real study {study} is not on this machine")
    return path
