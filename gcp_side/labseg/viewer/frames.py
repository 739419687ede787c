"""The frames of a SEG as masks on the slices of a series, in displayed order.

One request fetches the SEG, one the positions of the series' slices and one the tags of
a slice. The answer is kept in Django's cache: a stored SEG never changes under its id.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcp_side.labseg.dicom.segmentation import SegFrame, Segmentation, read_segmentation
from gcp_side.labseg.errors import SegmentationUnreadableError
from gcp_side.labseg.host.caching import cache_key
from gcp_side.labseg.orthanc.client import Orthanc, orthanc_id
from gcp_side.labseg.viewer.shown import places_of, volume_under
from gcp_side.labseg.viewer.single_flight import shared
from gcp_side.labseg.viewer.slices import (
    DisplayedSlices,
    PlacedFrame,
    check_ids,
    displayed_order,
    place_frames,
    refused_as,
)
from segrelay.parts.volume_ids import VolumeId, volume_id_of

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

Frames = list[dict[str, Any]]
"""``index``: slice in displayed order; ``mask_base64``: PNG, 8 bits, 0 or 255."""


def load_frames(
    instance_id: str, *, series_id: str | None, segment: int | None, orthanc: Orthanc
) -> Frames:
    """The frames of a SEG, sorted by slice; several segments on a slice become one mask.

    Parameters
    ----------
    instance_id:
        Orthanc id of the SEG instance.
    series_id:
        Names a series, or a volume of one (``VolumeId``), on the same grid; the SEG's own
        reference unless given.
    segment:
        Segment Number; all segments unless given.

    Raises
    ------
    QueryRefusedError
        ``orthanc-id``
    SegmentationUnreadableError
        ``no-reference``, ``no-such-segment``, and the codes of
        ``segmentation`` and ``slices``.
    SeriesRefusedError
        ``series-missing``: Orthanc has no such series.
    OrthancUnavailableError, OrthancRefusedError, FixConfigurationError
        From Orthanc.
    """
    check_ids(instance_id, series_id)

    def make() -> Frames:
        seg, target = read_on_series(instance_id, series_id, orthanc)
        places = places_of(target, orthanc)
        with refused_as(SegmentationUnreadableError):
            slices = displayed_order(places)
        matrix = _matrix_of(slices, orthanc)
        return _as_masks(place_frames(seg, slices, matrix, segment=segment))

    key = cache_key("frames", instance_id, series_id or "", segment or "")
    return shared(key, make, size=lambda frames: sum(len(one["mask_base64"]) for one in frames))


def read_on_series(
    instance_id: str, series_id: str | None, orthanc: Orthanc
) -> tuple[Segmentation, VolumeId]:
    """A SEG, and the volume to show it on; raises as :func:`load_frames`."""
    seg = read_segmentation(orthanc.instance_file(instance_id))
    given = volume_id_of(series_id or "")
    if given is not None:
        return seg, given
    reference = orthanc_id(seg.patient_id, seg.study_uid, reference_series(seg))
    return seg, volume_under(seg, reference, orthanc)


def reference_series(seg: Segmentation) -> str:
    """UID of the series that the frames lie on, as far as the SEG names one.

    It is the series with the most source images; a SEG made from several series names
    them all.

    Raises
    ------
    SegmentationUnreadableError
        ``no-reference``: it names no series.
    """
    if not seg.referenced_series:
        raise SegmentationUnreadableError(
            "The segmentation does not name the series that it was made on.",
            code="no-reference",
            remedy="Name the series with ?series=<Orthanc id>.",
        )
    sources = {uid for frame in seg.frames for uid, _ in frame.sources}
    # On a tie, max keeps the first series that the SEG names.
    return max(
        seg.referenced_series, key=lambda series: len(seg.referenced_series[series] & sources)
    )


def _matrix_of(slices: DisplayedSlices, orthanc: Orthanc) -> tuple[int, int]:
    """Rows and columns by the tags of a slice, whatever its pixels are; 0 where it has none."""
    tags = orthanc.tags(slices.instances[0].orthanc_id)
    try:
        return int(tags["Rows"]), int(tags["Columns"])
    except (KeyError, TypeError, ValueError):
        return 0, 0


def _as_masks(placed: Sequence[PlacedFrame]) -> Frames:
    by_slice: dict[int, list[SegFrame]] = {}
    for index, frame in placed:
        by_slice.setdefault(index, []).append(frame)
    return [
        {"index": index, "mask_base64": _png(_union(by_slice[index]))} for index in sorted(by_slice)
    ]


def _union(frames: Sequence[SegFrame]) -> NDArray[np.bool_]:
    """Union of the frames' masks; two of them are spread out at a time."""
    union = frames[0].mask
    for frame in frames[1:]:
        union |= frame.mask
    return union


def _png(mask: NDArray[np.bool_]) -> str:
    """8 bits a pixel, 0 or 255 (PNG 11.2.2, 11.2.4); a mask needs none of the usual filters."""
    rows, columns = mask.shape
    lines = np.zeros((rows, 1 + columns), np.uint8)
    lines[:, 1:][mask] = 255
    header = struct.pack(">LLBBBBB", columns, rows, 8, 0, 0, 0, 0)
    # Runs of one value: as small as with the defaults, in a quarter of the time.
    deflate = zlib.compressobj(1, strategy=zlib.Z_RLE)
    data = deflate.compress(lines.tobytes()) + deflate.flush()
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    file = _PNG_SIGNATURE + b"".join(_chunk(name, data) for name, data in chunks)
    return base64.b64encode(file).decode("ascii")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))
