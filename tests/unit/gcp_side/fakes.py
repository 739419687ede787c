"""Stand-ins for Orthanc and for an agent, and hand-made DICOM."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import numpy as np
from django.contrib.auth.models import Permission, User
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.utils import pack_bits
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, SegmentationStorage

from gcp_side.labseg.orthanc.client import (
    Orthanc,
    SeriesEntry,
    SlicePlace,
    StudyEntry,
    orthanc_id,
)
from segrelay import names
from segrelay.bucket import Bucket
from segrelay.errors import (
    OrthancNotFoundError,
    SeriesMissingError,
)
from segrelay.manifest import (
    Failure,
    JobManifest,
    Provenance,
    ReportReference,
    ResultManifest,
    ResultStatus,
    SegmentMeasurement,
    SegReference,
)
from segrelay.notices import Notice
from segrelay.offers import Offer, OfferedRole, OfferedSegment
from segrelay.orthanc import SeriesInfo
from segrelay.parts import PartImage
from segrelay.profiles import Text
from segrelay.queue import AgentQueue, Claim, Heartbeat, HeartbeatJob, Identity, scan
from segrelay.queue.lease import new_nonce
from segrelay.stages import Stage

PATIENT_ID = "P-1"
PATIENT_NAME = "Test^Patient"
STUDY_UID = "1.2.3"
STUDY_ID = orthanc_id(PATIENT_ID, STUDY_UID)
NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)

SEG_ID = orthanc_id("seg")

REPORT = ReportReference(
    orthanc_id=orthanc_id("report"),
    sop_instance_uid="1.2.3.10.1",
    series_instance_uid="1.2.3.10",
    sha256="2" * 64,
    size_bytes=500,
)
"""The SR beside that SEG."""

ROLES = ("dce-0", "dce-1", "dce-2", "dce-3")

OFFER = Offer(
    name="brain",
    title=Text(en="Brain", ko="뇌"),
    intended_use=Text(en="Research.", ko="연구용."),
    roles=(
        OfferedRole(role="t1", title=Text(en="T1", ko="T1")),
        OfferedRole(role="t2"),
    ),
    segments=(OfferedSegment(number=1, label="Core", colour=(1, 2, 3)),),
)
"""What an agent with another profile tells."""


def series_uid(number: int) -> str:
    """UID of input series ``number``."""
    return f"{STUDY_UID}.{number}"


def series_id(number: int) -> str:
    """Orthanc's id of input series ``number``."""
    return orthanc_id(PATIENT_ID, STUDY_UID, series_uid(number))


FOUR = tuple(series_id(number) for number in range(4))


def series_info(number: int, **changes: object) -> SeriesInfo:
    """An MR series of 12 instances."""
    values: dict[str, object] = {
        "orthanc_id": series_id(number),
        "study_id": STUDY_ID,
        "study_instance_uid": STUDY_UID,
        "series_instance_uid": series_uid(number),
        "modality": "MR",
        "description": f"phase {number}",
        "number": str(number),
        "instances": 12,
    }
    return SeriesInfo(**(values | changes))  # type: ignore[arg-type]


