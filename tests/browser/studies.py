"""Phantom studies in a real Orthanc, with SEGs of the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
from pydantic import SecretStr
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from infra.one_series.rewrite import ORDERS, Kind, read_phases, write_as
from infra.phantom.case import REFERENCE_PHASE, Case, make_case, scanner_grid
from infra.phantom.dicom import StudyFiles, write_study
from infra.phantom.grid import AXIAL, SAGITTAL, Matrix, tilted
from infra.servers.orthanc import OrthancServer
from segrelay.orthanc import OrthancClient, OrthancSettings
from segrelay.parts import PartKey
from tests.support.dicom.seg_study import BoolArray, make_seg

PATIENT = 4
"""Seed of the phantom."""


@dataclass(frozen=True)
class KnownSeg:
    """A SEG in Orthanc, which no request knows yet, and what it says."""

    seg: str
    mask: BoolArray
    """[slices, rows, columns] in displayed order."""
    affine: npt.NDArray[np.float64]
    """[4, 4] (column, row, slice, 1) to LPS mm."""

    @property
    def volume_ml(self) -> float:
        """Of the mask."""
        return float(self.mask.sum() * abs(np.linalg.det(self.affine[:3, :3])) / 1000)


@dataclass(frozen=True)
class Stored:
    """What lies in Orthanc."""

    study: str
    series: tuple[str, ...]
    segs: tuple[KnownSeg, ...]
    """Of the truth."""
    nothing: str = ""
    """A SEG without any voxel."""


def store_axial(server: OrthancServer, folder: Path) -> Stored:
    """Four axial phases, and the truth and nothing on the second."""
    written = write_study(_case(AXIAL, (40, 96, 110), (1.5, 1.5, 3.0)), folder)
    client = _client(server)
    series = [_upload(client, files.paths) for files in written.series]
    known = _store_seg(client, written, REFERENCE_PHASE)
    nothing = _store_seg(client, written, REFERENCE_PHASE, is_empty=True)
    study = client.series(series[0]).study_id
    client.close()
    return Stored(study, tuple(series), (known,), nothing.seg)


def store_turned(server: OrthancServer, folder: Path) -> Stored:
    """Two sagittal phases and two oblique ones of one study, and the truth on one of each."""
    sagittal = write_study(
        _case(SAGITTAL, (44, 72, 80), (1.8, 1.8, 2.6)), folder / "sagittal", patient_name="Turned^A"
    )
    oblique = write_study(
        _case(tilted(AXIAL, 14, -18), (48, 84, 80), (1.6, 1.6, 2.3)),
        folder / "oblique",
        patient_name="Turned^A",
    )
    _move_to_study(oblique, pydicom.dcmread(sagittal.series[0].paths[0]))
    client = _client(server)
    chosen = [*sagittal.series[:2], *oblique.series[1:3]]
    series = [_upload(client, files.paths) for files in chosen]
    segs = tuple(_store_seg(client, written, REFERENCE_PHASE) for written in (sagittal, oblique))
    study = client.series(series[0]).study_id
    client.close()
    return Stored(study, tuple(series), segs)


def store_brain(server: OrthancServer, folder: Path) -> Stored:
    """The same phases as a scanner tells them of a head, and the truth on the second."""
    written = write_study(
        _case(AXIAL, (32, 80, 96), (1.8, 1.8, 3.6)), folder, patient_name="Brain^A"
    )
    for path in (path for files in written.series for path in files.paths):
        image = pydicom.dcmread(path)
        image.StudyInstanceUID += ".1"
        image.BodyPartExamined, image.StudyDescription = "BRAIN", "MRI Brain"
        image.save_as(path)
    client = _client(server)
    series = [_upload(client, files.paths) for files in written.series]
    known = _store_seg(client, written, REFERENCE_PHASE)
    study = client.series(series[0]).study_id
    client.close()
    return Stored(study, tuple(series), (known,))


DYNAMIC = {Kind.CLASSIC: "Dynamic^A", Kind.ENHANCED: "Dynamic^E"}
"""By kind of the series: the patient whose phases it holds."""


def store_one_series(server: OrthancServer, folder: Path, kind: Kind) -> Stored:
    """Four axial phases in one series, and the truth on the second."""
    written = write_study(
        _case(AXIAL, (32, 80, 96), (1.8, 1.8, 3.6)), folder / "apart", patient_name=DYNAMIC[kind]
    )
    uid = f"2.25.93{list(Kind).index(kind)}"
    for path in (path for files in written.series for path in files.paths):
        image = pydicom.dcmread(path)
        image.StudyInstanceUID, image.SeriesInstanceUID = f"{uid}1", uid
        image.SeriesDescription, image.SeriesNumber = "Ax T1 dyn", 5
        image.save_as(path)
    phases = read_phases([files.paths for files in written.series])
    frames = {
        str(phases[phase][place].SOPInstanceUID): frame
        for frame, (phase, place) in enumerate(ORDERS["shuffled"](4, len(phases[0])), start=1)
    }
    key = PartKey.TEMPORAL_POSITION
    paths = write_as(kind, phases, folder / "one", key=key, order="shuffled", series_uid=uid)
    client = _client(server)
    series = _upload(client, paths)
    instance = None if kind is Kind.CLASSIC else pydicom.dcmread(paths[0])
    known = _store_seg(client, written, REFERENCE_PHASE, joined=instance, frames=frames)
    study = client.series(series).study_id
    client.close()
    return Stored(study, tuple(f"{series}:{index}" for index in range(4)), (known,))


def store_many_phases(server: OrthancServer, folder: Path) -> Stored:
    """Twelve axial phases in one series, and the truth on the second.

    Each phase after the fourth is a copy of it, in which every voxel has one more than before.
    """
    written = write_study(
        _case(AXIAL, (32, 80, 96), (1.8, 1.8, 3.6)), folder / "apart", patient_name="Many^A"
    )
    for path in (path for files in written.series for path in files.paths):
        image = pydicom.dcmread(path)
        image.StudyInstanceUID, image.SeriesInstanceUID = "2.25.9351", "2.25.935"
        image.SeriesDescription, image.SeriesNumber = "Ax T1 dyn", 5
        image.save_as(path)
    phases = read_phases([files.paths for files in written.series])
    phases += [_brighter(phases[-1], number) for number in range(1, 9)]
    paths = write_as(
        Kind.CLASSIC,
        phases,
        folder / "one",
        key=PartKey.TRIGGER_TIME,
        order="shuffled",
        series_uid="2.25.935",
    )
    client = _client(server)
    series = _upload(client, paths)
    known = _store_seg(client, written, REFERENCE_PHASE)
    study = client.series(series).study_id
    client.close()
    return Stored(study, tuple(f"{series}:{index}" for index in range(len(phases))), (known,))


def _brighter(phase: Sequence[Dataset], number: int) -> list[Dataset]:
    images = []
    for image in phase:
        copy = deepcopy(image)
        copy.PixelData = (image.pixel_array + number).astype(image.pixel_array.dtype).tobytes()
        copy.SOPInstanceUID = generate_uid(entropy_srcs=[str(number), image.SOPInstanceUID])
        images.append(copy)
    return images


ORDER = (
    "AcquisitionDate AcquisitionTime AcquisitionDateTime ContentTime SeriesTime SeriesNumber "
    "TemporalPositionIdentifier TriggerTime SeriesDescription"
)
"""Keywords of what tells the order of phases."""


def store_unsure(server: OrthancServer, folder: Path) -> Stored:
    """Four phases whose order nothing tells, and the truth on the second."""
    written = write_study(
        _case(AXIAL, (32, 80, 96), (1.8, 1.8, 3.6)), folder, patient_name="Unsure^A"
    )
    for path in (path for files in written.series for path in files.paths):
        image = pydicom.dcmread(path)
        image.StudyInstanceUID += ".2"
        for keyword in ORDER.split():
            image.pop(keyword, None)
        image.save_as(path)
    client = _client(server)
    series = [_upload(client, files.paths) for files in written.series]
    known = _store_seg(client, written, REFERENCE_PHASE)
    study = client.series(series[0]).study_id
    client.close()
    return Stored(study, tuple(series), (known,))


def _case(
    direction: Matrix, shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> Case:
    return make_case(
        PATIENT,
        grid=lambda anatomy: scanner_grid(
            anatomy, shape=shape, spacing=spacing, direction=direction
        ),
    )


def _client(server: OrthancServer) -> OrthancClient:
    return OrthancClient(
        OrthancSettings(url=server.url, user=server.user, password=SecretStr(server.password))
    )


def _upload(client: OrthancClient, paths: Sequence[Path]) -> str:
    """Store the images of a series; Orthanc's id of it."""
    replies = [client.upload(path.read_bytes()) for path in paths]
    return replies[0].orthanc_series_id


