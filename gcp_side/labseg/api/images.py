"""REST endpoints of the viewer: images of a series, and a SEG laid over it.

Voxels are raw little-endian bytes, deflated on the way where the client takes it. They may be
kept by the browser alone, and are asked for again with their ETag.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from typing import ClassVar

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.utils.http import quote_etag, urlencode
from rest_framework.request import Request
from rest_framework.response import Response

from gcp_side.labseg.api.answers import FramesAnswer, GeometryAnswer, OverlayAnswer
from gcp_side.labseg.api.base import LabsegView
from gcp_side.labseg.api.framework import AnyAccept
from gcp_side.labseg.errors import SegmentationUnreadableError
from gcp_side.labseg.host.addresses import api_address
from gcp_side.labseg.orthanc import client
from gcp_side.labseg.viewer.frames import load_frames
from gcp_side.labseg.viewer.overlay import Overlay, load_overlay
from gcp_side.labseg.viewer.volumes import DeflatedVoxels, load_geometry, load_slice, load_volume

CACHE_CONTROL = "private, no-cache"
"""Only in the browser, and never used without asking whether it is still right."""

OCTETS = "application/octet-stream"

ON_SERIES = {"series": "Orthanc id of a series on the same grid; the SEG's own unless given"}
ETAG = {"ETag": "changes with the bytes; may be sent back in If-None-Match"}
VOXELS = {
    "X-Shape": "sizes, separated by commas",
    "X-Dtype": "uint16 or int16, or float32 where slices differ in scale; little-endian",
    **ETAG,
}

PIECE_BYTES = 256 * 1024
"""Of an answer that is inflated while it is sent."""

_GZIP_SIZE = struct.Struct("<L")
"""The last bytes of a gzip file (RFC 1952, ISIZE): no volume has 4 GiB."""


class SeriesGeometryView(LabsegView):
    """``GET …/series/<series_id>/geometry/``."""

    answer = GeometryAnswer

    def get(self, request: Request, series_id: str) -> Response:  # noqa: ARG002
        """Where the voxels of a series lie, and what their values mean."""
        geometry = load_geometry(series_id, client.connect())
        more = {"series_id": series_id, "instances": geometry.instances}
        return Response(self.answer({**vars(geometry), **more}).data)


class _BytesView(LabsegView):
    """Answers with bytes."""

    media_type = OCTETS
    content_negotiation_class = AnyAccept


class SeriesVolumeView(_BytesView):
    """``GET …/series/<series_id>/volume/``."""

    response_headers: ClassVar = VOXELS

    def get(self, request: Request, series_id: str) -> HttpResponseBase:
        """All voxels, [slices, rows, columns] in displayed order; deflated where the client can."""
        return _voxels(request, load_volume(series_id, client.connect()))


class SeriesSliceView(_BytesView):
    """``GET …/series/<series_id>/slices/<index>/``."""

    response_headers: ClassVar = VOXELS

    def get(self, request: Request, series_id: str, index: int) -> HttpResponseBase:
        """The voxels of one slice, [rows, columns], in the same form."""
        return _voxels(request, load_slice(series_id, index, client.connect()))


class SegmentationOverlay(LabsegView):
    """``GET …/instances/<seg_instance_id>/overlay/[?series=<id>]``."""

    answer = OverlayAnswer
    query: ClassVar = ON_SERIES

    def get(self, request: Request, seg_instance_id: str) -> Response:
        """Segments, their measures and where they lie; the labels have an address of their own."""
        overlay = _overlay(request, seg_instance_id)
        labels = api_address("labels", seg_instance_id)
        labels_url = f"{labels}?{urlencode({'series': overlay.series_id})}"
        return Response(self.answer({**vars(overlay), "labels_url": labels_url}).data)


class SegmentationLabels(_BytesView):
    """``GET …/instances/<seg_instance_id>/labels/[?series=<id>]``."""

    response_headers: ClassVar = ETAG
    query: ClassVar = ON_SERIES

    def get(self, request: Request, seg_instance_id: str) -> HttpResponseBase:
        """The segment's number of each voxel of the overlay's box, one byte each.

        0 is none; where segments overlap, it is the highest number.
        """
        overlay = _overlay(request, seg_instance_id)
        return _octets(request, overlay.labels_gzip, tag=f"{seg_instance_id}-{overlay.series_id}")


class SegmentationOverlaySlice(_BytesView):
    """``GET …/instances/<seg_instance_id>/overlay/<index>.png[?series=<id>]``."""

    media_type = "image/png"
    query: ClassVar = ON_SERIES

    def get(self, request: Request, seg_instance_id: str, index: int) -> HttpResponseBase:
        """One slice as a palette PNG: an index is a segment's number, 0 is transparent."""
        overlay = _overlay(request, seg_instance_id)
        answer = HttpResponse(overlay.png(index), content_type=self.media_type)
        answer["Cache-Control"] = CACHE_CONTROL
        return answer


