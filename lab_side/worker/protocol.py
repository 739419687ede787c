"""The lines that agent and worker exchange: one JSON object a line over pipes.

::

    agent ─▶ worker   {"id": 7, "op": "segment", "params": {…}}
    worker ─▶ agent   {"id": 7, "event": "progress", "stage": "infer", "fraction": 0.4}
    worker ─▶ agent   {"id": 7, "event": "done", "value": {…}}
                      {"id": 7, "event": "error", "kind": "SeriesRefusedError", "code": …}

The worker's log goes over standard error, as lines of ``lab_side.log``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from segrelay import errors
from segrelay.errors import AttemptFailedError, SegRelayError
from segrelay.manifest import RegistrationRecord, SegmentMeasurement, Uid
from segrelay.notices import Notice
from segrelay.parsing.documents import Code
from segrelay.profiles import CpuEngine, Network, Sha256


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LoadRequest(_Message):
    """Load a model and run it once."""

    op: Literal["load"] = "load"
    folder: Path
    """The profile's folder."""
    weights: Path | None
    sha256: Sha256 | None
    device: str
    cpu_engine: CpuEngine = "torch"


class LoadReply(_Message):
    """The model is warm."""

    profile: str
    model_sha256: Sha256
    device: str
    seconds: float
    gpu_peak_bytes: int = 0
    """GPU memory that it took at most; 0 without a GPU."""
    engine_doubt: str = ""
    """Why PyTorch runs it although OpenVINO was asked for; else empty."""


class SeriesFiles(_Message):
    """One input series on disk."""

    files: tuple[Path, ...]
    sop_instance_uids: frozenset[str]
    """What Orthanc's inventory says the files are."""
    frames: dict[str, tuple[int, ...]] = {}
    """By SOP Instance UID, the frames from 1 that are of this input; empty: all of the files."""
    part: str = ""
    """Names the volume among those of its series; empty: the series is one volume."""


class ReportFile(_Message):
    """The measurement report (SR) of a SEG, as a file."""

    sop_instance_uid: Uid
    series_instance_uid: Uid
    sha256: Sha256
    size_bytes: int


class SegmentRequest(_Message):
    """Segment one case into a SEG file."""

    op: Literal["segment"] = "segment"
    profile: str
    job_key: str
    """Makes the SEG's UIDs; the same key and input give the same UIDs."""
    series: dict[str, SeriesFiles]
    """By role."""
    created_at: AwareDatetime
    """The date and time that the SEG carries."""
    output: Path
    report_output: Path | None = None
    """Where the measurement report goes; None: none is made."""
    confirmed: tuple[Code, ...] = ()
    """In what the input contradicts the profile; a person has confirmed it."""


class SegmentReply(_Message):
    """Files written by a job, and their measurements."""

    sop_instance_uid: Uid
    series_instance_uid: Uid
    sha256: Sha256
    size_bytes: int
    frames: int
    measurements: tuple[SegmentMeasurement, ...]
    notices: tuple[Notice, ...]
    stage_seconds: dict[str, float]
    series_instance_uids: tuple[Uid, ...]
    versions: dict[str, str]
    device: str
    gpu_peak_bytes: int = 0
    registrations: tuple[RegistrationRecord, ...] = ()
    report: ReportFile | None = None


class InspectRequest(_Message):
    """Measure a stored SEG: Orthanc had one of this job already."""

    op: Literal["inspect"] = "inspect"
    path: Path
    report_output: Path | None = None
    """Where the measurement report of that SEG goes; None: none is made."""


class InspectReply(_Message):
    """Identity and measurements of a stored SEG."""

    sop_instance_uid: Uid
    series_instance_uid: Uid
    job_key: str
    """The job that made it; empty when it was not made by SegRelay."""
    frames: int
    measurements: tuple[SegmentMeasurement, ...]
    report: ReportFile | None = None


class SegmentScore(_Message):
    """How well one segment of one case agrees with the truth."""

    number: int
    label: str
    dice: float
    """1 where both are empty."""
    hd95_mm: float | None
    """95th percentile of the surface distances; None where one of the two is empty."""
    found_ml: float
    truth_ml: float


class EvaluateRequest(_Message):
    """Segment a case whose truth is known, and compare."""

    op: Literal["evaluate"] = "evaluate"
    profile: str
    case: Path
    montage: Path | None = None
    """Where a picture of the case goes; None: none is made."""


class EvaluateReply(_Message):
    """The scores of the case, by segment."""

    segments: tuple[SegmentScore, ...]


class IdentifyRequest(_Message):
    """Find out what a weights file holds, without running anything in it."""

    op: Literal["identify"] = "identify"
    path: Path
    networks: tuple[Network, ...]
    """Networks to try first, the likeliest first."""


class IdentifyReply(_Message):
    """Identity of a weights file; see ``lab_side.models.identify.Identified``."""

    format: Literal["safetensors", "checkpoint", "TorchScript"]
    sha256: Sha256
    network: Network | None
    parameters: int
    lora_rank: int | None
    lora_alpha: float | None


Request = Annotated[
    LoadRequest | SegmentRequest | InspectRequest | EvaluateRequest | IdentifyRequest,
    Field(discriminator="op"),
]


class Call(_Message):
    """A request with its number."""

    id: int
    request: Request
    about: dict[str, Any] = {}
    """The context of the worker's log lines meanwhile: ``lab_side.log.current_log_context``."""


def error_line(call_id: int, error: SegRelayError) -> dict[str, Any]:
    """An error as a line."""
    return {
        "id": call_id,
        "event": "error",
        "kind": type(error).__name__,
        "code": error.code,
        "message": error.message,
        "remedy": error.remedy,
    }


def error_from_line(line: dict[str, Any]) -> SegRelayError:
    """The error that a line reports; an unknown kind is a failed attempt."""
    kind = getattr(errors, str(line.get("kind")), AttemptFailedError)
    if not (isinstance(kind, type) and issubclass(kind, SegRelayError)):
        kind = AttemptFailedError
    return kind(str(line["message"]), code=str(line["code"]), remedy=str(line["remedy"]))
