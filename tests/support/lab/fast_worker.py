"""A worker without a network: the real protocol, and a small SEG that only the job decides.

``python -m tests.support.lab.fast_worker`` takes the place of ``lab_side.worker.server`` where
the agent around it is what a test is about: it starts without torch and answers at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import IO

from lab_side.imaging.write.uids import derive_uid
from lab_side.worker import server
from lab_side.worker.protocol import (
    InspectReply,
    InspectRequest,
    LoadReply,
    LoadRequest,
    SegmentReply,
    SegmentRequest,
)
from segrelay.errors import SeriesRefusedError
from segrelay.manifest import SegmentMeasurement
from segrelay.stages import Stage
from segrelay.system.durable import write_durably
from tests.support.lab.full_disk import WORKER_VARIABLE, FailingDisk, FullDisk

MODEL_SHA256 = "f" * 64
SIDE = 16
"""Rows and columns of the one frame."""

PADDING = 8192
"""Bytes: below 4 KB, Orthanc does not notice that its disk is full."""

STEPS, STEP_S = 5, 0.02
"""So many progress lines, and the seconds between them: a kill can land among them."""

WORK_VARIABLE = "SEGRELAY_TEST_WORK_S"
"""Seconds that a job takes, where it must not be over in a moment."""

BREAKDOWN_VARIABLE = "SEGRELAY_TEST_BREAKDOWN"
"""A file: while it says ``work``, every job fails; ``load``: the models do not load, either."""

_SHARED = ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID")
_MEASURED = (SegmentMeasurement(number=1, label="Tumor", voxels=SIDE, volume_ml=0.5),)


class FastWorker:
    """Answers for the real worker; also within the agent's own process."""

    pid = None

    def __init__(self) -> None:
        self.loaded: dict[str, LoadReply] = {}

    def load(self, request: LoadRequest) -> LoadReply:
        if os.name == "nt":
            # Under wine this takes seconds, in which each life of a storm would end.
            import pydicom  # noqa: F401
        reply = LoadReply(
            profile=request.folder.name, model_sha256=MODEL_SHA256, device="cpu", seconds=0.0
        )
        self.loaded[reply.profile] = reply
        return reply

    def segment(
        self, request: SegmentRequest, progress: Callable[[str, float], None]
    ) -> SegmentReply:
        pause = float(os.environ.get(WORK_VARIABLE, STEPS * STEP_S)) / STEPS
        for step in range(STEPS):
            progress(Stage.INFER, step / STEPS)
            time.sleep(pause)
        _check_whole(request)
        source = next(iter(request.series.values())).files[0]
        data = make_seg(source, request.job_key)
        write_durably(request.output, data)
        return SegmentReply(
            sop_instance_uid=derive_uid("instance", [request.job_key]),
            series_instance_uid=derive_uid("series", [request.job_key]),
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
            frames=1,
            measurements=_MEASURED,
            notices=(),
            stage_seconds={Stage.INFER: STEPS * STEP_S},
            series_instance_uids=("1.2.3",),
            versions={},
            device="cpu",
        )

    def inspect(self, request: InspectRequest) -> InspectReply:
        import pydicom

        seg = pydicom.dcmread(request.path)
        return InspectReply(
            sop_instance_uid=seg.SOPInstanceUID,
            series_instance_uid=seg.SeriesInstanceUID,
            job_key=seg.ContentDescription,
            frames=1,
            measurements=_MEASURED,
        )

    def make_ready(self) -> None:
        """Nothing runs between calls."""

    def renew(self) -> None:
        """Nothing runs between calls."""

    def release(self) -> None:
        """Nothing runs between calls."""

    def kill(self) -> None:
        """Nothing runs between calls."""

    def close(self) -> None:
        """Nothing runs between calls."""


def make_seg(source: Path, job_key: str) -> bytes:
    """One binary frame in the study of ``source``; the same bytes for the same job."""
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    seg = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    shared = pydicom.dcmread(source, specific_tags=list(_SHARED), stop_before_pixels=True)
    for keyword in _SHARED:
        setattr(seg, keyword, shared[keyword].value)
    seg.SOPClassUID, seg.Modality = SegmentationStorage, "SEG"
    seg.SOPInstanceUID = derive_uid("instance", [job_key])
    seg.SeriesInstanceUID = derive_uid("series", [job_key])
    seg.SeriesNumber, seg.InstanceNumber, seg.NumberOfFrames = 900, 1, 1
    seg.ContentLabel, seg.ContentDescription = "TEST", job_key
    seg.SegmentationType = "BINARY"
    seg.Rows = seg.Columns = SIDE
    seg.SamplesPerPixel, seg.PhotometricInterpretation = 1, "MONOCHROME2"
    seg.BitsAllocated = seg.BitsStored = 1
    seg.HighBit = seg.PixelRepresentation = 0
    seg.DataSetTrailingPadding = bytes(PADDING)
    seg.PixelData = hashlib.sha256(job_key.encode()).digest()[: SIDE * SIDE // 8]
    buffer = BytesIO()
    seg.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _check_whole(request: SegmentRequest) -> None:
    """As the real worker: the files are there and are what the inventory said."""
    import pydicom

    for item in request.series.values():
        found = {
            str(pydicom.dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
            for path in item.files
        }
        if found != item.sop_instance_uids:
            raise SeriesRefusedError("The files are not those of the inventory.", code="torn-files")


class _Server(server.WorkerServer):
    """The real loop over the fast answers, on a disk that may be full."""

    def __init__(self, output: IO[str]) -> None:
        super().__init__(output)
        order = os.environ.get(WORKER_VARIABLE)
        self._disk = None if order is None else FailingDisk(FullDisk.model_validate_json(order))
        if self._disk is not None:
            self._disk.install()

    def _load(self, request: LoadRequest) -> LoadReply:
        if _breakdown() == "load":
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return FastWorker().load(request)

    def _segment(
        self, request: SegmentRequest, progress: Callable[[str, float], None]
    ) -> SegmentReply:
        if _breakdown():
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if self._disk is not None:
            self._disk.begin(request.job_key)
        return FastWorker().segment(request, progress)


def _breakdown() -> str:
    path = os.environ.get(BREAKDOWN_VARIABLE)
    with contextlib.suppress(FileNotFoundError):
        return "" if path is None else Path(path).read_text()
    return ""


def main() -> None:
    """Serve until standard input closes."""
    server.WorkerServer = _Server  # type: ignore[misc]
    server.inspect_seg = FastWorker().inspect
    server.main()


if __name__ == "__main__":
    main()
