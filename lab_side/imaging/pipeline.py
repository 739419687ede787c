"""One case, from files to SEG.

    read ──▶ (register) ──▶ preprocess ──▶ infer ──▶ restore ──▶ seg

=============  ==========================================================================
``read``       files of each series → volume with affine; checked alone and together
``register``   by profile: other series moved onto the reference series
``preprocess`` each series, straight from its own grid, onto the network's grid; its role
               checked; by profile all but the brain set to 0; normalised
``infer``      sliding window → probabilities
``restore``    probabilities onto the reference series' grid; threshold; components
``seg``        DICOM SEG on disk, measurements, their report
=============  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib import metadata
from pathlib import Path
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from lab_side.imaging.notices import (
    header_warnings,
    input_warnings,
    registration_warnings,
    use_warnings,
)
from lab_side.imaging.read.consistency import check_together
from lab_side.imaging.read.regions import check_regions
from lab_side.imaging.read.roles import check_roles
from lab_side.imaging.read.series import SeriesVolume, read_series
from lab_side.imaging.volume.brain_mask import strip_skull
from lab_side.imaging.volume.grid import Grid, VolumeLike, grid_of, network_grid, to_grid
from lab_side.imaging.volume.normalise import normalise
from lab_side.imaging.volume.postprocess import Mask, clean_mask
from lab_side.imaging.volume.registration import place_together
from lab_side.imaging.write.dicom_file import write_dataset
from lab_side.imaging.write.measure import measure_masks, voxel_ml
from lab_side.imaging.write.preflight_seg import preflight_seg
from lab_side.imaging.write.report import WrittenReport, write_report
from lab_side.imaging.write.seg import SegOrigin, build_seg
from lab_side.models.inference import infer_foreground
from lab_side.models.loaded import LoadedModel
from segrelay.manifest import RegistrationRecord, SegmentMeasurement
from segrelay.notices import Notice
from segrelay.profiles import Profile
from segrelay.result_notes import contradicting
from segrelay.stages import Stage

Progress = Callable[[str, float], None]
"""Takes the stage and its finished share, 0 to 1."""

_PACKAGES = (
    "segrelay",
    "torch",
    "monai",
    "numpy",
    "SimpleITK",
    "scipy",
    "pydicom",
    "highdicom",
    "deepbet",
)


@dataclass(frozen=True, kw_only=True)
class CaseInput:
    """One job: its input files, profile and options."""

    job_key: str
    """The job id: part of the SEG's UIDs."""
    series: Mapping[str, list[Path]]
    """Role to the files of that series, in any order."""
    expected_sop_uids: Mapping[str, frozenset[str] | None]
    """Role to what Orthanc says the series holds; None or absent: not checked."""
    frames: Mapping[str, Mapping[str, tuple[int, ...]]] = field(default_factory=dict)
    """Role to the frames of each SOP Instance UID that are its input; absent or empty: all."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Role to the name of its volume, where its series holds several."""
    created_at: datetime
    """Time zone aware; every date and time of the SEG."""
    output: Path
    """Where the SEG goes, e.g. ``…/seg.dcm``."""
    report_output: Path | None = None
    """Where its measurement report (SR) goes; None: none is made."""
    confirmed: tuple[str, ...] = ()
    """In what the input contradicts the profile, as codes; a person has confirmed it."""


@dataclass(frozen=True, kw_only=True)
class CaseOutput:
    """Result of one job."""

    sop_instance_uid: str
    series_instance_uid: str
    sha256: str
    """Of the SEG file's bytes."""
    size_bytes: int
    frames: int
    measurements: tuple[SegmentMeasurement, ...]
    notices: tuple[Notice, ...]
    """For the site's users."""
    stage_seconds: dict[str, float]
    series_instance_uids: tuple[str, ...]
    """The input series, in channel order."""
    versions: dict[str, str]
    device: str
    registrations: tuple[RegistrationRecord, ...]
    """Of each series but the reference; empty where the profile asks for none."""
    report: WrittenReport | None


