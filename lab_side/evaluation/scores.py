"""How well the masks of one case agree with the truth."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from numpy.typing import NDArray

from lab_side.evaluation.montage import write_montage
from lab_side.evaluation.overlap import dice
from lab_side.evaluation.reading import Volume, read_truth, read_volumes
from lab_side.imaging.pipeline import Progress, predict
from lab_side.imaging.read.series import SeriesVolume
from lab_side.imaging.volume.grid import VolumeLike
from lab_side.imaging.volume.postprocess import Mask
from lab_side.imaging.volume.registration import find_motions
from lab_side.imaging.write.measure import voxel_ml
from lab_side.models.loaded import LoadedModel
from lab_side.worker.protocol import SegmentScore
from segrelay.profiles import Profile, Segment

PERCENTILE = 95


def evaluate_case(
    case: Path, model: LoadedModel, progress: Progress, montage: Path | None = None
) -> tuple[SegmentScore, ...]:
    """Segment one case, as a job does, and compare; ``montage``: a picture of it.

    Raises
    ------
    SeriesRefusedError, InferenceError, AttemptFailedError
    LocalDiskError
        The picture cannot be written.
    """
    profile = model.profile
    volumes = read_volumes(case, profile.roles)
    reference = volumes[profile.reference_role]
    truth = read_truth(case, profile, reference)
    found = predict(_placed(volumes, profile), model, progress)
    if montage is not None:
        segmented, right = (np.any(masks, axis=0) for masks in (found, truth))
        write_montage(montage, reference, segmented, truth=right, title=case.name)
    return compare(found, truth, profile.segments, np.asarray(reference.affine, np.float64))


def _placed(volumes: Mapping[str, VolumeLike], profile: Profile) -> Mapping[str, VolumeLike]:
    """The volumes where a job's registration would lay them."""
    if profile.preprocessing.registration == "none":
        return volumes
    frames = {
        role: volume.frame_of_reference_uid
        for role, volume in volumes.items()
        if isinstance(volume, SeriesVolume)
    }
    # A file that is no DICOM series says nothing of a frame: its affine places it.
    own = frames.get(profile.reference_role)
    unplaced = {role for role, frame in frames.items() if own is not None and frame != own}
    motions = find_motions(volumes, profile.reference_role, unplaced)
    return {
        role: Volume(volume.voxels, motions[role].motion @ volume.affine)
        if role in motions and motions[role].kept
        else volume
        for role, volume in volumes.items()
    }


def compare(
    found: Sequence[Mask],
    truth: Sequence[Mask],
    segments: Sequence[Segment],
    affine: NDArray[np.float64],
) -> tuple[SegmentScore, ...]:
    """The scores of each segment; masks are uint8 [slices, rows, columns] on one grid."""
    one_ml = voxel_ml(affine)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)[::-1].tolist()
    return tuple(
        SegmentScore(
            number=segment.number,
            label=segment.label,
            dice=dice(mask, right),
            hd95_mm=hd95_mm(mask, right, spacing),
            found_ml=round(int(mask.sum()) * one_ml, 4),
            truth_ml=round(int(right.sum()) * one_ml, 4),
        )
        for mask, right, segment in zip(found, truth, segments, strict=True)
    )


def hd95_mm(found: Mask, truth: Mask, spacing: Sequence[float]) -> float | None:
    """95th percentile of the distances between the surfaces, the larger of both ways (MONAI).

    None where one of the masks is empty: there is no distance then.
    """
    if not found.any() or not truth.any():
        return None
    pair = [torch.from_numpy(np.ascontiguousarray(mask))[None, None] for mask in (found, truth)]
    with warnings.catch_warnings():
        # MONAI 1.5 warns of an argument that it gives to itself.
        warnings.simplefilter("ignore", FutureWarning)
        distance = compute_hausdorff_distance(
            pair[0], pair[1], include_background=True, percentile=PERCENTILE, spacing=list(spacing)
        )
    value = float(distance.item())
    return round(value, 3) if math.isfinite(value) else None
