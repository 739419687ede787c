"""Declared sizes, compared with the bytes that are there and with limits before memory is taken."""

from __future__ import annotations

import math
import zlib

from segrelay.errors import SeriesRefusedError

MOST_INFLATED_BYTES = 512 * 1024 * 1024
"""Of one deflated file: an enhanced series of 500 slices of 512 by 512 has half of it."""
MOST_INFLATED_RATIO = 100
"""Images deflate to a half or a tenth. Beyond this ratio only …"""
FREELY_INFLATED_BYTES = 64 * 1024 * 1024
"""… this much is allowed in addition: masks and phantoms are small, and may be nearly empty."""

MOST_FRAME_VOXELS = 4096 * 4096
"""Of one compressed frame; an MR matrix has a quarter of it at most."""
MOST_DECODED_BYTES = 512 * 1024 * 1024
"""Of all frames of one compressed instance."""

_CHUNK = 1024 * 1024
_RAW_DEFLATE = -zlib.MAX_WBITS


def too_large(what: str) -> SeriesRefusedError:
    """The error for an image that would take more memory than any MR image."""
    return SeriesRefusedError(
        f"{what} is larger than an MR image can be.",
        code="image-too-large",
        remedy="Check the instance in Orthanc; its header may be damaged.",
    )


def pixel_bytes(*, frames: int, rows: int, columns: int, bits: int) -> int:
    """How many bytes native Pixel Data of one sample a voxel takes (PS3.5 8.1.1, 8.2).

    Parameters
    ----------
    bits:
        Bits Allocated: 1, or a multiple of 8. Single bits follow each other without a gap.

    Raises
    ------
    SeriesRefusedError
        ``unreadable-instance``: a size is not positive.
    """
    if min(frames, rows, columns, bits) < 1:
        raise SeriesRefusedError(
            "Rows, Columns, Bits Allocated or Number of Frames of an image is not positive.",
            code="unreadable-instance",
        )
    return math.ceil(frames * rows * columns * bits / 8)


def check_pixel_bytes(there: int, *, frames: int, rows: int, columns: int, bits: int) -> int:
    """Check that native Pixel Data is as long as the header says; excess bytes are allowed.

    Parameters
    ----------
    there:
        Length of Pixel Data in bytes.
    bits:
        Bits Allocated: 1, or a multiple of 8.

    Returns
    -------
    How many of the bytes belong to the image.

    Raises
    ------
    SeriesRefusedError
        ``unreadable-instance``: there are fewer, or a size is not positive.
    """
    needed = pixel_bytes(frames=frames, rows=rows, columns=columns, bits=bits)
    if there < needed:
        raise SeriesRefusedError(
            "An instance has less pixel data than its size says.", code="unreadable-instance"
        )
    return needed


def check_decoded_size(*, frames: int, rows: int, columns: int, bits: int) -> None:
    """Check that compressed Pixel Data decodes to a size that is allowed.

    Raises
    ------
    SeriesRefusedError
        ``image-too-large``, or ``unreadable-instance``: a size is not positive.
    """
    needed = pixel_bytes(frames=frames, rows=rows, columns=columns, bits=bits)
    if rows * columns > MOST_FRAME_VOXELS or needed > MOST_DECODED_BYTES:
        raise too_large("A compressed image")


def inflate(deflated: bytes) -> bytes:
    """Inflate a raw deflate stream (RFC 1951), as of a deflated dataset (PS3.5 A.5).

    Bytes behind the end of the stream are ignored. How much would come is counted first, so a
    stream that is refused takes almost no memory.

    Raises
    ------
    SeriesRefusedError
        ``image-too-large``: more than :data:`MOST_INFLATED_BYTES`, or more than
        :data:`MOST_INFLATED_RATIO` times its size and :data:`FREELY_INFLATED_BYTES`;
        ``unreadable-instance``: the stream is damaged or cut off.
    """
    most = min(MOST_INFLATED_BYTES, FREELY_INFLATED_BYTES + MOST_INFLATED_RATIO * len(deflated))
    try:
        size = _inflated_size(deflated, most)
        return zlib.decompressobj(_RAW_DEFLATE).decompress(deflated, size) if size else b""
    except zlib.error:
        raise _cut_off() from None


def _inflated_size(deflated: bytes, most: int) -> int:
    stream, size, waiting = zlib.decompressobj(_RAW_DEFLATE), 0, deflated
    while not stream.eof:
        chunk = stream.decompress(waiting, _CHUNK)
        waiting = stream.unconsumed_tail
        size += len(chunk)
        if size > most:
            raise too_large("A deflated instance")
        if not chunk and not waiting and not stream.eof:
            raise _cut_off()
    return size


def _cut_off() -> SeriesRefusedError:
    return SeriesRefusedError(
        "A deflated instance of the series is damaged or cut off.", code="unreadable-instance"
    )
