"""A series of real DICOM images in a stand-in Orthanc, with a known place in space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from gcp_side.labseg.orthanc.client import SlicePlace, orthanc_id
from segrelay.dicom.functional_groups import frame_attributes
from tests.support.dicom.dicom_series import Edit, make_instance
from tests.unit.gcp_side.fakes import FakeOrthanc, as_file, series_id


@dataclass(frozen=True, eq=False)
class ImageSeries:
    """What was written: ``affine`` is (column, row, slice as written, 1) to LPS mm."""

    voxels: NDArray[np.uint16]
    affine: NDArray[np.float64]
    datasets: list[Dataset]
    number: int = 0

    @property
    def series_id(self) -> str:
        """Orthanc's id."""
        return series_id(self.number)


def write_images(
    voxels: NDArray[np.uint16],
    affine: NDArray[np.float64],
    *,
    number: int = 0,
    edit: Edit | None = None,
) -> ImageSeries:
    """Make the instances of a series."""
    datasets = []
    for index, pixels in enumerate(voxels):
        dataset = make_instance(pixels, affine, index, len(voxels))
        dataset.SOPInstanceUID = f"1.2.3.{number}.{(index * 37 + 11) % 101}.{index}"
        if edit is not None:
            edit(dataset, index)
        datasets.append(dataset)
    return ImageSeries(voxels, affine, datasets, number)


def store_images(fake: FakeOrthanc, series: ImageSeries, order: Sequence[int]) -> None:
    """Put a series into the stand-in, instances listed in ``order``."""
    fake.slices[series.series_id] = [_place(series.datasets[index]) for index in order]
    for dataset in series.datasets:
        fake.files[orthanc_id(dataset.SOPInstanceUID)] = as_file(dataset)


def store_frames(fake: FakeOrthanc, instance: Dataset, number: int = 0) -> None:
    """Put a series of one enhanced instance into the stand-in."""
    instance.SOPInstanceUID = f"1.2.3.{number}"
    whole = _place(instance)
    fake.slices[series_id(number)] = [
        replace(
            whole,
            frame=frame,
            position=_numbers(found["ImagePositionPatient"]),
            orientation=_numbers(found["ImageOrientationPatient"]),
        )
        for frame, found in enumerate(frame_attributes(instance), start=1)
    ]
    fake.files[whole.orthanc_id] = as_file(instance)


def _place(dataset: Dataset) -> SlicePlace:
    return SlicePlace(
        orthanc_id=orthanc_id(dataset.SOPInstanceUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        position=_numbers(dataset.get("ImagePositionPatient")),
        orientation=_numbers(dataset.get("ImageOrientationPatient")),
        # As in Orthanc: another one for every file that was ever stored.
        file_uuid=str(uuid4()),
    )


def _numbers(value: Any) -> tuple[float, ...] | None:
    return None if value is None else tuple(float(item) for item in value)
