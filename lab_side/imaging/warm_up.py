"""Doing the slow first things before the first job.

The first SEG of a process takes about a second longer than later ones, because highdicom
then loads its tables of the standard. A SEG of one empty slice in memory loads them.
"""

from __future__ import annotations

import highdicom as hd
import numpy as np
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentationTypeValues
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from lab_side.imaging.read.preflight import prepare_headers

_SIDE = 8
_UID = "2.25.1"


def warm_up_seg_writer() -> None:
    """Build a SEG of one empty slice in memory, and forget it."""
    hd.seg.Segmentation(
        source_images=prepare_headers([_header()], slice_step_mm=1.0).headers,
        pixel_array=np.zeros((1, _SIDE, _SIDE), dtype=np.uint8),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[
            hd.seg.SegmentDescription(
                segment_number=1,
                segment_label="warm-up",
                segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
                segmented_property_type=codes.SCT.Neoplasm,
                algorithm_type=SegmentAlgorithmTypeValues.MANUAL,
            )
        ],
        series_instance_uid=_UID,
        series_number=1,
        sop_instance_uid=_UID,
        instance_number=1,
        manufacturer="SegRelay",
        manufacturer_model_name="warm-up",
        software_versions="0",
        device_serial_number="0",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=False,
    )


def _header() -> Dataset:
    header = Dataset()
    header.SOPClassUID = MRImageStorage
    header.SOPInstanceUID = _UID
    header.StudyInstanceUID = _UID
    header.SeriesInstanceUID = _UID
    header.FrameOfReferenceUID = _UID
    header.Modality = "MR"
    header.Rows = header.Columns = _SIDE
    header.ImagePositionPatient = [0, 0, 0]
    header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    header.PixelSpacing = [1, 1]
    return header