@dataclass
class FakeOrthanc(Orthanc):
    """Answers only what it was given, as the real client would; counts the calls."""

    known: dict[str, SeriesInfo] = field(default_factory=dict)
    slices: dict[str, list[SlicePlace]] = field(default_factory=dict)
    """By Orthanc id of the series."""
    images: dict[str, list[PartImage]] = field(default_factory=dict)
    """The same, with what tells volumes apart; as ``slices`` where it is absent."""
    files: dict[str, bytes] = field(default_factory=dict)
    index: list[StudyEntry] = field(default_factory=list)
    series_index: list[SeriesEntry] = field(default_factory=list)
    tags_of: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By Orthanc id of the instance."""
    calls: list[str] = field(default_factory=list)

    def series(self, orthanc_id: str) -> SeriesInfo:
        self.calls.append("series")
        if orthanc_id not in self.known:
            raise SeriesMissingError(f"Orthanc has no series {orthanc_id}.")
        return self.known[orthanc_id]

    def places(self, series_id: str) -> list[SlicePlace]:
        self.calls.append("places")
        if series_id not in self.slices:
            raise SeriesMissingError("Orthanc has no such series.")
        return self.slices[series_id]

    def series_entry(self, series_id: str) -> SeriesEntry:
        self.calls.append("series_entry")
        for item in self.series_index:
            if item.orthanc_id == series_id:
                return item
        instances = dict.fromkeys(place.orthanc_id for place in self.slices.get(series_id, []))
        if not instances:
            raise SeriesMissingError("Orthanc has no such series.")
        return SeriesEntry(
            orthanc_id=series_id,
            study_id=STUDY_ID,
            modality="MR",
            number="1",
            description="",
            instances=tuple(instances),
        )

    def places_of(self, instances: Sequence[str]) -> list[SlicePlace]:
        self.calls.append("places_of")
        held = [place for places in self.slices.values() for place in places]
        return [place for place in held if place.orthanc_id in instances]

    def index_images(self, series_ids: Sequence[str]) -> dict[str, list[PartImage]]:
        self.calls.append("index_images")
        return {one: self._images(one) for one in series_ids}

    def series_images(self, series_id: str, instances: Collection[str]) -> list[PartImage]:
        self.calls.append("series_images")
        assert {image.instance for image in self._images(series_id)} <= set(instances)
        return self._images(series_id)

    def _images(self, series_id: str) -> list[PartImage]:
        if series_id in self.images:
            return self.images[series_id]
        return [
            PartImage(
                instance=place.orthanc_id,
                frame=place.frame,
                position=place.position,
                orientation=place.orientation,
            )
            for place in self.slices.get(series_id, [])
        ]

    def instance_file(self, orthanc_id: str) -> bytes:
        self.calls.append("instance_file")
        if orthanc_id not in self.files:
            raise OrthancNotFoundError("Not there.")
        return self.files[orthanc_id]

    def image_files(self, orthanc_ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Backwards, since the order in which files come means nothing."""
        for one in reversed(orthanc_ids):
            yield one, self.instance_file(one)

    def transfer_syntax(self, orthanc_id: str) -> str:
        """Not known: files are read as a whole."""
        assert orthanc_id
        return ""

    def study_ids(self) -> list[str]:
        self.calls.append("study_ids")
        return [entry.orthanc_id for entry in self.index]

    def studies(self, study_ids: Sequence[str]) -> list[StudyEntry]:
        self.calls.append("studies")
        return [entry for entry in self.index if entry.orthanc_id in study_ids]

    def series_of(self, study_ids: Sequence[str]) -> list[SeriesEntry]:
        self.calls.append("series_of")
        return [item for item in self.series_index if item.study_id in study_ids]

    def tags(self, instance_id: str) -> dict[str, Any]:
        self.calls.append("tags")
        if instance_id in self.tags_of:
            return self.tags_of[instance_id]
        if instance_id not in self.files:
            raise OrthancNotFoundError("Not there.")
        header = dcmread(BytesIO(self.files[instance_id]), stop_before_pixels=True)
        return {name: str(header.get(name, "")) for name in ("Rows", "Columns")}

    def ping(self) -> None:
        self.calls.append("ping")


def four_series() -> FakeOrthanc:
    """An Orthanc with four good series of one study."""
    numbers = range(4)
    return FakeOrthanc(
        known={series_id(number): series_info(number) for number in numbers},
        index=[study_entry()],
        series_index=[series_entry(number) for number in numbers],
        tags_of={first_instance(number): phase_tags(number) for number in numbers},
    )


def study_entry(**changes: str) -> StudyEntry:
    """The study of the four series, as the index has it."""
    values = {
        "orthanc_id": STUDY_ID,
        "study_instance_uid": STUDY_UID,
        "patient_name": PATIENT_NAME,
        "patient_id": PATIENT_ID,
        "date": "20260504",
        "time": "031500",
        "description": "Breast",
    }
    return StudyEntry(**(values | changes))


def series_entry(number: int, /, **changes: Any) -> SeriesEntry:
    """Input series ``number``, as the index has it."""
    values: dict[str, Any] = {
        "orthanc_id": series_id(number),
        "study_id": STUDY_ID,
        "modality": "MR",
        "number": str(number),
        "description": f"phase {number}",
        "instances": (first_instance(number), *(orthanc_id(f"{number}.{n}") for n in range(11))),
    }
    return SeriesEntry(**(values | changes))


def first_instance(number: int) -> str:
    """Orthanc's id of the instance of a series that came first."""
    return orthanc_id(f"first of {number}")


def phase_tags(number: int) -> dict[str, Any]:
    """Tags of a phase of a DCE acquisition, one minute after the phase before."""
    return {
        "PatientName": PATIENT_NAME,
        "Rows": "16",
        "Columns": "20",
        "ImageOrientationPatient": "1\\0\\0\\0\\0\\-1",
        "AcquisitionTime": f"03{15 + number}00.5",
    }