@dataclass
class _Stages:
    """Runs stages one after the other and keeps their seconds."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: Stage) -> Iterator[None]:
        self.progress(name, 0.0)
        start = monotonic()
        yield
        self.seconds[name] = round(monotonic() - start, 3)
        self.progress(name, 1.0)


def _silent(_stage: str, _share: float) -> None:
    return


def segment_case(case: CaseInput, model: LoadedModel, progress: Progress) -> CaseOutput:
    """Segment one case and write its SEG.

    Raises
    ------
    SeriesRefusedError
        The images cannot be placed in space or do not belong together; before inference.
    InferenceError, AttemptFailedError
        See ``inference.infer``.
    LocalDiskError
        A file cannot be read or written.
    """
    profile, stages = model.profile, _Stages(progress)
    with stages.stage(Stage.READ):
        volumes = _read(case, profile, progress)
        reference = volumes[profile.reference_role]
        inputs = [volumes[role] for role in profile.roles]
        contradictions = check_regions(volumes, profile, case.confirmed)
        is_contradicted = bool(contradictions or contradicting(case.confirmed))
        origin = replace(_origin(case, model), is_contradicted=is_contradicted)
        preflight_seg(reference, inputs, origin)
    placed, registrations = _register(volumes, profile, stages)
    with stages.stage(Stage.PREPROCESS):
        grid = _grid(placed, profile)
        sampled = sample(placed, profile, grid)
        role_warnings = check_roles(volumes, sampled, profile)
        stripped, brain_warnings = _brain_alone(sampled, grid, model)
        channels = _normalised(stripped, profile)
    masks = _masks(channels, grid, grid_of(reference), model, stages)
    with stages.stage(Stage.SEG):
        seg = build_seg(masks, reference, inputs, origin)
        stored = write_dataset(seg, case.output)
        measurements = measure_masks(masks, reference.affine, profile.segments)
        output = case.report_output
        report = None if output is None else write_report(seg, measurements, output)
    return CaseOutput(
        sop_instance_uid=str(seg.SOPInstanceUID),
        series_instance_uid=str(seg.SeriesInstanceUID),
        sha256=stored.sha256,
        size_bytes=stored.size_bytes,
        frames=int(seg.NumberOfFrames),
        measurements=measurements,
        notices=(
            *use_warnings(profile, case.confirmed),
            *contradictions,
            *header_warnings(inputs),
            *input_warnings(placed, profile),
            *registration_warnings(registrations, profile.reference_role),
            *brain_warnings,
            *role_warnings,
        ),
        registrations=registrations,
        report=report,
        stage_seconds=dict(stages.seconds),
        series_instance_uids=tuple(volume.series_uid for volume in inputs),
        versions=package_versions(),
        device=model.device_name,
    )


def predict(
    volumes: Mapping[str, VolumeLike],
    model: LoadedModel,
    progress: Progress = _silent,
) -> list[Mask]:
    """Segment volumes in memory, without DICOM.

    Parameters
    ----------
    volumes:
        Role to voxels (float32 [slices, rows, columns]) and affine, in one frame of reference.

    Returns
    -------
    One mask per segment: uint8 [slices, rows, columns] on the reference role's grid.
    """
    profile, stages = model.profile, _Stages(progress)
    with stages.stage(Stage.PREPROCESS):
        grid = _grid(volumes, profile)
        sampled, _ = _brain_alone(sample(volumes, profile, grid), grid, model)
        channels = _normalised(sampled, profile)
    reference = grid_of(volumes[profile.reference_role])
    return _masks(channels, grid, reference, model, stages)


def package_versions() -> dict[str, str]:
    """Package name to installed version, for provenance."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # run from a source tree
    return versions


def _origin(case: CaseInput, model: LoadedModel) -> SegOrigin:
    return SegOrigin(
        job_key=case.job_key,
        created_at=case.created_at,
        profile=model.profile,
        model_sha256=model.model_sha256,
        software_version=package_versions().get("segrelay", "source"),
    )


def _read(case: CaseInput, profile: Profile, progress: Progress) -> dict[str, SeriesVolume]:
    volumes = {}
    for index, role in enumerate(profile.roles, start=1):
        volumes[role] = read_series(
            case.series[role],
            expected_sop_uids=case.expected_sop_uids.get(role),
            is_own_frame=profile.missing_frame_of_reference == "own",
            frames=case.frames.get(role),
            part=case.parts.get(role, ""),
        )
        progress(Stage.READ, index / len(profile.roles))
    check_together(volumes, is_registered=profile.preprocessing.registration != "none")
    return volumes


def _register(
    volumes: Mapping[str, SeriesVolume], profile: Profile, stages: _Stages
) -> tuple[Mapping[str, SeriesVolume], tuple[RegistrationRecord, ...]]:
    """The volumes where they belong, and what was done for it."""
    if profile.preprocessing.registration == "none":
        return volumes, ()
    with stages.stage(Stage.REGISTER):
        return place_together(volumes, profile.reference_role)


