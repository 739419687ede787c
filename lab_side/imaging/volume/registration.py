"""Rigid registration: one series moved and turned onto the reference series.

Patients move between series, so headers alone leave real series of one study some millimetres
apart. Mutual information (Mattes et al. 2003) finds the motion, first on coarse images, then
on finer ones. It may find a wrong one: a motion is kept only where images of another
resolution, looked at voxel by voxel, have more mutual information with it than without.

Nothing is interpolated here. A rigid motion changes where voxels lie, not what they are: the
series gets another affine, and is sampled once, on the network's grid.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the library's own abbreviation)
from numpy.typing import NDArray

from lab_side.imaging.read.series import SeriesVolume
from lab_side.imaging.volume.grid import VolumeLike, to_image
from segrelay.errors import SeriesRefusedError
from segrelay.manifest import RegistrationRecord

VOXEL_MM = (4.0, 2.0)
"""Millimetres of a voxel on the two levels of the search."""
SMOOTH_MM = (4.0, 2.0)
SAMPLED_SHARE = (0.3, 0.1)
"""Of the voxels of a level, at random places that are the same in every run."""
STEPS = 300
BINS = 32
FIRST_STEP_MM = (8.0, 1.0)
LAST_STEP_MM = 0.01
RELAXATION = 0.9
"""Of the step, each time the search turns back; less ends it before a rotation is found."""
SEED = 20_240_506

CHECK_MM = 3.0
"""Millimetres of a voxel where the found motion is judged."""
LEAST_GAIN = 0.01
"""Nats of mutual information that a motion must bring to be kept."""

LARGEST_TURN_DEGREES = 20.0
LARGEST_SHIFT_MM = 30.0
"""In the middle of the reference series; nobody moves further between two series, so beyond these
a motion is a mistake: a wrong one also has more in common than images that hardly overlap."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Registration:
    """Motion of one series and how it was judged."""

    kept: bool
    before: float
    """Mutual information in nats where the headers put the series."""
    after: float
    """The same with the motion."""
    motion: NDArray[np.float64]
    """[4, 4] LPS millimetres to LPS millimetres: where the series' voxels are moved."""
    turn_degrees: float
    shift_mm: float
    """Of the middle of the reference series."""


def place_together(
    volumes: Mapping[str, SeriesVolume], reference_role: str
) -> tuple[dict[str, SeriesVolume], tuple[RegistrationRecord, ...]]:
    """Register every other series onto the reference, side by side, each in one thread.

    Returns
    -------
    The volumes by role, those with a kept motion where it leads; and what was found, in the
    order of ``volumes``.

    Raises
    ------
    SeriesRefusedError
        ``frame-of-reference``: headers do not place a series, and no motion was found.
    """
    frame = volumes[reference_role].frame_of_reference_uid
    unplaced = {role for role, item in volumes.items() if item.frame_of_reference_uid != frame}
    found = find_motions(volumes, reference_role, unplaced)
    placed = dict(volumes)
    for role, item in found.items():
        volume = volumes[role]
        if item.kept:
            placed[role] = replace(volume, affine=item.motion @ volume.affine)
        elif volume.frame_of_reference_uid != frame:
            raise SeriesRefusedError(
                f"{role} is of another frame of reference than {reference_role}, and could not "
                "be registered onto it.",
                code="frame-of-reference",
            )
    return placed, tuple(_record(role, item) for role, item in found.items())


def find_motions(
    volumes: Mapping[str, VolumeLike], reference_role: str, unplaced: Collection[str]
) -> dict[str, Registration]:
    """The motion of every volume but the reference, by role; each in one thread.

    Parameters
    ----------
    unplaced:
        Roles whose headers do not place them in the reference's frame.
    """
    fixed = volumes[reference_role]
    with _one_thread_each(), ThreadPoolExecutor() as pool:
        running = {
            role: pool.submit(register, volume, fixed, is_placed=role not in unplaced)
            for role, volume in volumes.items()
            if role != reference_role
        }
        return {role: future.result() for role, future in running.items()}


