"""A SEG as labels on the displayed slices of a series: where, how large, in which colour.

The label volume is cut to the box that holds the tumour, so that a whole case is a few
kilobytes; a slice of it is also served as a palette PNG.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from django.core.cache import caches
from numpy.typing import NDArray
from PIL import Image

from gcp_side.labseg.colour import fallback_colour
from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.diameter import longest_diameter_mm
from gcp_side.labseg.errors import SegmentationUnreadableError
from gcp_side.labseg.frames import check_ids, reference_series_id
from gcp_side.labseg.geometry import SeriesGeometry
from gcp_side.labseg.orthanc import Orthanc
from gcp_side.labseg.segmentation import SegFrame, Segmentation, SegSegment, read_segmentation
from gcp_side.labseg.slices import not_on_grid, place_frames
from gcp_side.labseg.volumes import load_geometry

LARGEST_NUMBER = 255
"""A label is one byte."""

GZIP_LEVEL = 9
"""A box of labels is small and compresses to a hundredth."""

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""Half-open ranges of slices, rows, columns."""

EMPTY_BOX: Box = ((0, 0), (0, 0), (0, 0))


@dataclass(frozen=True, eq=False)
class Overlay:
    """What the page needs to draw a result."""

    series_id: str
    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    """[4, 4] (column, row, slice, 1) to LPS millimetres."""
    box: Box
    labels_gzip: bytes
    """uint8 of the box's shape, C order: the segment's number, 0 elsewhere."""
    segments: tuple[dict[str, Any], ...]
    slices: tuple[int, ...]
    """Displayed indices with a voxel."""
    centre: tuple[int, int, int] | None
    """Slice, row, column of a voxel amid the largest segment; None for an empty mask."""

    def labels(self) -> NDArray[np.uint8]:
        """The labels of the box."""
        sizes = [stop - start for start, stop in self.box]
        return np.frombuffer(gzip.decompress(self.labels_gzip), np.uint8).reshape(sizes)

    def png(self, index: int) -> bytes:
        """One displayed slice as a palette PNG, index 0 transparent.

        Raises
        ------
        SegmentationUnreadableError
            ``no-such-slice``
        """
        if not 0 <= index < self.shape[0]:
            raise SegmentationUnreadableError(
                f"The series has slices 0 to {self.shape[0] - 1}.", code="no-such-slice"
            )
        pixels = np.zeros(self.shape[1:], np.uint8)
        (first, last), rows, columns = self.box
        if first <= index < last:
            pixels[slice(*rows), slice(*columns)] = self.labels()[index - first]
        return _palette_png(pixels, self.segments)


def load_overlay(instance_id: str, *, series_id: str | None, orthanc: Orthanc) -> Overlay:
    """The overlay of a SEG on a series of its grid, its own reference series unless given.

    Raises
    ------
    SegmentationUnreadableError
        ``orthanc-id``, ``no-reference``, ``not-on-grid``, ``too-many-segments``, and the codes
        of ``segmentation``.
    SeriesNotShownError, SeriesRefusedError
        The series cannot be placed, or is not there.
    OrthancUnavailableError, OrthancRefusedError, FixConfigurationError
        From Orthanc.
    """
    check_ids(instance_id, series_id)
    conf = get_conf()
    cache = caches[conf.cache]
    key = f"labseg:overlay:{instance_id}:{series_id or ''}"
    overlay: Overlay | None = cache.get(key)
    if overlay is None:
        seg = read_segmentation(orthanc.instance_file(instance_id))
        target = series_id or reference_series_id(seg)
        overlay = make_overlay(seg, target, load_geometry(target, orthanc))
        cache.set(key, overlay, timeout=conf.frames_cache_seconds)
    return overlay


