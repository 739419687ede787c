"""One job from upload to evidence, in the order of the data's way.

study ─▶ Orthanc ─▶ site: submit ─▶ agent: SEG ─▶ Orthanc ─▶ site: result, frames ─▶ gate
"""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from rich.console import Console

from infra.demos.progress import follow
from infra.demos.queue import WatchedQueue
from infra.demos.report import Evidence, FrameReading, Outcome
from infra.demos.study import ChosenSeries, Study, StudySeries, choose_inputs
from infra.demos.watch import QueueStep, QueueWatch
from infra.gates.gate import check_seg, masks_by_dcmqi, read_grid
from infra.gates.truth import load_truth
from infra.servers.site_and_agent import DemoError, DemoServers
from lab_side.evaluation.montage import write_montage
from lab_side.evaluation.overlap import dice
from lab_side.imaging.read.series import read_series
from segrelay.manifest import Provenance, SegmentMeasurement
from segrelay.orthanc import OrthancClient
from segrelay.parts.volume_ids import VolumeId
from segrelay.profiles import Profile

OVERLAY = "overlay.png"
SEG_FILE = "seg.dcm"

UPLOADS_AT_ONCE = 4


@dataclass
class Stopwatch:
    """Seconds of named steps, in the order in which they ended."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time the block."""
        start = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - start


@dataclass(frozen=True)
class Demo:
    """What the steps share."""

    study: Study
    profile: Profile
    weights: str
    """What they are, in words."""
    client: OrthancClient
    servers: DemoServers
    out: Path
    console: Console
    watch: Stopwatch
    queue: WatchedQueue | None
    """None where it is a directory, which is not watched."""

    def run(self) -> Evidence:
        """The whole job, and all checks of what came out.

        Raises
        ------
        DemoError
            The job did not succeed, or a server failed.
        FixConfigurationError
            The study does not fit the profile, or a validator is missing.
        """
        chosen = choose_inputs(self.study, self.profile.inputs)
        inputs = {role: item.series for role, item in chosen.items()}
        with self.watch.step("upload of the study"):
            orthanc_ids = self._upload(inputs)
        outcome, job_seconds, queue_steps = self._run_job(orthanc_ids)
        seg = self.out / SEG_FILE
        seg.write_bytes(self.client.instance_file(outcome.seg_instance_id))
        reference = inputs[self.profile.reference_role]
        others = [file for s in inputs.values() for file in s.files if s is not reference]
        return Evidence(
            title=self.study.title,
            weights=self.weights,
            inputs={role: _in_words(item) for role, item in chosen.items()},
            preparation_seconds=self.watch.seconds,
            job_seconds=job_seconds,
            outcome=outcome,
            seg_frames=int(pydicom.dcmread(seg, stop_before_pixels=True).NumberOfFrames),
            seg_bytes=seg.stat().st_size,
            frames=self._read_frames(outcome.seg_instance_id),
            gate=check_seg(seg, reference.files, other_sources=others, frames=reference.frames),
            dice=self._draw_and_compare(seg, reference),
            overlay=self.out / OVERLAY,
            queue_steps=queue_steps,
        )

    def _upload(self, inputs: Mapping[str, StudySeries]) -> list[str]:
        """Send every file to Orthanc, some at once; the names of the inputs, in role order."""
        ids: dict[str, str] = {}
        with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
            for series in inputs.values():
                if series.series_instance_uid not in ids:
                    files = (file.read_bytes() for file in series.all_files)
                    (found,) = {
                        reply.orthanc_series_id for reply in pool.map(self.client.upload, files)
                    }
                    ids[series.series_instance_uid] = found
        return [
            str(VolumeId(ids[series.series_instance_uid], series.part))
            for series in inputs.values()
        ]

    def _run_job(self, orthanc_ids: list[str]) -> tuple[Outcome, float, tuple[QueueStep, ...]]:
        """The job's outcome, its seconds, and what was seen of it in a watched queue."""
        if self.queue is None:
            return (*self._segment(orthanc_ids), ())
        with closing(self.queue.open()) as bucket:
            watch = QueueWatch(bucket)
            with watch.running():
                outcome, seconds = self._segment(orthanc_ids)
            return outcome, seconds, watch.trail(outcome.job_id)

    def _segment(self, orthanc_ids: list[str]) -> tuple[Outcome, float]:
        """Submit through the site, follow, and read the result as the site has it."""
        start = time.monotonic()
        # The user of the demo has chosen study and profile; what contradicts is in its warnings.
        arguments = ["--profile", self.profile.name, "--confirm", "--series", *orthanc_ids]
        job_id = self.servers.labseg("submit", *arguments)["job_id"]
        follow(self.servers, job_id, self.console)
        job = self.servers.labseg("show", job_id)
        if job["state"] != "succeeded":
            failure = job["failure"] or {}
            raise DemoError(
                f"The job {job_id} ended as {job['state']}: {failure.get('reason', '')}",
                remedy=failure.get("remedy"),
            )
        outcome = Outcome(
            job_id=job_id,
            seg_instance_id=job["seg_instance_id"],
            measurements=tuple(map(SegmentMeasurement.model_validate, job["segments"])),
            provenance=Provenance.model_validate(job["provenance"]),
            warnings=tuple(job["warnings"]),
        )
        return outcome, time.monotonic() - start

    def _read_frames(self, seg_instance_id: str) -> FrameReading:
        """Ask the site for the frames, as its page does, and count what they hold."""
        frames = self.servers.get(f"instances/{seg_instance_id}/frames/")["frames"]
        return FrameReading(len(frames), sum(_voxels(frame["mask_base64"]) for frame in frames))

    def _draw_and_compare(self, seg: Path, reference: StudySeries) -> float | None:
        """Write the overlay picture; Dice, where a truth is known."""
        grid = read_grid(reference.files, reference.frames)
        mask = np.any([np.zeros(grid.shape, bool), *masks_by_dcmqi(seg, grid).values()], axis=0)
        truth = None if self.study.truth is None else load_truth(self.study.truth, grid)
        picture = self.out / OVERLAY
        volume = read_series(reference.files, frames=reference.frames)
        write_montage(picture, volume, mask, truth=truth, title=self.study.title)
        return None if truth is None else dice(mask, truth)


def _voxels(mask_base64: str) -> int:
    """Pixels of a mask PNG that are not 0."""
    with Image.open(io.BytesIO(base64.b64decode(mask_base64))) as image:
        return int(np.count_nonzero(np.asarray(image)))


def _in_words(chosen: ChosenSeries) -> str:
    series = chosen.series
    number = "no number" if series.number is None else f"number {series.number}"
    return (
        f"series {number}, {series.description or 'no description'}, {series.images} images; "
        f"{chosen.confidence.value}: {chosen.why}"
    )
