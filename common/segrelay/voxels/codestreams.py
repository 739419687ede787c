"""Compressed frames: found among fragments, measured before they are decoded, decoded.

A codestream declares its own size and precision. These are compared with the image's attributes
first: decoders take memory by what the codestream says.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames

from segrelay.dicom.transfer_syntaxes import CODECS, Codec, syntax_name
from segrelay.errors import SeriesRefusedError
from segrelay.voxels.bounds import check_decoded_size
from segrelay.voxels.pixel_form import PixelForm

_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
"""Markers of JPEG (T.81 table B.1) and of JPEG-LS (T.87 table C.1)."""
_END_OF_IMAGE = b"\xff\xd9"
_SOC_AND_SIZ = b"\xff\x4f\xff\x51"
_RLE_HEADER = struct.Struct("<16L")
_RLE_EXCESS = 256
"""Bytes that a segment may hold beyond its image; some writers pad the image before it is coded."""


class Sign(Enum):
    """Whether the highest bit of a sample is a sign, where it has fewer bits than Bits Stored."""

    YES = "yes"
    """The codestream says so: JPEG 2000."""
    NO = "no"
    """Samples of JPEG and of RLE are never negative."""
    UNCLEAR = "unclear"
    """Writers of JPEG-LS, and of unsigned JPEG 2000, differ."""


class _Measures(NamedTuple):
    """Header of a codestream."""

    rows: int
    columns: int
    samples: int
    precision: int
    """Bits of a sample."""
    body: int
    """Where the compressed samples begin."""
    is_signed: bool = False


class CodedFrame(NamedTuple):
    """One decoded frame, its samples as bit patterns."""

    samples: NDArray[Any]
    """[rows, columns] unsigned; nothing is set above ``precision`` bits."""
    precision: int
    sign: Sign


def decode_frames(dataset: Dataset, form: PixelForm) -> Iterator[CodedFrame]:
    """Decode the frames of compressed Pixel Data one after the other.

    Each may lie in several fragments (PS3.5 A.4).

    Raises
    ------
    SeriesRefusedError
        ``compressed-unreadable``: another transfer syntax, or a damaged or contradicting
        codestream; ``image-too-large``.
    """
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    codec = CODECS.get(syntax)
    if codec is None:
        raise _undecodable(syntax)
    decode = _DECODERS[codec]
    check_decoded_size(
        frames=form.frames, rows=form.rows, columns=form.columns, bits=form.allocated
    )
    try:
        found = 0
        for codestream in _frames(dataset, form):
            found += 1
            yield decode(codestream, form)
        if found != form.frames:
            raise ValueError("another number of frames than declared")
    except SeriesRefusedError:
        raise
    except Exception:
        # Each library has errors of its own, and some quote the bytes.
        raise _undecodable(syntax) from None


def _frames(dataset: Dataset, form: PixelForm) -> Iterator[bytes]:
    offsets, lengths = (
        dataset.get(keyword) for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
    )
    return generate_frames(
        dataset.PixelData,
        number_of_frames=form.frames,
        extended_offsets=(offsets, lengths) if offsets and lengths else None,
    )


def _undecodable(syntax: str) -> SeriesRefusedError:
    return SeriesRefusedError(
        f"The pixel data cannot be decoded ({syntax_name(syntax)}).",
        code="compressed-unreadable",
        remedy="Let Orthanc store or transcode the series as Explicit VR Little Endian.",
    )


def _codecs() -> Any:
    """The library, imported with the first compressed image: most series have none."""
    import imagecodecs

    return imagecodecs


def _check_measures(found: _Measures, form: PixelForm) -> None:
    if (found.rows, found.columns, found.samples) != (form.rows, form.columns, 1):
        raise ValueError("a codestream of another size than the image")
    if not 1 <= found.precision <= form.allocated:
        raise ValueError("a codestream of more bits than a voxel's cell")


def _decode_jpeg(codestream: bytes, form: PixelForm) -> CodedFrame:
    return _decode_marked(codestream, form, _codecs().jpeg8_decode, Sign.NO)


def _decode_jpeg_ls(codestream: bytes, form: PixelForm) -> CodedFrame:
    return _decode_marked(codestream, form, _codecs().jpegls_decode, Sign.UNCLEAR)


def _decode_marked(
    codestream: bytes,
    form: PixelForm,
    decode: Callable[[bytes], NDArray[Any]],
    sign: Sign,
) -> CodedFrame:
    measures = _measure_jpeg(codestream)
    _check_measures(measures, form)
    # Within compressed samples no marker can occur. Without this one the stream is cut off,
    # and decoders fill what is missing with grey.
    if codestream.find(_END_OF_IMAGE, measures.body) < 0:
        raise ValueError("a codestream that is cut off")
    return _as_patterns(decode(codestream), measures.precision, form, sign)


def _decode_jpeg_2000(codestream: bytes, form: PixelForm) -> CodedFrame:
    measures = _measure_jpeg_2000(codestream)
    _check_measures(measures, form)
    samples = _codecs().jpeg2k_decode(codestream[measures.body :])
    sign = Sign.YES if measures.is_signed else Sign.UNCLEAR
    return _as_patterns(samples, measures.precision, form, sign)


def _decode_rle(codestream: bytes, form: PixelForm) -> CodedFrame:
    """Decode a frame: an RLE segment is one byte plane, the highest byte first (PS3.5 G.2)."""
    size = form.allocated // 8
    count, *offsets = _RLE_HEADER.unpack_from(codestream)
    ends = [*offsets[1:size], len(codestream)]
    if count != size or any(e < s for s, e in zip(offsets[:size], ends, strict=True)):
        raise ValueError("another number of segments than bytes in a voxel")
    planes = np.empty((form.rows * form.columns, size), dtype=np.uint8)
    for place, (start, end) in enumerate(zip(offsets[:size], ends, strict=True)):
        unpacked = _codecs().packbits_decode(codestream[start:end], out=len(planes) + _RLE_EXCESS)
        if len(unpacked) < len(planes):
            raise ValueError("a segment that is cut off")
        planes[:, size - 1 - place] = np.frombuffer(unpacked, np.uint8)[: len(planes)]
    samples = planes.view(f"<u{size}").reshape(form.rows, form.columns)
    return CodedFrame(samples, form.allocated, Sign.NO)


def _as_patterns(samples: NDArray[Any], precision: int, form: PixelForm, sign: Sign) -> CodedFrame:
    if samples.shape != (form.rows, form.columns):
        raise ValueError("a frame of another size than the image")
    patterns = samples.view(f"u{samples.dtype.itemsize}")
    if precision < 8 * samples.dtype.itemsize:
        patterns = patterns & patterns.dtype.type((1 << precision) - 1)
    return CodedFrame(patterns, precision, sign)


def _measure_jpeg(codestream: bytes) -> _Measures:
    """From the frame header (T.81 B.2.2), before which other segments may be."""
    if codestream[:2] != b"\xff\xd8":
        raise ValueError("no JPEG codestream")
    at = 2
    while True:
        mark, marker, length = struct.unpack_from(">BBH", codestream, at)
        if mark != 0xFF:
            raise ValueError("no marker where one must be")
        if marker == 0xFF:
            # A fill byte.
            at += 1
        elif marker in _START_OF_FRAME:
            precision, rows, columns, samples = struct.unpack_from(">BHHB", codestream, at + 4)
            return _Measures(rows, columns, samples, precision, at + 2 + length)
        else:
            at += 2 + length


def _measure_jpeg_2000(codestream: bytes) -> _Measures:
    """From image and tile size (T.800 A.5.1); a JP2 file may hold the codestream (T.800 I.5)."""
    start = 0 if codestream.startswith(_SOC_AND_SIZ) else codestream.find(_SOC_AND_SIZ)
    if start < 0:
        raise ValueError("no JPEG 2000 codestream")
    width, height, left, top = struct.unpack_from(">4L", codestream, start + 8)
    samples, precision = struct.unpack_from(">HB", codestream, start + 40)
    bits, is_signed = (precision & 0x7F) + 1, precision >= 0x80
    return _Measures(height - top, width - left, samples, bits, start, is_signed)


_DECODERS: Mapping[Codec, Callable[[bytes, PixelForm], CodedFrame]] = {
    Codec.JPEG: _decode_jpeg,
    Codec.JPEG_LS: _decode_jpeg_ls,
    Codec.JPEG_2000: _decode_jpeg_2000,
    Codec.RLE: _decode_rle,
}
