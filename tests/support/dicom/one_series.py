"""The phases of a dynamic scan rewritten as one series, classic or enhanced, in many orders."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import generate_uid

from segrelay.parts import PartImage, PartKey, images_of
from tests.support.dicom.enhanced_series import joined_frames

SERIES_UID = generate_uid(entropy_srcs=["one series"])
START = datetime(2024, 1, 5, 23, 58, 30)
"""Shortly before midnight: later phases are of the next day, whose date nobody wrote."""
STEP = timedelta(seconds=75)

_CLOCKS = (
    "TemporalPositionIdentifier",
    "NumberOfTemporalPositions",
    "TriggerTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "AcquisitionDateTime",
    "ContentDate",
    "ContentTime",
    "AcquisitionNumber",
)

Slot = tuple[int, int]
"""Phase and slice."""


def _with_key(image: Dataset, key: PartKey, phase: int, phases: int) -> None:
    """Give an image what tells its phase, and nothing else that does."""
    for keyword in _CLOCKS:
        if keyword in image:
            delattr(image, keyword)
    when = START + phase * STEP
    if key is PartKey.TEMPORAL_POSITION:
        image.TemporalPositionIdentifier, image.NumberOfTemporalPositions = phase + 1, phases
    elif key is PartKey.TRIGGER_TIME:
        image.TriggerTime = f"{phase * STEP.total_seconds() * 1000:.1f}"
    elif key is PartKey.ACQUISITION_TIME:
        image.AcquisitionDate, image.AcquisitionTime = f"{START:%Y%m%d}", f"{when:%H%M%S}.250"
    elif key is PartKey.CONTENT_TIME:
        image.ContentDate, image.ContentTime = f"{START:%Y%m%d}", f"{when:%H%M%S}"
    else:
        image.AcquisitionNumber = phase + 1


ORDERS: Mapping[str, Callable[[int, int], list[Slot]]] = {
    "phase by phase": lambda phases, slices: [(p, s) for p in range(phases) for s in range(slices)],
    "slice by slice": lambda phases, slices: [(p, s) for s in range(slices) for p in range(phases)],
    "phases backwards": lambda phases, slices: [
        (p, s) for p in reversed(range(phases)) for s in range(slices)
    ],
    "slices backwards": lambda phases, slices: [
        (p, s) for p in range(phases) for s in reversed(range(slices))
    ],
    "to and fro": lambda phases, slices: [
        (p, s if p % 2 else slices - 1 - s) for p in range(phases) for s in range(slices)
    ],
    "shuffled": lambda phases, slices: random.Random(5).sample(
        [(p, s) for p in range(phases) for s in range(slices)], phases * slices
    ),
}
"""In which the images are numbered and stored: by phases and slices, where each comes."""


def read_phases(phases: Sequence[Sequence[Path]]) -> list[list[Dataset]]:
    """The images of each phase, by rising position along z, x and y."""
    read = [[pydicom.dcmread(path) for path in paths] for paths in phases]
    return [sorted(images, key=lambda one: tuple(one.ImagePositionPatient)) for images in read]


def write_one_series(
    phases: Sequence[Sequence[Dataset]],
    folder: Path,
    *,
    key: PartKey,
    order: str,
    series_uid: str = SERIES_UID,
) -> list[Path]:
    """Write all phases as one classic series; the paths in the order of the images.

    SOP Instance UIDs stay: a SEG on a phase refers to the same images.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    slots = ORDERS[order](len(phases), len(phases[0]))
    for number, (phase, place) in enumerate(slots, start=1):
        image = phases[phase][place]
        _with_key(image, key, phase, len(phases))
        image.SeriesInstanceUID, image.InstanceNumber = series_uid, number
        paths.append(folder / f"{number:05d}.dcm")
        image.save_as(paths[-1], enforce_file_format=True)
    return paths


def write_one_instance(
    phases: Sequence[Sequence[Dataset]],
    folder: Path,
    *,
    key: PartKey,
    order: str,
    series_uid: str = SERIES_UID,
) -> Path:
    """Write all phases as one enhanced instance."""
    folder.mkdir(parents=True, exist_ok=True)
    slots = ORDERS[order](len(phases), len(phases[0]))
    images = []
    for phase, place in slots:
        image = pydicom.Dataset(phases[phase][place])
        image.file_meta = phases[phase][place].file_meta
        _with_key(image, key, phase, len(phases))
        images.append(image)
    clocks = [_frame_clock(image) for image in images]
    instance = joined_frames(images)
    for group, clock in zip(instance.PerFrameFunctionalGroupsSequence, clocks, strict=True):
        content = group.FrameContentSequence[0]
        del content.TemporalPositionIndex, content.FrameAcquisitionDateTime
        for sequence, keyword, value in clock:
            if sequence not in group:
                setattr(group, sequence, [Dataset()])
            setattr(group[sequence][0], keyword, value)
    del instance.AcquisitionDateTime
    instance.SeriesInstanceUID = series_uid
    instance.SOPInstanceUID = generate_uid(entropy_srcs=["one instance", key, order])
    instance.file_meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID
    instance.file_meta.MediaStorageSOPClassUID = instance.SOPClassUID
    instance.save_as(folder / "enhanced.dcm", enforce_file_format=True)
    return folder / "enhanced.dcm"


def _frame_clock(image: Dataset) -> list[tuple[str, str, Any]]:
    """What a frame says in place of a classic image's clock (PS3.3 C.7.6.16.2.2)."""
    found: list[tuple[str, str, Any]] = []
    if "TemporalPositionIdentifier" in image:
        value = int(image.TemporalPositionIdentifier)
        found.append(("FrameContentSequence", "TemporalPositionIndex", value))
    if "TriggerTime" in image:
        seconds = float(image.TriggerTime) / 1000
        found.append(("TemporalPositionSequence", "TemporalPositionTimeOffset", seconds))
    if "AcquisitionTime" in image:
        when = f"{image.AcquisitionDate}{image.AcquisitionTime}"
        found.append(("FrameContentSequence", "FrameAcquisitionDateTime", when))
    if "ContentTime" in image:
        when = f"{image.ContentDate}{image.ContentTime}"
        found.append(("FrameContentSequence", "FrameReferenceDateTime", when))
    if "AcquisitionNumber" in image:
        value = int(image.AcquisitionNumber)
        found.append(("FrameContentSequence", "FrameAcquisitionNumber", value))
    return found


def images_in(paths: Sequence[Path]) -> list[PartImage]:
    """What tells the images in these files apart; each instance named by its path."""
    return [
        image
        for path in paths
        for image in images_of(str(path), tags_of(pydicom.dcmread(path, stop_before_pixels=True)))
    ]


def tags_of(dataset: Dataset) -> dict[str, Any]:
    """As Orthanc's simplified tags."""
    return {element.keyword: _as_text(element.value) for element in dataset if element.keyword}


def _as_text(value: Any) -> Any:
    if isinstance(value, pydicom.Sequence):
        return [tags_of(item) for item in value]
    if isinstance(value, (list, MultiValue)):
        return "\\".join(map(str, value))
    return "" if value is None else str(value)
