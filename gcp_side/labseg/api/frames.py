"""A SEG as masks on the displayed slices."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from gcp_side.labseg.api.base import LabsegView
from gcp_side.labseg.errors import SegmentationUnreadableError
from gcp_side.labseg.orthanc import client
from gcp_side.labseg.viewer.frames import load_frames


class SegmentationFrames(LabsegView):
    """``GET …/instances/<seg_instance_id>/frames/[?series=<id>][&segment=<number>]``."""

    def get(self, request: Request, seg_instance_id: str) -> Response:
        """The masks, by slice in the displayed order of the series."""
        frames = load_frames(
            seg_instance_id,
            series_id=request.query_params.get("series"),
            segment=_segment(request.query_params.get("segment")),
            orthanc=client.connect(),
        )
        return Response({"success": True, "num_frames": len(frames), "frames": frames})


def _segment(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= len(text) <= 5:
        raise SegmentationUnreadableError("segment is not a number.", code="no-such-segment")
    return int(text)