@dataclass
class FakeAgent:
    """An agent's moves in the queue, without any work."""

    bucket: Bucket
    name: str = "lab-1"
    labels: tuple[str, ...] = ()

    @property
    def queue(self) -> AgentQueue:
        later = NOW + timedelta(days=1)
        return AgentQueue(self.bucket, self.name, now=lambda: later, labels=self.labels)

    def claim(self) -> tuple[Claim, JobManifest]:
        """Claim and open the first job of the queue, with a heartbeat as every owner has."""
        self.heartbeat()
        claim = self.queue.claim(scan(self.bucket).pending[0])
        assert claim is not None
        manifest = self.queue.open(claim)
        assert manifest is not None
        return claim, manifest

    def heartbeat(
        self,
        *,
        state: str = "listening",
        reason: str = "",
        notice: Notice | None = None,
        claim: Claim | None = None,
        profiles: tuple[str, ...] = (),
        offers: tuple[Offer, ...] = (),
    ) -> None:
        """Write a heartbeat; ``claim`` is in the GPU worker, at 70 %."""
        jobs: tuple[HeartbeatJob, ...] = ()
        if claim is not None:
            jobs = (_in_work(claim, Stage.INFER, 70),)
        heartbeat = Heartbeat(
            identity=_IDENTITY,
            state=state,
            reason=reason,
            notice=notice,
            version="1",
            jobs=jobs,
            profiles=profiles or tuple(offer.name for offer in offers),
            labels=self.labels,
            offers=offers,
        )
        name = names.agent_object(self.name)
        seen = [item for item in self.bucket.list(name) if item.name == name]
        generation = self.bucket.read_heartbeat(name).generation if seen else 0
        self.bucket.take_over(name, heartbeat.to_metadata(), generation=generation)

    def tell(self, claim: Claim, stage: Stage, percent: int, **counts: int) -> None:
        """Write progress."""
        progress = _in_work(claim, stage, percent, **counts)
        self.bucket.replace(
            names.progress_object(claim.job_id), progress.model_dump_json().encode()
        )

    def finish(
        self, claim: Claim, *, seg_id: str = SEG_ID, report: ReportReference | None = None
    ) -> ResultManifest:
        """Publish a succeeded result and archive the job."""
        result = succeeded(claim.job_id, self.name, seg_id=seg_id)
        return self.queue.finish(claim, result.model_copy(update={"report": report}))


_IDENTITY = Identity(instance="0" * 32, host="elsewhere", pid=1, pid_started=0.0)


def _in_work(claim: Claim, stage: Stage, percent: int, **counts: int) -> HeartbeatJob:
    return HeartbeatJob(
        job_id=claim.job_id,
        attempt=claim.attempt,
        stage=stage,
        percent=percent,
        started=True,
    ).model_copy(update=counts)


def succeeded(job_id: str, author: str = "lab-1", *, seg_id: str = SEG_ID) -> ResultManifest:
    """A succeeded result with a tumour of 1.5 ml."""
    return ResultManifest(
        job_id=job_id,
        status=ResultStatus.SUCCEEDED,
        author=author,
        nonce=new_nonce(),
        attempt=1,
        finished_at=NOW,
        seg=SegReference(
            orthanc_id=seg_id,
            orthanc_series_id=orthanc_id("seg series"),
            sop_instance_uid="1.2.3.9.1",
            series_instance_uid="1.2.3.9",
            sha256="0" * 64,
            size_bytes=1000,
            frames=3,
        ),
        measurements=(
            SegmentMeasurement(
                number=1, label="Tumor", voxels=300, volume_ml=1.5, longest_diameter_mm=14.25
            ),
        ),
        provenance=Provenance(
            profile="demo",
            profile_version="1.0.0",
            model_sha256="1" * 64,
            device="cpu",
            versions={"torch": "2"},
            stage_seconds={Stage.INFER: 0.5},
            series_instance_uids=tuple(series_uid(number) for number in range(4)),
        ),
        warnings=("slow",),
    )


def ended(job_id: str, status: ResultStatus) -> ResultManifest:
    """A failed or cancelled result."""
    failure = Failure(code="missing-slice", reason="A slice is missing.", remedy="Send it.")
    return ResultManifest(
        job_id=job_id,
        status=status,
        author="lab-1",
        nonce=new_nonce(),
        attempt=1,
        finished_at=NOW,
        failure=failure if status is ResultStatus.FAILED else None,
    )


