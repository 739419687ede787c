"""Files whose pixels were compressed by programs that nobody here wrote.

dcmtk, GDCM and OpenJPH come from Debian and run as processes; CharLS runs through pydicom. Where
they cannot be fetched, a test that asks for them is skipped.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from highdicom.frame import encode_frame
from numpy.typing import NDArray
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import UID

from infra.encodings.cases import SEED, SLICES, Encoding, make_files
from infra.packages.debian import codec_programs
from segrelay.errors import FixConfigurationError

LIMIT_S = 60
ROWS, COLUMNS = 26, 34
RLE = "1.2.840.10008.1.2.5"

Make = Callable[[Path, Path], None]
"""From an uncompressed file to a compressed one."""


@dataclass(frozen=True)
class Encoder:
    """A program with certain options."""

    syntax: str
    """The transfer syntax that it writes."""
    make: Make
    is_variant: bool = False
    """The same program and syntax with other options: compared by the long tests alone."""
    is_unsigned_only: bool = False
    """It takes no signed values."""


def _programs() -> tuple[Mapping[str, Path], Mapping[str, str]]:
    try:
        return codec_programs()
    except FixConfigurationError as error:
        pytest.skip(f"dcmtk, GDCM and OpenJPH cannot be had here: {error.message}")


def run(program: str, *words: str | Path) -> None:
    """Run a program of dcmtk, GDCM or OpenJPH; skips the test where there is none."""
    programs, environment = _programs()
    done = subprocess.run(
        [str(programs[program]), *map(str, words)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, f"{program} {words}: {done.stdout}{done.stderr}"


def by(program: str, *options: str) -> Make:
    """A program that takes its options, the original and the result."""
    return lambda source, target: run(program, *options, source, target)


def by_openjph(syntax: str, *options: str) -> Make:
    """OpenJPH: frame by frame, from a PGM of the cells."""

    def make(source: Path, target: Path) -> None:
        dataset = pydicom.dcmread(source)
        frames = _cells(dataset)
        streams = []
        for frame in frames:
            image, stream = target.with_suffix(".pgm"), target.with_suffix(".j2c")
            most = (1 << dataset.BitsStored) - 1
            head = f"P5\n{frame.shape[1]} {frame.shape[0]}\n{most}\n".encode()
            kind = "u1" if most < 256 else ">u2"
            image.write_bytes(head + frame.astype(kind).tobytes())
            run("ojph_compress", "-i", image, "-o", stream, *options)
            streams.append(stream.read_bytes())
            image.unlink()
            stream.unlink()
        write_frames(dataset, streams, syntax, target)

    return make


def by_highdicom(syntax: str) -> Make:
    """highdicom: JPEG-LS by CharLS, RLE by pydicom; with an Extended Offset Table."""

    def make(source: Path, target: Path) -> None:
        dataset = pydicom.dcmread(source)
        streams = [
            encode_frame(
                frame,
                transfer_syntax_uid=syntax,
                bits_allocated=dataset.BitsAllocated,
                bits_stored=dataset.BitsAllocated,
                photometric_interpretation="MONOCHROME2",
                pixel_representation=dataset.PixelRepresentation,
            )
            for frame in dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
        ]
        write_frames(dataset, streams, syntax, target, has_extended_table=True)

    return make


def write_frames(
    dataset: pydicom.Dataset,
    streams: Sequence[bytes],
    syntax: str,
    target: Path,
    *,
    has_extended_table: bool = False,
) -> None:
    """Put codestreams, one for each frame, into the place of Pixel Data, and write the file."""
    if has_extended_table:
        pixels, offsets, lengths = encapsulate_extended(list(streams))
        dataset.PixelData = pixels
        dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = offsets, lengths
    else:
        dataset.PixelData = encapsulate(list(streams))
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.save_as(target, implicit_vr=False, little_endian=True)


def decoded_by(program: str, *options: str) -> Callable[[Path], NDArray[Any]]:
    """A program that decodes a file: [frames, rows, columns] as stored."""

    def read(path: Path) -> NDArray[Any]:
        plain = path.with_suffix(".plain")
        run(program, *options, path, plain)
        dataset = pydicom.dcmread(plain)
        plain.unlink()
        return np.asarray(dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns))

    return read


def decoded_by_openjph(path: Path) -> NDArray[Any]:
    """OpenJPH: [frames, rows, columns] unsigned, as stored."""
    dataset = pydicom.dcmread(path)
    frames = []
    count = int(dataset.get("NumberOfFrames") or 1)
    for stream in generate_frames(dataset.PixelData, number_of_frames=count):
        coded, image = path.with_suffix(".j2c"), path.with_suffix(".pgm")
        coded.write_bytes(stream)
        run("ojph_expand", "-i", coded, "-o", image)
        samples = image.read_bytes()[-2 * dataset.Rows * dataset.Columns :]
        frames.append(np.frombuffer(samples, ">u2").reshape(dataset.Rows, dataset.Columns))
    return np.stack(frames)


def originals(
    folder: Path, form: Encoding, voxels: NDArray[np.int64] | None = None
) -> tuple[list[Path], NDArray[np.int64]]:
    """Uncompressed files of a series in slice order, and its voxels, [slices, rows, columns].

    The voxels are a slope with noise, from the lowest to the highest value, unless given.
    """
    truth = _slope(form) if voxels is None else voxels
    cells = (truth & ((1 << form.stored) - 1)).astype(f"<u{form.allocated // 8}")
    paths = []
    for index, data in enumerate(make_files(form)):
        dataset = pydicom.dcmread(BytesIO(data))
        dataset.Rows, dataset.Columns = truth.shape[1:]
        dataset.PixelData = (cells if form.is_multi_frame else cells[index]).tobytes()
        dataset["PixelData"].VR = "OB" if form.allocated == 8 else "OW"
        paths.append(folder / f"{index}.native")
        dataset.save_as(paths[-1], enforce_file_format=True)
    return paths, truth


def _slope(form: Encoding) -> NDArray[np.int64]:
    low, high = form.limits
    ramp = np.add.outer(np.arange(SLICES) * 7, np.add.outer(np.arange(ROWS), np.arange(COLUMNS)))
    noise = np.random.default_rng(SEED).integers(0, 1 + (high - low) // 50, ramp.shape)
    values = low + ramp * (high - low) // ramp.max() + noise
    values = np.clip(values, low, high)
    # Encoders choose a precision by what they see in a frame: both ends are in each.
    values[:, 0, 0], values[:, -1, -1] = low, high
    return np.asarray(values, dtype=np.int64)


def _cells(dataset: pydicom.Dataset) -> NDArray[Any]:
    kind = f"<u{dataset.BitsAllocated // 8}"
    size = int(dataset.get("NumberOfFrames") or 1) * dataset.Rows * dataset.Columns
    cells = np.frombuffer(dataset.PixelData, kind, count=size)
    return cells.reshape(-1, dataset.Rows, dataset.Columns)


_J = "1.2.840.10008.1.2.4."

LOSSLESS: Mapping[str, Encoder] = {
    "dcmtk JPEG Lossless": Encoder(f"{_J}57", by("dcmcjpeg", "+el", "+tl")),
    **{
        f"dcmtk JPEG Lossless, predictor {value}": Encoder(
            f"{_J}57", by("dcmcjpeg", "+el", "+tl", "+sv", str(value)), is_variant=True
        )
        for value in range(1, 8)
    },
    "dcmtk JPEG Lossless SV1": Encoder(f"{_J}70", by("dcmcjpeg", "+e1", "+tl")),
    "dcmtk JPEG Lossless SV1, fragments, no table": Encoder(
        f"{_J}70", by("dcmcjpeg", "+e1", "+tl", "-ot", "+fs", "1"), is_variant=True
    ),
    "dcmtk JPEG-LS": Encoder(f"{_J}80", by("dcmcjpls", "+el")),
    "dcmtk JPEG-LS, fragments, no table": Encoder(
        f"{_J}80", by("dcmcjpls", "+el", "-ot", "+fs", "1"), is_variant=True
    ),
    "dcmtk RLE": Encoder(RLE, by("dcmcrle")),
    "dcmtk deflated": Encoder("1.2.840.10008.1.2.1.99", by("dcmconv", "+td")),
    "dcmtk big endian": Encoder("1.2.840.10008.1.2.2", by("dcmconv", "+tb")),
    "dcmtk implicit": Encoder("1.2.840.10008.1.2", by("dcmconv", "+ti"), is_variant=True),
    "GDCM JPEG Lossless": Encoder(f"{_J}70", by("gdcmconv", "-J")),
    "GDCM JPEG-LS": Encoder(f"{_J}80", by("gdcmconv", "-L")),
    "GDCM JPEG 2000": Encoder(f"{_J}90", by("gdcmconv", "-K")),
    "GDCM RLE": Encoder(RLE, by("gdcmconv", "-R")),
    "OpenJPH": Encoder(f"{_J}201", by_openjph(f"{_J}201", "-reversible", "true")),
    "OpenJPH RPCL": Encoder(
        f"{_J}202", by_openjph(f"{_J}202", "-reversible", "true", "-prog_order", "RPCL")
    ),
    "highdicom JPEG-LS": Encoder(f"{_J}80", by_highdicom(f"{_J}80"), is_unsigned_only=True),
    "highdicom RLE": Encoder(RLE, by_highdicom(RLE), is_variant=True),
}
"""By a name for tests."""