def _move_to_study(written: StudyFiles, example: Dataset) -> None:
    """Make these images part of the example's study and space."""
    for path in (path for files in written.series for path in files.paths):
        image = pydicom.dcmread(path)
        image.StudyInstanceUID = example.StudyInstanceUID
        image.FrameOfReferenceUID = example.FrameOfReferenceUID
        image.save_as(path)


def _store_seg(
    client: OrthancClient,
    written: StudyFiles,
    phase: int,
    *,
    is_empty: bool = False,
    joined: Dataset | None = None,
    frames: Mapping[str, int] | None = None,
) -> KnownSeg:
    """Store a SEG on a phase.

    Parameters
    ----------
    joined:
        The enhanced instance that has the images as its frames.
    frames:
        By SOP Instance UID of an image, its frame of ``joined``.
    """
    with np.load(written.truth) as archive:
        mask = archive["mask"].astype(bool)
        order = [str(uid) for uid in archive["sop_instance_uids"]]
    found = list(map(pydicom.dcmread, written.series[phase].paths))
    by_uid = {str(item.SOPInstanceUID): item for item in found}
    images = [by_uid[uid] for uid in order]
    mask &= not is_empty
    seg = make_seg(images, mask)
    if joined is not None:
        _refer_to_frames(seg, joined, frames or {})
    file = BytesIO()
    seg.save_as(file)
    return KnownSeg(client.upload(file.getvalue()).orthanc_id, mask, _affine(images))


