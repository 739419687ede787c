"""Other ways to the frames of a SEG; each function is what the clock is about.

Each returns how many voxels it found, counted frame by frame (or how many frames, where looking
at them would cost time that the way itself does not need), and the size of what it would send to
a page (0 where it only reads).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from io import BytesIO

import highdicom as hd
import numpy as np
import numpy.typing as npt
import pydicom
import requests
from PIL import Image

from infra.servers.orthanc import OrthancServer

Found = tuple[int, int]
Reader = Callable[[OrthancServer, str, int], Found]
"""Orthanc, the SEG's id there, and its number of frames."""

Pixels = npt.NDArray[np.uint8]

RED = (255, 64, 64)


def call_per_frame(orthanc: OrthancServer, seg_id: str, frames: int) -> Found:
    """The tags, and ``GET …/frames/N/preview`` for each: its mask as a PNG, as a page wants it."""
    with orthanc.session() as session:
        return _previews(orthanc, seg_id, frames, lambda: session)


def call_per_frame_new(orthanc: OrthancServer, seg_id: str, frames: int) -> Found:
    """The same with a new connection for each call."""
    return _previews(orthanc, seg_id, frames, orthanc.session)


def bits_per_frame(orthanc: OrthancServer, seg_id: str, frames: int) -> Found:
    """``GET …/frames/N/raw`` for each, and nothing more: bits without a place."""
    with orthanc.session() as session:
        found = 0
        for number in range(frames):
            packed = _get(session, f"{orthanc.url}/instances/{seg_id}/frames/{number}/raw")
            found += int.from_bytes(packed, "little").bit_count()
    return found, 0


def _previews(
    orthanc: OrthancServer, seg_id: str, frames: int, connect: Callable[[], requests.Session]
) -> Found:
    address = f"{orthanc.url}/instances/{seg_id}"
    groups = json.loads(_get(connect(), f"{address}/simplified-tags"))[
        "PerFrameFunctionalGroupsSequence"
    ]
    masks = [
        {
            "position": groups[number]["PlanePositionSequence"][0]["ImagePositionPatient"],
            "mask_base64": base64.b64encode(
                _get(connect(), f"{address}/frames/{number}/preview")
            ).decode("ascii"),
        }
        for number in range(frames)
    ]
    return frames, len(json.dumps({"success": True, "frames": masks}))


def _get(session: requests.Session, address: str) -> bytes:
    answer = session.get(address)
    answer.raise_for_status()
    return answer.content


def rgba_json(orthanc: OrthancServer, seg_id: str, frames: int) -> Found:
    """One file, pydicom, and a coloured PNG with alpha for every slice, in JSON."""
    seg = pydicom.dcmread(BytesIO(_file(orthanc, seg_id)))
    pixels = seg.pixel_array.reshape(frames, seg.Rows, seg.Columns)
    slices: dict[float, Pixels] = {}
    for group, frame in zip(seg.PerFrameFunctionalGroupsSequence, pixels, strict=True):
        place = float(group.PlanePositionSequence[0].ImagePositionPatient[2])
        slices[place] = slices.get(place, np.zeros_like(frame)) | frame
    images = [_rgba(slices[place]) for place in sorted(slices)]
    text = json.dumps({"success": True, "frames": images})
    return int(np.count_nonzero(pixels)), len(text)


def _rgba(mask: Pixels) -> str:
    coloured = np.zeros((*mask.shape, 4), np.uint8)
    coloured[mask > 0] = (*RED, 128)
    buffer = BytesIO()
    Image.fromarray(coloured).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def highdicom_reader(orthanc: OrthancServer, seg_id: str, frames: int) -> Found:  # noqa: ARG001
    """One file, and highdicom's arrays by source image: all it takes to place the frames."""
    seg = hd.seg.segread(BytesIO(_file(orthanc, seg_id)))
    sources = [uid for _, _, uid in seg.get_source_image_uids()]
    pixels = seg.get_pixels_by_source_instance(sources, assert_missing_frames_are_empty=True)
    return int(np.count_nonzero(pixels)), 0


def _file(orthanc: OrthancServer, seg_id: str) -> bytes:
    with orthanc.session() as session:
        return _get(session, f"{orthanc.url}/instances/{seg_id}/file")


OTHERS: dict[str, Reader] = {
    "calls": call_per_frame,
    "calls-new": call_per_frame_new,
    "bits": bits_per_frame,
    "rgba": rgba_json,
    "highdicom": highdicom_reader,
}
