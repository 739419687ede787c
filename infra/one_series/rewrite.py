"""The phases of a dynamic scan rewritten as one series, in many orders and with one key each."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from infra.one_series.enhanced import joined_frames
from segrelay.parts import PartKey

SERIES_UID = generate_uid(entropy_srcs=["one series"])
START = datetime(2024, 1, 5, 23, 58, 30)
"""Shortly before midnight: later phases are of the next day, whose date is not written."""
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


class Kind(StrEnum):
    """What the images of the series are."""

    CLASSIC = "classic"
    """An instance each."""
    ENHANCED = "enhanced"
    """Frames of one enhanced instance."""
    ENHANCED_PHASES = "enhanced-phases"
    """Frames of one enhanced instance for each phase."""


def _with_key(image: Dataset, key: PartKey, phase: int, phases: int) -> None:
    """Give an image the key of its phase, and remove every other key."""
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
    "shuffled": lambda phases, slices: random.Random(5).sample(  # noqa: S311
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
    slots = ORDERS[order](len(phases), len(phases[0]))
    return _write_instance(phases, folder, slots, key=key, series_uid=series_uid)


def write_instances(
    phases: Sequence[Sequence[Dataset]],
    folder: Path,
    *,
    key: PartKey,
    order: str,
    series_uid: str = SERIES_UID,
) -> list[Path]:
    """Write each phase as an enhanced instance, all in one series."""
    slots = ORDERS[order](len(phases), len(phases[0]))
    found: dict[int, list[Slot]] = {}
    for slot in slots:
        found.setdefault(slot[0], []).append(slot)
    return [
        _write_instance(phases, folder, some, key=key, series_uid=series_uid, number=number)
        for number, some in enumerate(found.values(), start=1)
    ]


def write_as(
    kind: Kind,
    phases: Sequence[Sequence[Dataset]],
    folder: Path,
    *,
    key: PartKey,
    order: str,
    series_uid: str = SERIES_UID,
) -> list[Path]:
    """Write all phases as one series of a kind; they are changed on the way."""
    if kind is Kind.CLASSIC:
        return write_one_series(phases, folder, key=key, order=order, series_uid=series_uid)
    if kind is Kind.ENHANCED_PHASES:
        return write_instances(phases, folder, key=key, order=order, series_uid=series_uid)
    return [write_one_instance(phases, folder, key=key, order=order, series_uid=series_uid)]


def _write_instance(
    phases: Sequence[Sequence[Dataset]],
    folder: Path,
    slots: Sequence[Slot],
    *,
    key: PartKey,
    series_uid: str,
    number: int = 1,
) -> Path:
    """Write the images of some slots as the frames of one enhanced instance."""
    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for phase, place in slots:
        image = Dataset(phases[phase][place])
        image.file_meta = phases[phase][place].file_meta
        _with_key(image, key, phase, len(phases))
        images.append(image)
    clocks = [_frame_clock(image) for image in images]
    sources = [str(image.SOPInstanceUID) for image in images]
    instance = joined_frames(images)
    groups = instance.PerFrameFunctionalGroupsSequence
    for group, clock, (_, place) in zip(groups, clocks, slots, strict=True):
        content = group.FrameContentSequence[0]
        del content.TemporalPositionIndex, content.FrameAcquisitionDateTime
        content.InStackPositionNumber, content.DimensionIndexValues = place + 1, [1, place + 1]
        for sequence, keyword, value in clock:
            if sequence not in group:
                setattr(group, sequence, [Dataset()])
            setattr(group[sequence][0], keyword, value)
    del instance.AcquisitionDateTime
    instance.SeriesInstanceUID, instance.InstanceNumber = series_uid, number
    instance.SOPInstanceUID = generate_uid(entropy_srcs=["one instance", key, *sources])
    instance.file_meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID
    instance.file_meta.MediaStorageSOPClassUID = instance.SOPClassUID
    path = folder / f"enhanced-{number}.dcm"
    instance.save_as(path, enforce_file_format=True)
    return path


def _frame_clock(image: Dataset) -> list[tuple[str, str, Any]]:
    """What a frame has in place of a classic image's clock (PS3.3 C.7.6.16.2.2)."""
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
