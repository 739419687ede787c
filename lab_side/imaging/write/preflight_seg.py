"""Writing the SEG and its report once before inference, empty and in memory.

Whatever the headers of a series hold that cannot be written again shows here, before minutes of
inference are spent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO

import numpy as np
import pydicom
from pydicom.config import disable_value_validation
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from lab_side.imaging.read.instance import PATIENT_AND_STUDY, SERIES_AND_EQUIPMENT
from lab_side.imaging.read.series import SeriesVolume
from lab_side.imaging.write.measure import measure_masks
from lab_side.imaging.write.report import build_report
from lab_side.imaging.write.seg import SegOrigin, build_seg
from segrelay.dicom.values import name_of
from segrelay.errors import SeriesRefusedError


def preflight_seg(
    reference: SeriesVolume, inputs: Sequence[SeriesVolume], origin: SegOrigin
) -> None:
    """Build and encode an empty SEG for these inputs, and forget it.

    Raises
    ------
    SeriesRefusedError
        ``header-unusable``.
    """
    try:
        _write(reference, inputs, origin)
    except Exception:
        # Not even the kind of error is shown: its text may quote the patient's attributes.
        keyword = _culprit(reference, inputs, origin)
        name = name_of(keyword) if keyword else "An attribute of the patient or the study"
        raise SeriesRefusedError(
            f"{name} cannot be carried over from the series to a SEG.",
            code="header-unusable",
            remedy="Correct it in Orthanc, or send the series again.",
        ) from None


@disable_value_validation()
def _write(reference: SeriesVolume, inputs: Sequence[SeriesVolume], origin: SegOrigin) -> None:
    empty = np.zeros(reference.voxels.shape, dtype=np.uint8)
    masks = [empty for _ in origin.profile.segments]
    seg = build_seg(masks, reference, inputs, origin)
    pydicom.dcmwrite(BytesIO(), seg, enforce_file_format=True)
    nothing = measure_masks(masks, reference.affine, origin.profile.segments)
    pydicom.dcmwrite(BytesIO(), build_report(seg, nothing), enforce_file_format=True)


def _culprit(reference: SeriesVolume, inputs: Sequence[SeriesVolume], origin: SegOrigin) -> str:
    """The attribute without which it would work; empty where that is not a single one."""
    for keyword in (*PATIENT_AND_STUDY, *SERIES_AND_EQUIPMENT):
        headers = tuple(_emptied(header, keyword) for header in reference.headers)
        try:
            _write(replace(reference, headers=headers), inputs, origin)
        except Exception:  # noqa: S112 (this attribute is not the one)
            continue
        return keyword
    return ""


def _emptied(header: Dataset, keyword: str) -> Dataset:
    emptied = Dataset(dict(header.items()))
    if keyword in emptied:
        tag = Tag(keyword)
        emptied[tag] = DataElement(tag, dictionary_VR(tag), "")
    return emptied
