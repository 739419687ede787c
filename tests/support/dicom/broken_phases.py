"""Phases in one series, each time with another defect; classic, and as frames of one instance."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from infra.one_series.rewrite import write_one_instance
from segrelay.parts import PartKey

STEP = timedelta(seconds=75)
START = datetime(2024, 1, 5, 10, 0)

Phases = list[list[Dataset]]
"""Of each phase, the images by place; each has a temporal position and an acquisition time."""

Variant = Callable[[Phases], Sequence[Dataset]]
"""Makes the images of a series; may change those that it is given."""

FrameVariant = Callable[[Dataset], None]
"""Changes an enhanced instance of all phases, whose frames come phase by phase."""


def write_classic(phases: Phases, folder: Path, variant: Variant) -> list[Path]:
    """Write the images of a variant as one series of a study of its own."""
    folder.mkdir()
    copied = [[_timed(image, phase) for image in images] for phase, images in enumerate(phases)]
    uid = generate_uid(entropy_srcs=[str(folder)])
    paths = []
    for number, image in enumerate(variant(copied), start=1):
        image.StudyInstanceUID, image.SeriesInstanceUID, image.InstanceNumber = uid, uid, number
        paths.append(folder / f"{number:05d}.dcm")
        image.save_as(paths[-1], enforce_file_format=True)
    return paths


def write_enhanced_variant(phases: Phases, folder: Path, variant: FrameVariant) -> list[Path]:
    """Write all phases as one instance, with a temporal position each, and change it."""
    copied = [[copy.deepcopy(image) for image in images] for images in phases]
    key, uid = PartKey.TEMPORAL_POSITION, generate_uid(entropy_srcs=[str(folder)])
    path = write_one_instance(copied, folder, key=key, order="phase by phase", series_uid=uid)
    instance = pydicom.dcmread(path)
    instance.StudyInstanceUID = uid
    variant(instance)
    instance.save_as(path)
    return [path]


def _timed(image: Dataset, phase: int) -> Dataset:
    made = copy.deepcopy(image)
    for keyword in ("TriggerTime", "AcquisitionDateTime", "ContentTime", "AcquisitionNumber"):
        made.pop(keyword, None)
    made.TemporalPositionIdentifier = phase + 1
    _at(made, START + phase * STEP)
    return made


def _at(image: Dataset, when: datetime) -> None:
    image.AcquisitionDate, image.AcquisitionTime = f"{when:%Y%m%d}", f"{when:%H%M%S}"


def _flat(phases: Phases) -> list[Dataset]:
    return [image for images in phases for image in images]


def _again(images: Sequence[Dataset]) -> list[Dataset]:
    """The same images as instances of their own."""
    copied = copy.deepcopy(list(images))
    for image in copied:
        image.SOPInstanceUID = generate_uid(entropy_srcs=["again", str(image.SOPInstanceUID)])
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    return copied


def _moved(image: Dataset, step: Dataset, share: float) -> None:
    """Move an image towards another one by a share of their distance."""
    places = zip(image.ImagePositionPatient, step.ImagePositionPatient, strict=True)
    image.ImagePositionPatient = [
        f"{float(here) + share * (float(there) - float(here)):.6f}" for here, there in places
    ]


def _missing_slice(phases: Phases) -> Sequence[Dataset]:
    del phases[2][3]
    return _flat(phases)


def _contradicting(phases: Phases) -> Sequence[Dataset]:
    for phase, images in enumerate(phases):
        for image in images:
            _at(image, START - phase * STEP)
    return _flat(phases)


def _doubled_phase(phases: Phases) -> Sequence[Dataset]:
    return [*_flat(phases), *_again(phases[1])]


def _doubled_slice(phases: Phases) -> Sequence[Dataset]:
    return [*_flat(phases), *_again(phases[1][2:3])]


def _shifted_slice(phases: Phases) -> Sequence[Dataset]:
    _moved(phases[2][2], phases[2][3], 0.5)
    return _flat(phases)


def _shifted_phase(phases: Phases) -> Sequence[Dataset]:
    last = copy.deepcopy(phases[2][-1])
    for image, after in zip(phases[2], [*phases[2][1:], None], strict=True):
        _moved(image, after or last, 0.5 if after else 0.0)
    _moved(phases[2][-1], phases[2][-2], -1.0)
    return _flat(phases)


def _other_matrix(phases: Phases) -> Sequence[Dataset]:
    for image in phases[2]:
        image.Rows //= 2
        image.PixelData = image.PixelData[: len(image.PixelData) // 2]
    return _flat(phases)


def _other_spacing(phases: Phases) -> Sequence[Dataset]:
    for image in phases[2]:
        image.PixelSpacing = [2 * float(value) for value in image.PixelSpacing]
    return _flat(phases)


def _turned_phase(phases: Phases) -> Sequence[Dataset]:
    """Rows and columns exchanged: the slices are looked at from the other side."""
    for image in phases[2]:
        cosines = list(image.ImageOrientationPatient)
        image.ImageOrientationPatient = [*cosines[3:], *cosines[:3]]
    return _flat(phases)


def _without_positions(phases: Phases) -> Sequence[Dataset]:
    for image in _flat(phases):
        del image.AcquisitionTime, image.AcquisitionDate
    for image in phases[2][:2]:
        del image.TemporalPositionIdentifier
    return _flat(phases)


def _positions_of_some(phases: Phases) -> Sequence[Dataset]:
    """What some images lack, their times make up for."""
    for image in phases[2][:2]:
        del image.TemporalPositionIdentifier
    return _flat(phases)


def _rescale_of_some(phases: Phases) -> Sequence[Dataset]:
    for image in _flat(phases[1:]):
        image.RescaleSlope, image.RescaleIntercept = "2.5", "0"
    for image in phases[0]:
        image.pop("RescaleSlope", None)
        image.pop("RescaleIntercept", None)
    return _flat(phases)


def _localizer(phases: Phases) -> Sequence[Dataset]:
    """A scout of two slices across, which no attribute names."""
    scout = _again(phases[0][:2])
    for image in scout:
        cosines = [float(value) for value in image.ImageOrientationPatient]
        row, column = cosines[:3], cosines[3:]
        normal = [
            row[1] * column[2] - row[2] * column[1],
            row[2] * column[0] - row[0] * column[2],
            row[0] * column[1] - row[1] * column[0],
        ]
        image.ImageOrientationPatient = [f"{value:.8f}" for value in (*column, *normal)]
    return [*_flat(phases), *scout]


def _subtraction(phases: Phases) -> Sequence[Dataset]:
    made = _again(phases[2])
    for image in made:
        image.ImageType = ["DERIVED", "SECONDARY", "SUBTRACTION"]
    return [*_flat(phases), *made]


def _silent_subtraction(phases: Phases) -> Sequence[Dataset]:
    """Derived images with a place in time of their own, which no attribute names a subtraction."""
    made = _again(phases[2])
    for image in _flat(phases):
        image.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    for image in made:
        image.ImageType = ["DERIVED", "SECONDARY", "M"]
        image.TemporalPositionIdentifier = 9
        _at(image, START + 9 * STEP)
    return [*_flat(phases), *made]


def _echo_number(phases: Phases) -> Sequence[Dataset]:
    for phase, images in enumerate(phases):
        for image in images:
            image.EchoNumbers = 2 if phase == 2 else 1
    return _flat(phases)


def _wrong_date(phases: Phases) -> Sequence[Dataset]:
    """Over midnight; the last phase has the date of the first again."""
    late = datetime(2024, 1, 5, 23, 58, 30)
    for phase, images in enumerate(phases):
        for image in images:
            del image.TemporalPositionIdentifier
            _at(image, late + phase * STEP)
            if phase == len(phases) - 1:
                image.AcquisitionDate = f"{late:%Y%m%d}"
    return _flat(phases)


def _over_midnight(phases: Phases) -> Sequence[Dataset]:
    _wrong_date(phases)
    for image in _flat(phases):
        image.AcquisitionDate = "20240105"
    return _flat(phases)


def _replaced_slice(phases: Phases) -> Sequence[Dataset]:
    phases[3][1] = _again(phases[2][1:2])[0]
    return _flat(phases)


BROKEN: dict[str, tuple[Variant, str]] = {
    "a phase with a missing slice": (_missing_slice, "part-incomplete"),
    "two keys that contradict": (_contradicting, "parts-contradict"),
    "a doubled phase": (_doubled_phase, "part-duplicate"),
    "a doubled slice": (_doubled_slice, "part-duplicate"),
    "a slice of one phase for that of another": (_replaced_slice, "part-duplicate"),
    "a slice shifted by half a step": (_shifted_slice, "parts-shifted"),
    "a phase shifted by half a step": (_shifted_phase, "parts-shifted"),
    "a phase of another matrix": (_other_matrix, "mixed-matrix"),
    "a phase of another pixel spacing": (_other_spacing, "mixed-pixel-spacing"),
    "a phase of another orientation": (_turned_phase, "parts-turned"),
    "temporal positions on some images": (_without_positions, "part-key-missing"),
    "a rescale on some phases": (_rescale_of_some, "mixed-rescale"),
    "derived images": (_silent_subtraction, "parts-derived"),
    "a phase of another echo": (_echo_number, "several-echoes"),
    "a wrong date after midnight": (_wrong_date, "parts-dates"),
}
"""Refused, with the code."""

TAKEN: dict[str, tuple[Variant, dict[str, int]]] = {
    "a scout inside": (_localizer, {"localizer": 2}),
    "a subtraction inside": (_subtraction, {"computed": -1}),
    "one date over midnight": (_over_midnight, {}),
    "times where positions are missing": (_positions_of_some, {}),
}
"""Taken, and how many images of which kind are left out; -1: as many as a phase has."""


def _fewer_groups(instance: Dataset) -> None:
    count = int(instance.NumberOfFrames) // 4
    instance.PerFrameFunctionalGroupsSequence = instance.PerFrameFunctionalGroupsSequence[:-count]


def _missing_frame(instance: Dataset) -> None:
    size = len(instance.PixelData) // int(instance.NumberOfFrames)
    del instance.PerFrameFunctionalGroupsSequence[-1]
    instance.NumberOfFrames -= 1
    instance.PixelData = instance.PixelData[:-size]


def _doubled_frame(instance: Dataset) -> None:
    size = len(instance.PixelData) // int(instance.NumberOfFrames)
    groups = instance.PerFrameFunctionalGroupsSequence
    groups.append(copy.deepcopy(groups[-1]))
    instance.NumberOfFrames += 1
    instance.PixelData += instance.PixelData[-size:]


def _moved_frame(instance: Dataset) -> None:
    groups = instance.PerFrameFunctionalGroupsSequence
    groups[-1].PlanePositionSequence = copy.deepcopy(groups[-2].PlanePositionSequence)


def _index_on_some(instance: Dataset) -> None:
    for group in instance.PerFrameFunctionalGroupsSequence[:2]:
        del group.FrameContentSequence[0].TemporalPositionIndex


def _contradicting_frames(instance: Dataset) -> None:
    for group in instance.PerFrameFunctionalGroupsSequence:
        content = group.FrameContentSequence[0]
        when = START - content.TemporalPositionIndex * STEP
        content.FrameAcquisitionDateTime = f"{when:%Y%m%d%H%M%S}"


def _rescale_on_some(instance: Dataset) -> None:
    groups = instance.PerFrameFunctionalGroupsSequence
    for group in groups:
        group.PixelValueTransformationSequence[0].RescaleSlope = "2.5"
    for group in groups[: len(groups) // 4]:
        del group.PixelValueTransformationSequence


def _echo_of_its_own(instance: Dataset) -> None:
    for group in instance.PerFrameFunctionalGroupsSequence:
        is_third = group.FrameContentSequence[0].TemporalPositionIndex == 3
        group.MREchoSequence[0].EffectiveEchoTime = 4.8 if is_third else 2.4


BROKEN_FRAMES: dict[str, tuple[FrameVariant, str]] = {
    "fewer functional groups than frames": (_fewer_groups, "unreadable-instance"),
    "a missing frame": (_missing_frame, "part-incomplete"),
    "a doubled frame": (_doubled_frame, "part-duplicate"),
    "a frame at the place of another": (_moved_frame, "part-incomplete"),
    "temporal positions on some frames": (_index_on_some, "part-key-missing"),
    "two keys of frames that contradict": (_contradicting_frames, "parts-contradict"),
    "a rescale on some frames": (_rescale_on_some, "mixed-rescale"),
    "frames of another echo": (_echo_of_its_own, "several-echoes"),
}