def _record(role: str, item: Registration) -> RegistrationRecord:
    return RegistrationRecord(
        role=role,
        kept=item.kept,
        information_before=round(item.before, 4),
        information_after=round(item.after, 4),
        turn_degrees=round(item.turn_degrees, 3),
        shift_mm=round(item.shift_mm, 3),
        motion=tuple(round(value, 6) for value in item.motion.ravel().tolist()),
    )


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Sums over several threads differ in their last digits from run to run, so would masks."""
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def register(moving: VolumeLike, fixed: VolumeLike, *, is_placed: bool) -> Registration:
    """Find the motion of ``moving`` that lays it onto ``fixed``.

    Parameters
    ----------
    is_placed:
        Whether the headers place both in one frame of reference. If not, the search starts
        with the middles of both on each other, and so does the comparison.
    """
    target, image = to_image(fixed), to_image(moving)
    start = _start(target, image, is_placed=is_placed)
    coarse = (_resampled(target, CHECK_MM), _resampled(image, CHECK_MM))
    try:
        before = _information(*coarse, start)
        found = _search(target, image, start)
        after = _information(*coarse, found)
    except RuntimeError:
        # SimpleITK: the images do not overlap, or one of them is flat.
        return _result(start, target, before=0.0, after=0.0, kept=False)
    moved = _result(found, target, before=before, after=after, kept=True)
    is_plausible = (
        moved.turn_degrees <= LARGEST_TURN_DEGREES
        and (moved.shift_mm <= LARGEST_SHIFT_MM or not is_placed)
        and after >= before + LEAST_GAIN
    )
    return moved if is_plausible else _result(found, target, before=before, after=after, kept=False)


def _start(target: sitk.Image, image: sitk.Image, *, is_placed: bool) -> sitk.Euler3DTransform:
    """Turns about the middle of the target."""
    start = sitk.Euler3DTransform()
    start.SetCenter(_middle(target).tolist())
    if not is_placed:
        start.SetTranslation((_middle(image) - _middle(target)).tolist())
    return start


def _middle(image: sitk.Image) -> NDArray[np.float64]:
    half = [(size - 1) / 2 for size in image.GetSize()]
    return np.array(image.TransformContinuousIndexToPhysicalPoint(half))


def _resampled(image: sitk.Image, millimetres: float) -> sitk.Image:
    """On voxels of about this size; along an axis that is coarser already, as it is."""
    factors = [max(1, round(millimetres / spacing)) for spacing in image.GetSpacing()]
    shrunk: sitk.Image = sitk.BinShrink(image, factors)
    return shrunk


def _search(
    target: sitk.Image, image: sitk.Image, start: sitk.Euler3DTransform
) -> sitk.Euler3DTransform:
    found = sitk.Euler3DTransform(start)
    levels = zip(VOXEL_MM, SMOOTH_MM, SAMPLED_SHARE, FIRST_STEP_MM, strict=True)
    for millimetres, smooth, share, first_step in levels:
        pair = [
            sitk.SmoothingRecursiveGaussian(_resampled(item, millimetres), smooth / 2)
            for item in (target, image)
        ]
        method = _mutual_information()
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(share, SEED)
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=first_step,
            minStep=LAST_STEP_MM,
            numberOfIterations=STEPS,
            gradientMagnitudeTolerance=1e-8,
            relaxationFactor=RELAXATION,
        )
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetInitialTransform(found, inPlace=True)
        method.Execute(*pair)
    return found


def _mutual_information() -> Any:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=BINS)
    method.SetInterpolator(sitk.sitkLinear)
    return method


def _information(target: sitk.Image, image: sitk.Image, motion: sitk.Transform) -> float:
    """Mutual information in nats, over all voxels."""
    method = _mutual_information()
    method.SetInitialTransform(motion)
    return -float(method.MetricEvaluate(target, image))


def _result(
    motion: sitk.Euler3DTransform, target: sitk.Image, *, before: float, after: float, kept: bool
) -> Registration:
    """The transform leads from the target's places to the series'; the motion leads back."""
    turn = np.array(motion.GetMatrix()).reshape(3, 3)
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = np.array(motion.TransformPoint((0.0, 0.0, 0.0)))
    middle = _middle(target)
    cosine = np.clip((np.trace(turn) - 1) / 2, -1, 1)
    return Registration(
        kept=kept,
        before=before,
        after=after,
        motion=np.linalg.inv(matrix).astype(np.float64),
        turn_degrees=float(np.degrees(np.arccos(cosine))),
        shift_mm=float(np.linalg.norm(np.array(motion.TransformPoint(middle.tolist())) - middle)),
    )
