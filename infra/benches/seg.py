"""The SEG that is uploaded: SegRelay's own, of three segments nested in each other.

Each segment has something in every slice, so that leaving out empty frames leaves out none:
on 155 slices of 240 by 240 these are 465 frames of single bits, 3.6 MB, nearly all zeros.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from infra.benches.study import SyntheticStudy
from lab_side.imaging.read.series import read_series
from lab_side.imaging.write.seg import SegOrigin, build_seg
from lab_side.settings.config import PACKAGED_PROFILES
from segrelay.profiles import Profile, load_profile

SEGMENTS = {"Oedema": 28, "Enhancing tumour": 20, "Necrosis": 12}
"""Radius in the largest slice, in pixels; a third of it at the ends."""


Shape = tuple[int, int, int]
"""Slices, rows, columns."""

Mask = npt.NDArray[np.uint8]

MasksOf = Callable[[Shape], list[Mask]]
"""A mask for each of :data:`SEGMENTS`, [slices, rows, columns]."""


def spindles(shape: Shape) -> list[Mask]:
    """One in another, as long as the series."""
    return [_lesion(radius, *shape) for radius in SEGMENTS.values()]


def write_seg(
    study: SyntheticStudy,
    path: Path,
    *,
    job: str = "bench",
    masks_of: MasksOf = spindles,
) -> None:
    """Write a SEG on the study's first series; the same bytes each time for the same ``job``."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        sources = []
        for number, image in enumerate(study.images(0)):
            sources.append(Path(folder, str(number)))
            image.save_as(sources[-1], enforce_file_format=True)
        reference = read_series(sources)
    origin = SegOrigin(
        job_key=job,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        profile=_profile(),
        model_sha256="0" * 64,
        software_version="bench",
    )
    slices, rows, columns = reference.voxels.shape
    build_seg(masks_of((slices, rows, columns)), reference, [reference], origin).save_as(
        path, enforce_file_format=True
    )


def _profile() -> Profile:
    demo = load_profile(PACKAGED_PROFILES / "demo")
    segments = tuple(
        demo.segments[0].model_copy(update={"number": number, "label": label})
        for number, label in enumerate(SEGMENTS, 1)
    )
    return demo.model_copy(update={"segments": segments})


def _lesion(radius: int, slices: int, rows: int, columns: int) -> Mask:
    """A spindle along the slices; its outline and its middle waver from slice to slice."""
    z = np.arange(slices)[:, None, None]
    y = np.arange(rows)[:, None] - rows / 2 - 9 * np.sin(z / 11)
    x = np.arange(columns) - columns / 2 - 7 * np.cos(z / 17)
    size = radius * (1 / 3 + 2 / 3 * np.sin(np.pi * (z + 0.5) / slices))
    outline = size * (1 + 0.15 * np.sin(5 * np.arctan2(y, x) + z / 5))
    mask: Mask = (np.hypot(y, x) <= outline).astype(np.uint8)
    return mask