def _refer_to_frames(seg: Dataset, joined: Dataset, frames: Mapping[str, int]) -> None:
    for group in seg.PerFrameFunctionalGroupsSequence:
        for source in group.DerivationImageSequence[0].SourceImageSequence:
            source.ReferencedFrameNumber = frames[str(source.ReferencedSOPInstanceUID)]
            source.ReferencedSOPInstanceUID = joined.SOPInstanceUID
            source.ReferencedSOPClassUID = joined.SOPClassUID
    (series,) = seg.ReferencedSeriesSequence
    (*_, item) = series.ReferencedInstanceSequence
    item.ReferencedSOPInstanceUID = joined.SOPInstanceUID
    item.ReferencedSOPClassUID = joined.SOPClassUID
    series.ReferencedInstanceSequence = [item]


def _affine(images: Sequence[Dataset]) -> npt.NDArray[np.float64]:
    """DICOM PS3.3 C.7.6.2.1.1, with the slices' step from the first and the last."""
    first, last = (np.array(image.ImagePositionPatient, float) for image in (images[0], images[-1]))
    direction = np.array(images[0].ImageOrientationPatient, float)
    row_mm, column_mm = (float(value) for value in images[0].PixelSpacing)
    affine = np.eye(4)
    affine[:3, 0] = direction[:3] * column_mm
    affine[:3, 1] = direction[3:] * row_mm
    affine[:3, 2] = (last - first) / (len(images) - 1)
    affine[:3, 3] = first
    return affine
