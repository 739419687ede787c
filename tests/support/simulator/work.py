"""What becomes of a job when it is worked on; fixed for each job by the history's seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from enum import Enum

from lab_side.worker.protocol import InspectReply, InspectRequest, SegmentReply, SegmentRequest
from segrelay.errors import AttemptFailedError, InferenceError, TransientError
from segrelay.stages import Stage as JobStage
from tests.support.simulator.orthanc import inspect, seg_bytes, uid_of
from tests.support.simulator.stage import Stage
from tests.support.simulator.weather import Weather


class Fate(Enum):
    """How work on a job ends."""

    GOOD = "it succeeds"
    FLAKY = "it fails or must wait now and then"
    POISON = "every attempt fails"
    DEADLY = "every attempt kills the process"
    HOPELESS = "it fails for good"
    UNFIT = "its manifest names other series than the profile needs"


class ModelWorker:
    """What the pipeline asks of the GPU worker."""

    def __init__(
        self,
        stage: Stage,
        weather: Weather,
        fates: dict[str, Fate],
        *,
        made_by: str,
        is_killed: Callable[[], bool],
        die: Callable[[], None],
    ) -> None:
        self._stage = stage
        self._weather = weather
        self._fates = fates
        self._made_by = made_by
        self._is_killed = is_killed
        self._die = die

    def kill(self) -> None:
        """The agent cancels: ``is_killed`` says so from now on."""

    def make_ready(self) -> None:
        """Nothing runs between calls."""

    def renew(self) -> None:
        """Nothing runs between calls."""

    def inspect(self, request: InspectRequest) -> InspectReply:
        """Open a stored SEG."""
        self._stage.pause()
        return inspect(request)

    def segment(
        self, request: SegmentRequest, progress: Callable[[str, float], None]
    ) -> SegmentReply:
        """Work on a job as its fate has it."""
        progress(JobStage.INFER, 0.5)
        self._stage.pause()
        self._stage.pause()
        if self._is_killed():
            raise AttemptFailedError("The worker was stopped.", code="worker-stopped")
        self._meet_fate(self._fates[request.job_key])
        data = seg_bytes(request.job_key, self._made_by)
        request.output.write_bytes(data)
        return SegmentReply(
            sop_instance_uid=uid_of(request.job_key),
            series_instance_uid=uid_of(uid_of(request.job_key)),
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
            frames=1,
            measurements=(),
            notices=(),
            stage_seconds={},
            series_instance_uids=("1.2.3",),
            versions={},
            device="cpu",
        )

    def _meet_fate(self, fate: Fate) -> None:
        if fate is Fate.POISON:
            raise AttemptFailedError("The worker ended.", code="worker-died")
        if fate is Fate.HOPELESS:
            raise InferenceError("The network's answer cannot be used.", code="not-finite")
        if fate is Fate.DEADLY:
            self._die()
        if fate is Fate.FLAKY and self._weather.strikes():
            if self._weather.chance.random() < 0.5:
                raise AttemptFailedError("The worker ended.", code="worker-died")
            raise TransientError("The disk is full.", code="local-disk")