def make_overlay(seg: Segmentation, series_id: str, geometry: SeriesGeometry) -> Overlay:
    """Lay a SEG over a series; raises as :func:`load_overlay`."""
    if (seg.rows, seg.columns) != geometry.shape[1:]:
        raise not_on_grid()
    indices = place_frames(seg.frames, geometry.slices)
    placed = [(i, frame) for i, frame in zip(indices, seg.frames, strict=True) if frame.mask.any()]
    described = _described(seg)
    box = _box(placed)
    masks = {number: _mask(placed, number, box) for number in sorted(described)}
    labels = np.zeros([stop - start for start, stop in box], np.uint8)
    for number, mask in masks.items():
        # Rising numbers: where segments overlap, the highest is seen.
        labels[mask] = number
    return Overlay(
        series_id=series_id,
        shape=geometry.shape,
        affine=geometry.affine,
        box=box,
        labels_gzip=gzip.compress(labels.tobytes(), GZIP_LEVEL, mtime=0),
        segments=tuple(
            _measured(described[number], mask, geometry.affine) for number, mask in masks.items()
        ),
        slices=tuple(sorted({index for index, _ in placed})),
        centre=_centre(list(masks.values()), box),
    )


PlacedFrames = list[tuple[int, SegFrame]]


def _described(seg: Segmentation) -> dict[int, SegSegment]:
    """Every segment by number, also one that only a frame names."""
    described = {frame.segment: SegSegment(frame.segment, "", None) for frame in seg.frames}
    described |= {segment.number: segment for segment in seg.segments}
    if max(described, default=0) > LARGEST_NUMBER:
        raise SegmentationUnreadableError(
            f"The segmentation has segment numbers above {LARGEST_NUMBER}.",
            code="too-many-segments",
        )
    return described


def _box(placed: PlacedFrames) -> Box:
    if not placed:
        return EMPTY_BOX
    indices = [index for index, _ in placed]
    seen = np.logical_or.reduce([frame.mask for _, frame in placed])
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return (
        (min(indices), max(indices) + 1),
        (int(rows[0]), int(rows[-1]) + 1),
        (int(columns[0]), int(columns[-1]) + 1),
    )


def _mask(placed: PlacedFrames, number: int, box: Box) -> NDArray[np.bool_]:
    """One segment within the box."""
    (first, last), rows, columns = box
    mask = np.zeros((last - first, rows[1] - rows[0], columns[1] - columns[0]), bool)
    for index, frame in placed:
        if frame.segment == number:
            mask[index - first] |= frame.mask[slice(*rows), slice(*columns)]
    return mask


def _measured(
    segment: SegSegment, mask: NDArray[np.bool_], affine: NDArray[np.float64]
) -> dict[str, Any]:
    voxels = int(np.count_nonzero(mask))
    one_ml = float(abs(np.linalg.det(affine[:3, :3]))) / 1000
    longest = longest_diameter_mm(mask, affine)
    return {
        "number": segment.number,
        "label": segment.label,
        "colour": list(segment.colour or fallback_colour(segment.number)),
        "voxels": voxels,
        "volume_ml": round(voxels * one_ml, 6),
        "longest_diameter_mm": None if longest is None else round(longest, 3),
    }


def _centre(masks: list[NDArray[np.bool_]], box: Box) -> tuple[int, int, int] | None:
    """The voxel nearest to the middle of the largest segment's fullest slice."""
    largest = max(masks, key=np.count_nonzero, default=None)
    if largest is None or not largest.any():
        return None
    index = int(np.count_nonzero(largest, axis=(1, 2)).argmax())
    inside = np.argwhere(largest[index])
    nearest = inside[np.linalg.norm(inside - inside.mean(axis=0), axis=1).argmin()]
    (first, _), (top, _), (left, _) = box
    return first + index, top + int(nearest[0]), left + int(nearest[1])


def _palette_png(pixels: NDArray[np.uint8], segments: Iterable[dict[str, Any]]) -> bytes:
    colours = {int(item["number"]): item["colour"] for item in segments}
    largest = max(colours, default=0)
    palette = [value for number in range(largest + 1) for value in colours.get(number, (0, 0, 0))]
    image = Image.frombytes("P", pixels.shape[::-1], pixels.tobytes())
    image.putpalette(palette)
    buffer = BytesIO()
    image.save(buffer, "PNG", bits=_bits(largest), transparency=0, optimize=True)
    return buffer.getvalue()


def _bits(largest: int) -> int:
    """Bits a pixel that hold the numbers 0 to ``largest``: 2, 4 or 8."""
    return next(bits for bits in (2, 4, 8) if largest < 1 << bits)
