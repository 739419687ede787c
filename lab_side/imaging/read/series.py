"""The files of one DICOM series become one volume with an exact place in space."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.config import disable_value_validation
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from lab_side.imaging.read.enhanced import Slice, check_one_volume, slices_of
from lab_side.imaging.read.geometry import place_slices
from lab_side.imaging.read.header_forms import text_read_as
from lab_side.imaging.read.instance import (
    check_instances,
    check_slices,
    is_enhanced,
    read_instances,
    rescale,
    take_pixels,
)
from lab_side.imaging.read.preflight import prepare_headers
from lab_side.imaging.write.uids import derive_uid
from segrelay.dicom.companions import is_companion
from segrelay.dicom.values import WrongForm
from segrelay.errors import SeriesRefusedError

_COMMON_TO_ALL = (
    ("StudyInstanceUID", "mixed-study", "studies"),
    ("SeriesInstanceUID", "mixed-series", "series"),
    ("FrameOfReferenceUID", "mixed-frame-of-reference", "frames of reference"),
    ("Rows", "mixed-matrix", "image sizes"),
    ("Columns", "mixed-matrix", "image sizes"),
    ("PatientID", "mixed-patient", "patients"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class SeriesVolume:
    """One series as a volume; slices by rising distance along the slice normal."""

    voxels: NDArray[np.float32]
    """[slices, rows, columns], rescaled values."""
    affine: NDArray[np.float64]
    """[4, 4] (column index, row index, slice index, 1) to LPS millimetres."""
    sop_instance_uids: tuple[str, ...]
    """In slice order; the frames of an enhanced instance share one."""
    frame_numbers: tuple[int | None, ...]
    """In slice order: which frame of its instance a slice is, from 1; None: it is the whole."""
    headers: tuple[Dataset, ...]
    """In slice order, without pixel data, ready for the SEG (see ``preflight``)."""
    series_uid: str
    study_uid: str
    frame_of_reference_uid: str
    patient_id: str
    """Compared between series; never shown."""
    left_out: tuple[WrongForm, ...] = ()
    """Values of the headers that are of no use, and that nobody needs."""
    companions: int = 0
    """How many objects without images lay beside the images."""
    has_own_frame: bool = False
    """Whether the frame of reference is the series' own: its images name none."""
    text_read_as: str = ""
    """Which character set the text was found in, where it is not the declared one."""
    part: str = ""
    """Names the volume among those of its series; empty: the series is one volume."""


@disable_value_validation()
def read_series(
    paths: Sequence[Path],
    *,
    expected_sop_uids: frozenset[str] | None = None,
    is_own_frame: bool = False,
    frames: Mapping[str, Collection[int]] | None = None,
    part: str = "",
) -> SeriesVolume:
    """Read the files of one series, or of one of its volumes, in any order.

    Parameters
    ----------
    paths:
        One MR instance each: a classic one is a slice, an enhanced one has a frame for each.
        Objects without images beside them are left out.
    expected_sop_uids:
        What Orthanc says the series holds; None: not checked.
    is_own_frame:
        Whether a series without a Frame of Reference UID is a frame of reference of its own, with
        a UID made from its Series Instance UID; otherwise it is refused.
    frames:
        By SOP Instance UID, the frames from 1 that are read; None or empty: all.
    part:
        Names the volume among those of its series; empty: the series is one volume.

    Raises
    ------
    SeriesRefusedError
        With one of the codes of ``check_instances``, ``slices_of``, ``check_slices``,
        ``check_one_volume``, ``take_pixels`` and ``place_slices``, or
        ``no-frame-of-reference``, ``missing-pixel-data``,
        ``series-incomplete``, ``duplicate-instance``,
        ``mixed-study``, ``mixed-series``, ``mixed-frame-of-reference``, ``mixed-matrix``,
        ``mixed-patient``, ``mixed-pixel-spacing``.
    LocalDiskError
        A file cannot be read from the disk.
    """
    found = read_instances(paths)
    instances = [instance for instance in found if not is_companion(instance)]
    check_instances(instances)
    _check_complete(found, expected_sop_uids)
    if not instances:
        raise SeriesRefusedError("The series holds no images.", code="missing-pixel-data")
    slices = _chosen([item for instance in instances for item in slices_of(instance)], frames)
    headers = [item.header for item in slices]
    check_slices(headers)
    has_own_frame = _settle_frame_of_reference(headers, is_own_frame=is_own_frame)
    check_one_volume(slices)
    _check_alike(headers)
    volume = _placed(instances, slices, has_own_frame=has_own_frame)
    return replace(volume, companions=len(found) - len(instances), part=part)


def _chosen(
    slices: Sequence[Slice], frames: Mapping[str, Collection[int]] | None
) -> Sequence[Slice]:
    """The slices that are read: all, or some frames of their instances."""
    if not frames:
        return slices
    found = [item for item in slices if _is_chosen(item, frames)]
    if len(found) != sum(map(len, frames.values())):
        raise SeriesRefusedError(
            "The files lack frames that the job names.",
            code="series-incomplete",
            remedy="Wait until the series is complete in Orthanc and submit again.",
        )
    return found


