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
from numpy.typing import NDArray
from PIL import Image

from gcp_side.labseg.dicom.colour import fallback_colour
from gcp_side.labseg.dicom.segmentation import Segmentation, SegSegment
from gcp_side.labseg.errors import SegmentationUnreadableError
from gcp_side.labseg.host.caching import cache_key
from gcp_side.labseg.orthanc.client import Orthanc
from gcp_side.labseg.viewer.frames import read_on_series
from gcp_side.labseg.viewer.geometry import SeriesGeometry
from gcp_side.labseg.viewer.single_flight import shared
from gcp_side.labseg.viewer.slices import PlacedFrame, check_ids, check_index, place_frames
from gcp_side.labseg.viewer.volumes import inflated_slice, load_geometry
from segrelay.voxels.diameter import longest_diameter_mm, outline_points

LARGEST_NUMBER = 255
"""A label is one byte."""

GZIP_LEVEL = 9
"""A box of labels is small and compresses to a hundredth."""

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""Half-open ranges of slices, rows, columns."""

EMPTY_BOX: Box = ((0, 0), (0, 0), (0, 0))


@dataclass(frozen=True, eq=False)
class Overlay:
    """A result as the page draws it."""

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

    def labels(self, index: int) -> NDArray[np.uint8]:
        """[rows, columns] of the box on displayed slice ``index``, which the box must hold."""
        (first, _), (top, bottom), (left, right) = self.box
        shape = bottom - top, right - left
        return inflated_slice(self.labels_gzip, index - first, shape, np.dtype(np.uint8))

    def png(self, index: int) -> bytes:
        """One displayed slice as a palette PNG, index 0 transparent.

        Raises
        ------
        NoSuchSliceError
        """
        check_index(index, self.shape[0])
        pixels = np.zeros(self.shape[1:], np.uint8)
        (first, last), rows, columns = self.box
        if first <= index < last:
            pixels[slice(*rows), slice(*columns)] = self.labels(index)
        return _palette_png(pixels, self.segments)


def load_overlay(instance_id: str, *, series_id: str | None, orthanc: Orthanc) -> Overlay:
    """The overlay of a SEG on a series of its grid, its own reference series unless given.

    Raises
    ------
    QueryRefusedError
        ``orthanc-id``
    SegmentationUnreadableError
        ``no-reference``, ``not-on-grid``, ``too-many-segments``, and the codes
        of ``segmentation``.
    SeriesNotShownError, SeriesRefusedError
        The series cannot be placed, or is not there.
    OrthancUnavailableError, OrthancRefusedError, FixConfigurationError
        From Orthanc.
    """
    check_ids(instance_id, series_id)

    def make() -> Overlay:
        seg, target = read_on_series(instance_id, series_id, orthanc)
        return make_overlay(seg, str(target), load_geometry(str(target), orthanc))

    key = cache_key("overlay", instance_id, series_id or "")
    return shared(key, make, size=lambda overlay: len(overlay.labels_gzip))


def make_overlay(seg: Segmentation, series_id: str, geometry: SeriesGeometry) -> Overlay:
    """Lay a SEG over a series; raises as :func:`load_overlay`."""
    frames = place_frames(seg, geometry.slices, geometry.shape[1:])
    described = _described(seg)
    box, placed = _box_of(frames)
    labels = np.zeros([stop - start for start, stop in box], np.uint8)
    segments: list[dict[str, Any]] = []
    largest, centre = 0, None
    # Rising numbers: where segments overlap, the highest is seen.
    for number in sorted(described):
        first, mask = _mask(placed.get(number, []), box)
        labels[first - box[0][0] :][: len(mask)][mask] = number
        segments.append(_measured(described[number], mask, geometry.affine))
        # The middle is all that is kept of the largest mask so far.
        if segments[-1]["voxels"] > largest:
            largest = segments[-1]["voxels"]
            index, row, column = _middle(mask)
            centre = first + index, box[1][0] + row, box[2][0] + column
    return Overlay(
        series_id=series_id,
        shape=geometry.shape,
        affine=geometry.affine,
        box=box,
        labels_gzip=gzip.compress(labels.data, GZIP_LEVEL, mtime=0),
        segments=tuple(segments),
        slices=tuple(sorted({index for frames in placed.values() for index, _ in frames})),
        centre=centre,
    )


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


def _box_of(placed: Iterable[PlacedFrame]) -> tuple[Box, dict[int, list[PlacedFrame]]]:
    """The box around all masks, and the frames with a voxel by segment."""
    kept: dict[int, list[PlacedFrame]] = {}
    indices: list[int] = []
    sides: list[tuple[int, int, int, int]] = []
    for index, frame in placed:
        mask = frame.mask
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if len(rows):
            kept.setdefault(frame.segment, []).append((index, frame))
            indices.append(index)
            sides.append((int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])))
    if not sides:
        return EMPTY_BOX, kept
    top, bottom, left, right = zip(*sides, strict=True)
    return (
        (min(indices), max(indices) + 1),
        (min(top), max(bottom) + 1),
        (min(left), max(right) + 1),
    ), kept


def _mask(placed: list[PlacedFrame], box: Box) -> tuple[int, NDArray[np.bool_]]:
    """The first slice of one segment, and its mask from there to its last slice in the box."""
    _, rows, columns = box
    indices = [index for index, _ in placed]
    first = min(indices, default=box[0][0])
    depth = max(indices, default=first - 1) + 1 - first
    mask = np.zeros((depth, rows[1] - rows[0], columns[1] - columns[0]), bool)
    for index, frame in placed:
        mask[index - first] |= frame.mask[slice(*rows), slice(*columns)]
    return first, mask


def _measured(
    segment: SegSegment, mask: NDArray[np.bool_], affine: NDArray[np.float64]
) -> dict[str, Any]:
    voxels = int(np.count_nonzero(mask))
    one_ml = float(abs(np.linalg.det(affine[:3, :3]))) / 1000
    return {
        "number": segment.number,
        "label": segment.label,
        "colour": list(segment.colour or fallback_colour(segment.number)),
        "voxels": voxels,
        "volume_ml": round(voxels * one_ml, 6),
        "longest_diameter_mm": longest_diameter_mm(outline_points(mask, affine)),
    }


def _middle(mask: NDArray[np.bool_]) -> tuple[int, int, int]:
    """The voxel nearest to the middle of the fullest slice."""
    index = int(np.count_nonzero(mask, axis=(1, 2)).argmax())
    inside = np.argwhere(mask[index])
    nearest = inside[np.linalg.norm(inside - inside.mean(axis=0), axis=1).argmin()]
    return index, int(nearest[0]), int(nearest[1])


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