class SegmentationFrames(LabsegView):
    """``GET …/instances/<seg_instance_id>/frames/[?series=<id>][&segment=<number>]``."""

    answer = FramesAnswer
    query: ClassVar = ON_SERIES | {"segment": "Segment Number"}

    def get(self, request: Request, seg_instance_id: str) -> Response:
        """The masks, by slice in the displayed order of the series."""
        frames = load_frames(
            seg_instance_id,
            series_id=request.query_params.get("series"),
            segment=_segment(request.query_params.get("segment")),
            orthanc=client.connect(),
        )
        return Response(self.answer({"num_frames": len(frames), "frames": frames}).data)


def _overlay(request: Request, seg_instance_id: str) -> Overlay:
    return load_overlay(
        seg_instance_id,
        series_id=request.query_params.get("series"),
        orthanc=client.connect(),
    )


def _voxels(request: Request, voxels: DeflatedVoxels) -> HttpResponseBase:
    answer = _octets(request, voxels.gzipped, tag=voxels.tag)
    answer["X-Shape"] = ",".join(str(size) for size in voxels.shape)
    answer["X-Dtype"] = voxels.dtype.name
    return answer


def _octets(request: Request, gzipped: bytes, *, tag: str) -> HttpResponseBase:
    takes_gzip = "gzip" in request.headers.get("Accept-Encoding", "")
    etag = quote_etag(f"{tag}-gz" if takes_gzip else tag)
    answer: HttpResponseBase | None = get_conditional_response(request._request, etag=etag)
    if answer is None:
        is_async = isinstance(request._request, ASGIRequest)
        answer = (
            HttpResponse(gzipped, content_type=OCTETS, headers={"Content-Encoding": "gzip"})
            if takes_gzip
            else _unpacked(gzipped, is_async=is_async)
        )
    # Also of an answer without a body (RFC 9110 15.4.5).
    answer["ETag"] = etag
    answer["Cache-Control"] = CACHE_CONTROL
    patch_vary_headers(answer, ["Accept-Encoding"])
    return answer


def _unpacked(gzipped: bytes, *, is_async: bool) -> HttpResponseBase:
    (size,) = _GZIP_SIZE.unpack(gzipped[-_GZIP_SIZE.size :])
    if size <= PIECE_BYTES:
        return HttpResponse(gzip.decompress(gzipped), content_type=OCTETS)
    # A volume has a hundred megabytes: no request holds all of them.
    pieces = _inflated_pieces(gzipped)
    return StreamingHttpResponse(
        # Under ASGI Django would collect all pieces of a plain iterator first.
        _one_by_one(pieces) if is_async else pieces,
        content_type=OCTETS,
        headers={"Content-Length": str(size)},
    )


def _inflated_pieces(gzipped: bytes) -> Iterator[bytes]:
    with gzip.open(BytesIO(gzipped)) as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


async def _one_by_one(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    while piece := await sync_to_async(lambda: next(pieces, b""))():
        yield piece


def _segment(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= len(text) <= 5:
        raise SegmentationUnreadableError("segment is not a number.", code="no-such-segment")
    return int(text)