def _grid(volumes: Mapping[str, VolumeLike], profile: Profile) -> Grid:
    settings = profile.preprocessing
    reference = grid_of(volumes[profile.reference_role])
    return network_grid(reference, settings.orientation, settings.spacing_mm)


def sample(
    volumes: Mapping[str, VolumeLike], profile: Profile, grid: Grid
) -> dict[str, NDArray[np.float32]]:
    """By role, in channel order: float32 [third, second, first network axis]."""
    return {
        role: to_grid(volumes[role].voxels, volumes[role].affine, grid) for role in profile.roles
    }


def _brain_alone(
    sampled: dict[str, NDArray[np.float32]], grid: Grid, model: LoadedModel
) -> tuple[dict[str, NDArray[np.float32]], tuple[Notice, ...]]:
    """Strip the skull as the profile says; also the warnings for the result."""
    preprocessing, finder = model.profile.preprocessing, model.brain_finder
    if preprocessing.skull_strip is None or finder is None:
        return sampled, ()
    stripped, warning = strip_skull(
        sampled, grid, preprocessing.orientation, preprocessing.skull_strip, finder.find
    )
    return stripped, (warning,)


def network_input(
    volumes: Mapping[str, VolumeLike], profile: Profile, grid: Grid
) -> NDArray[np.float32]:
    """float32 [channels, first, second, third network axis], resampled and normalised.

    Nothing is stripped: that takes a model.
    """
    return _normalised(sample(volumes, profile, grid), profile)


def _normalised(
    sampled: Mapping[str, NDArray[np.float32]], profile: Profile
) -> NDArray[np.float32]:
    method = profile.preprocessing.normalisation
    channels = np.stack([values.transpose(2, 1, 0) for values in sampled.values()])
    if profile.preprocessing.normalised_together:
        return normalise(channels, method)
    return np.stack([normalise(channel, method) for channel in channels])


def _masks(
    channels: NDArray[np.float32],
    grid: Grid,
    reference: Grid,
    model: LoadedModel,
    stages: _Stages,
) -> list[Mask]:
    with stages.stage(Stage.INFER):
        probabilities = infer_foreground(
            model.network,
            channels,
            model.profile.inference,
            model.device,
            memory=model.memory,
            progress=lambda share: stages.progress(Stage.INFER, share),
        )
    with stages.stage(Stage.RESTORE):
        return _restore(probabilities, model.profile, grid, reference)


def _restore(
    probabilities: NDArray[np.float32], profile: Profile, grid: Grid, reference: Grid
) -> list[Mask]:
    # Probabilities are resampled first, then compared with the threshold: the other order loses
    # a voxel's fraction.
    settings, one_ml = profile.postprocessing, voxel_ml(reference.affine)
    if profile.inference.activation == "softmax":
        argmax = _argmax(probabilities, grid, reference)
        return [
            clean_mask((argmax == segment.channel).astype(np.float32), settings, one_ml)
            for segment in profile.segments
        ]
    wanted = sorted({channel for segment in profile.segments for channel in segment.channels})
    on_source = {
        channel: _on_reference(probabilities[channel], grid, reference) for channel in wanted
    }
    masks = []
    for segment in profile.segments:
        probability = on_source[segment.channel].copy()
        for other in segment.except_channels:
            probability[on_source[other] >= np.float32(settings.threshold)] = 0.0
        masks.append(clean_mask(probability, settings, one_ml))
    return masks


def _argmax(probabilities: NDArray[np.float32], grid: Grid, reference: Grid) -> NDArray[np.intp]:
    """[slices, rows, columns]: the channel of the highest probability, the first where equal."""
    best = _on_reference(probabilities[0], grid, reference)
    argmax = np.zeros(best.shape, dtype=np.intp)
    for channel in range(1, len(probabilities)):
        values = _on_reference(probabilities[channel], grid, reference)
        ahead = values > best
        argmax[ahead] = channel
        best[ahead] = values[ahead]
    return argmax


def _on_reference(channel: NDArray[np.float32], grid: Grid, reference: Grid) -> NDArray[np.float32]:
    """One channel from the network's grid to float32 [slices, rows, columns] of the series."""
    return to_grid(np.ascontiguousarray(channel.transpose(2, 1, 0)), grid.affine, reference)
