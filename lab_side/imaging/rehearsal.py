"""Writing the SEG and its report once before inference, empty and in memory.

Whatever the headers of a series hold that cannot be written again (text outside the declared
character set, values of a wrong form) shows here, before minutes of inference are spent.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np
import pydicom

from common.errors import SeriesRefusedError
from lab_side.imaging.measure import measure_masks
from lab_side.imaging.report import build_report
from lab_side.imaging.seg import SegOrigin, build_seg
from lab_side.imaging.series import SeriesVolume


def rehearse_seg(
    reference: SeriesVolume, inputs: Sequence[SeriesVolume], origin: SegOrigin
) -> None:
    """Build and encode an empty SEG for these inputs, and forget it.

    Raises
    ------
    SeriesRefusedError
        ``header-unusable``.
    """
    empty = np.zeros(reference.voxels.shape, dtype=np.uint8)
    masks = [empty for _ in origin.profile.segments]
    try:
        seg = build_seg(masks, reference, inputs, origin)
        pydicom.dcmwrite(BytesIO(), seg, enforce_file_format=True)
        nothing = measure_masks(masks, reference.affine, origin.profile.segments)
        pydicom.dcmwrite(BytesIO(), build_report(seg, nothing), enforce_file_format=True)
    except Exception as error:
        # Only the kind of error is told: its text may quote the patient's attributes.
        raise SeriesRefusedError(
            f"The headers of the series cannot be carried over to a SEG ({type(error).__name__}).",
            code="header-unusable",
            remedy="Check the patient and study attributes of the series, above all its "
            "Specific Character Set, and correct them in Orthanc.",
        ) from None