def _is_chosen(item: Slice, frames: Mapping[str, Collection[int]]) -> bool:
    return item.frame_number in frames.get(str(item.header.SOPInstanceUID), ())


def _placed(
    instances: Sequence[Dataset], slices: Sequence[Slice], *, has_own_frame: bool
) -> SeriesVolume:
    """Make the volume of a series' slices, in the order of their places."""
    headers = [item.header for item in slices]
    stack = place_slices(
        np.array([header.ImagePositionPatient for header in headers], dtype=np.float64),
        np.array([header.ImageOrientationPatient for header in headers], dtype=np.float64),
        (float(headers[0].PixelSpacing[0]), float(headers[0].PixelSpacing[1])),
    )
    voxels = _voxels(instances, slices, stack.order)
    ordered = [headers[index] for index in stack.order]
    first = ordered[0]
    step_mm = float(np.linalg.norm(stack.affine[:3, 2]))
    prepared, left_out = prepare_headers(ordered, slice_step_mm=step_mm)
    return SeriesVolume(
        voxels=voxels,
        affine=stack.affine,
        sop_instance_uids=tuple(str(header.SOPInstanceUID) for header in ordered),
        frame_numbers=tuple(slices[index].frame_number for index in stack.order),
        headers=prepared,
        series_uid=str(first.SeriesInstanceUID),
        study_uid=str(first.StudyInstanceUID),
        frame_of_reference_uid=str(first.FrameOfReferenceUID),
        patient_id=str(first.get("PatientID") or ""),
        left_out=left_out,
        has_own_frame=has_own_frame,
        text_read_as=next((name for name in map(text_read_as, instances) if name), ""),
    )


def _voxels(
    instances: Sequence[Dataset], slices: Sequence[Slice], order: NDArray[np.intp]
) -> NDArray[np.float32]:
    """The images of the slices, whose instances come in the same order, in slice order."""
    size = (int(slices[0].header.Rows), int(slices[0].header.Columns))
    voxels = np.empty((len(slices), *size), dtype=np.float32)
    wanted = {
        _name(item): (place, item) for place, item in zip(np.argsort(order), slices, strict=True)
    }
    for instance in instances:
        uid, is_frames = str(instance.SOPInstanceUID), is_enhanced(instance)
        for number, (stored, padded) in enumerate(take_pixels(instance).frames(), start=1):
            place, item = wanted.get((uid, number if is_frames else None), (None, None))
            if item is not None:
                rescale(stored, padded, item.header, voxels[place])
    return voxels


def _name(item: Slice) -> tuple[str, int | None]:
    return str(item.header.SOPInstanceUID), item.frame_number


def _settle_frame_of_reference(headers: Sequence[Dataset], *, is_own_frame: bool) -> bool:
    """Give headers without a Frame of Reference UID one of their own; whether that was needed."""
    if all(header.get("FrameOfReferenceUID") for header in headers):
        return False
    if not is_own_frame:
        raise SeriesRefusedError(
            "The series has no Frame of Reference UID: nothing says in which space it lies, so it "
            "cannot be laid on another series.",
            code="no-frame-of-reference",
            remedy="Send it again with the UID that the scanner gave. Where a profile's input is "
            "one series, missing_frame_of_reference = own in the profile takes it as a space of "
            "its own.",
        )
    tag = Tag("FrameOfReferenceUID")
    for header in headers:
        if not header.get("FrameOfReferenceUID"):
            uid = derive_uid("frame of reference", [str(header.SeriesInstanceUID)])
            # A new element: an empty one may be shared with other slices.
            header[tag] = DataElement(tag, "UI", uid)
    return True


def _check_complete(datasets: Sequence[Dataset], expected: frozenset[str] | None) -> None:
    uids = [str(dataset.get("SOPInstanceUID") or "") for dataset in datasets]
    if len(set(uids)) != len(uids):
        raise SeriesRefusedError("The same instance is there twice.", code="duplicate-instance")
    if not datasets or (expected is not None and set(uids) != expected):
        found = "none" if not datasets else str(len(uids))
        wanted = "some" if expected is None else str(len(expected))
        raise SeriesRefusedError(
            f"The files are not the instances that Orthanc lists: {found} of {wanted}.",
            code="series-incomplete",
            remedy="Wait until the series is complete in Orthanc and submit again.",
        )


def _check_alike(headers: Sequence[Dataset]) -> None:
    for keyword, code, plural in _COMMON_TO_ALL:
        if len({str(header.get(keyword, "")) for header in headers}) > 1:
            raise SeriesRefusedError(
                f"The files of the series belong to different {plural}.", code=code
            )
    spacing = np.array([header.PixelSpacing for header in headers], dtype=np.float64)
    if np.abs(spacing - spacing[0]).max() > 1e-4:
        raise SeriesRefusedError(
            "The slices of the series differ in Pixel Spacing.", code="mixed-pixel-spacing"
        )
