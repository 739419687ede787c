"""A small MR series and a highdicom SEG of a known mask on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage, generate_uid

BoolArray = npt.NDArray[np.bool_]

SHAPE = (10, 40, 56)
"""Slices, rows, columns: all different, so that a swap of axes shows."""

PIXEL_SPACING_MM = (0.9, 0.7)
"""Between rows, between columns."""

SLICE_STEP_MM = 2.5


@dataclass(frozen=True)
class SegStudy:
    """Files of one series and the SEG made on it."""

    sources: list[Path]
    """Sorted along the slice normal."""
    seg: Path
    mask: BoolArray
    """Shape (slices, rows, columns), slices along the normal."""


def write_seg_study(folder: Path, *, mask: BoolArray | None = None) -> SegStudy:
    """Write an oblique series of :data:`SHAPE` and a BINARY SEG of one segment on it."""
    known = example_mask() if mask is None else mask
    datasets = _series()
    sources = []
    for number, dataset in enumerate(datasets):
        path = folder / f"{number:03d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        sources.append(path)
    seg_path = folder / "seg.dcm"
    make_seg(datasets, known).save_as(seg_path)
    return SegStudy(sources, seg_path, known)


def example_mask() -> BoolArray:
    """A shape without any symmetry: every flip and every shift changes it."""
    mask = np.zeros(SHAPE, bool)
    mask[2:6, 8:20, 10:30] = True
    mask[6, 8:12, 10:15] = True
    mask[3, 20:24, 12:14] = True
    return mask


def orientation() -> npt.NDArray[np.float64]:
    """Row and column direction, turned by 20 degrees about the first axis."""
    angle = np.deg2rad(20)
    return np.array([1, 0, 0, 0, np.cos(angle), np.sin(angle)])


def _series() -> list[Dataset]:
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    direction = orientation()
    normal = np.cross(direction[:3], direction[3:])
    rng = np.random.default_rng(7)
    return [
        _slice(number, study, series, frame, -30 + normal * number * SLICE_STEP_MM, rng)
        for number in range(SHAPE[0])
    ]


def _slice(
    number: int,
    study: UID,
    series: UID,
    frame: UID,
    position: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    dataset.FrameOfReferenceUID = frame
    dataset.Modality = "MR"
    dataset.PatientID, dataset.PatientName = "TEST", "Test^Patient"
    dataset.PatientBirthDate, dataset.PatientSex = "19800101", "F"
    dataset.StudyDate, dataset.StudyTime = "20250102", "101112"
    dataset.StudyID, dataset.AccessionNumber, dataset.ReferringPhysicianName = "1", "", ""
    dataset.SeriesNumber, dataset.InstanceNumber = 1, number + 1
    dataset.Manufacturer = "SegRelay tests"
    dataset.ImageOrientationPatient = [f"{value:.6f}" for value in orientation()]
    dataset.ImagePositionPatient = [f"{value:.6f}" for value in position]
    dataset.PixelSpacing = list(PIXEL_SPACING_MM)
    dataset.SliceThickness = SLICE_STEP_MM
    _, dataset.Rows, dataset.Columns = SHAPE
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelData = rng.integers(0, 1000, SHAPE[1:], dtype=np.uint16).tobytes()
    return dataset


def make_seg(sources: Sequence[Dataset], mask: BoolArray) -> hd.seg.Segmentation:
    """A BINARY SEG of one segment; ``mask`` [slices, rows, columns] in the order of ``sources``."""
    segment = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="Tumour",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Neoplasm,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
    )
    return hd.seg.Segmentation(
        source_images=sources,
        pixel_array=mask.astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[segment],
        series_instance_uid=generate_uid(),
        series_number=900,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="SegRelay tests",
        manufacturer_model_name="known mask",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=bool(mask.any()),
    )


def rewrite(path: Path, change: Callable[[Dataset], object]) -> None:
    """Change a DICOM file in place."""
    dataset = pydicom.dcmread(path)
    change(dataset)
    dataset.save_as(path)