def radiologist(*permissions: str, name: str = "radiologist") -> User:
    """A user with these permissions, all of a radiologist's unless given; ``a-password``."""
    user = User.objects.create_user(name, password="a-password")
    wanted = permissions or ("view_job", "add_job", "change_job")
    user.user_permissions.set(
        Permission.objects.filter(content_type__app_label="labseg", codename__in=wanted)
    )
    return user


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A hand-made series: where its slices lie, in displayed order."""

    slices: int
    rows: int
    columns: int
    number: int = 0
    orientation: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
    """Coronal: the normal is +y."""
    step_mm: float = 2.5
    origin: tuple[float, float, float] = (-20.0, 5.0, 30.0)

    def position(self, index: int) -> tuple[float, float, float]:
        """Image Position (Patient) of the slice displayed as ``index``."""
        normal = np.cross(self.orientation[:3], self.orientation[3:])
        x, y, z = np.array(self.origin) + normal * self.step_mm * index
        return float(x), float(y), float(z)

    def sop_uid(self, index: int) -> str:
        """SOP Instance UID of that slice; its order as text tells nothing."""
        return f"{series_uid(self.number)}.{(index * 37 + 11) % 101}.{index}"

    def places(self, upload_order: Sequence[int]) -> dict[str, list[SlicePlace]]:
        """As Orthanc lists them, by Orthanc id of the series."""
        return {
            series_id(self.number): [
                SlicePlace(
                    orthanc_id=orthanc_id(self.sop_uid(index)),
                    sop_instance_uid=self.sop_uid(index),
                    position=self.position(index),
                    orientation=self.orientation,
                )
                for index in upload_order
            ]
        }

    def files(self) -> dict[str, bytes]:
        """DICOM headers of the slices, by Orthanc id."""
        return {
            orthanc_id(self.sop_uid(index)): as_file(self._header(index))
            for index in range(self.slices)
        }

    def _header(self, index: int) -> Dataset:
        dataset = Dataset()
        dataset.SOPClassUID = MRImageStorage
        dataset.SOPInstanceUID = self.sop_uid(index)
        dataset.Rows, dataset.Columns = self.rows, self.columns
        return dataset


def as_file(dataset: Dataset) -> bytes:
    """The dataset as a DICOM file."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@dataclass(frozen=True, kw_only=True)
class MadeFrame:
    """A frame to write."""

    segment: int
    index: int
    """Slice in displayed order."""
    mask: NDArray[np.bool_]


def seg_dataset(
    grid: Grid,
    frames: Sequence[MadeFrame],
    *,
    sources: bool = True,
    positions: bool = True,
    other_series: Sequence[Grid] = (),
) -> Dataset:
    """A BINARY SEG written by hand, frames in the given order.

    ``sources`` and ``positions`` say how a frame names its slice; ``other_series`` are
    referenced too, before the right one.
    """
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = SegmentationStorage, "1.2.3.9.1"
    dataset.PatientID = PATIENT_ID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY_UID, "1.2.3.9"
    dataset.Modality, dataset.SegmentationType = "SEG", "BINARY"
    dataset.Rows, dataset.Columns = grid.rows, grid.columns
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 1
    dataset.HighBit = dataset.PixelRepresentation = 0
    dataset.NumberOfFrames = len(frames)
    dataset.ReferencedSeriesSequence = [_reference(item) for item in (*other_series, grid)]
    shared = Dataset()
    plane = Dataset()
    plane.ImageOrientationPatient = list(grid.orientation)
    shared.PlaneOrientationSequence = [plane]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [
        _group(grid, frame, sources=sources, positions=positions) for frame in frames
    ]
    bits = np.concatenate([frame.mask.ravel() for frame in frames]).astype(np.uint8)
    dataset.PixelData = pack_bits(bits, pad=True)
    return dataset


def _reference(grid: Grid) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = series_uid(grid.number)
    item.ReferencedInstanceSequence = []
    for index in range(grid.slices):
        instance = Dataset()
        instance.ReferencedSOPClassUID = MRImageStorage
        instance.ReferencedSOPInstanceUID = grid.sop_uid(index)
        item.ReferencedInstanceSequence.append(instance)
    return item


def _group(grid: Grid, frame: MadeFrame, *, sources: bool, positions: bool) -> Dataset:
    group, segment = Dataset(), Dataset()
    segment.ReferencedSegmentNumber = frame.segment
    group.SegmentIdentificationSequence = [segment]
    if sources:
        source, derivation = Dataset(), Dataset()
        source.ReferencedSOPClassUID = MRImageStorage
        source.ReferencedSOPInstanceUID = grid.sop_uid(frame.index)
        derivation.SourceImageSequence = [source]
        group.DerivationImageSequence = [derivation]
    if positions:
        place = Dataset()
        place.ImagePositionPatient = [f"{value:.6f}" for value in grid.position(frame.index)]
        group.PlanePositionSequence = [place]
    return group
