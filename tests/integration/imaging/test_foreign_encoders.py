"""Files compressed by other programs are read voxel for voxel, by the lab and by the site."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian

from infra.encodings.cases import Encoding
from infra.encodings.readers import READERS
from tests.support.dicom.foreign_encoders import (
    LOSSLESS,
    Encoder,
    by,
    decoded_by,
    originals,
)

BITS = ((8, 8), (16, 12), (16, 16))
"""Bits Allocated and Bits Stored."""


def form(allocated: int, stored: int, *, is_signed: bool, is_multi_frame: bool) -> Encoding:
    return Encoding(
        syntax=ExplicitVRLittleEndian,
        allocated=allocated,
        stored=stored,
        high_bit=stored - 1,
        is_signed=is_signed,
        is_multi_frame=is_multi_frame,
        is_whole_cell=False,
    )


QUICK = (
    form(16, 12, is_signed=True, is_multi_frame=True),
    form(16, 16, is_signed=False, is_multi_frame=False),
)
FORMS = tuple(
    form(*bits, is_signed=is_signed, is_multi_frame=is_multi_frame)
    for bits, is_signed, is_multi_frame in itertools.product(BITS, (False, True), (False, True))
)


def compress(sources: list[Path], encoder: Encoder) -> list[Path]:
    """The compressed files, and a check that they are of the syntax."""
    targets = [source.with_suffix(".dcm") for source in sources]
    for source, target in zip(sources, targets, strict=True):
        encoder.make(source, target)
        assert pydicom.dcmread(target).file_meta.TransferSyntaxUID == encoder.syntax
    return targets


def check_both_sides(paths: list[Path], truth: NDArray[Any]) -> None:
    for side in ("lab", "site"):
        found = READERS[side](paths)
        assert not isinstance(found, str), f"{side}: {found}"
        np.testing.assert_array_equal(found, truth, err_msg=side)


def check(folder: Path, encoder: Encoder, encoding: Encoding) -> None:
    sources, truth = originals(folder, encoding)
    check_both_sides(compress(sources, encoder), truth)


@pytest.mark.parametrize("name", [name for name, one in LOSSLESS.items() if not one.is_variant])
def test_what_another_program_compressed_is_read_exactly(tmp_path: Path, name: str) -> None:
    for number, encoding in enumerate(QUICK):
        if encoding.is_signed and LOSSLESS[name].is_unsigned_only:
            continue
        (tmp_path / str(number)).mkdir()
        check(tmp_path / str(number), LOSSLESS[name], encoding)


@pytest.mark.long
@pytest.mark.parametrize("encoding", FORMS, ids=lambda encoding: encoding.name)
@pytest.mark.parametrize("name", LOSSLESS)
def test_of_every_depth_and_sign_and_with_every_option(
    tmp_path: Path, name: str, encoding: Encoding
) -> None:
    if encoding.is_signed and LOSSLESS[name].is_unsigned_only:
        pytest.skip("the program takes no signed values")
    check(tmp_path, LOSSLESS[name], encoding)


_J = "1.2.840.10008.1.2.4."
LOSSY = {
    # As many bits as are stored; the identifiers stay.
    "dcmtk JPEG Baseline": (
        Encoder(f"{_J}50", by("dcmcjpeg", "+eb", "+un", "+be")),
        decoded_by("dcmdjpeg"),
    ),
    "dcmtk JPEG Extended": (
        Encoder(f"{_J}51", by("dcmcjpeg", "+ee", "+un", "+bt")),
        decoded_by("dcmdjpeg"),
    ),
    "dcmtk JPEG-LS Near-Lossless": (
        Encoder(f"{_J}81", by("dcmcjpls", "+en", "+md", "3", "+un")),
        decoded_by("dcmdjpls"),
    ),
    "GDCM JPEG 2000": (
        Encoder(f"{_J}91", by("gdcmconv", "-K", "-Y", "--irreversible")),
        decoded_by("gdcmconv", "--raw"),
    ),
}
OFF_BY = {"GDCM JPEG 2000": 1}
"""Of the highest difference to the decoder of the same program; else none."""


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_pixels_are_those_that_the_program_itself_decodes(tmp_path: Path, name: str) -> None:
    encoder, decode = LOSSY[name]
    for number, is_multi_frame in enumerate((False, True)):
        folder = tmp_path / str(number)
        folder.mkdir()
        encoding = form(16, 12, is_signed=False, is_multi_frame=is_multi_frame)
        sources, truth = originals(folder, encoding)
        paths = compress(sources, encoder)
        decoded = np.concatenate([decode(path) for path in paths])
        assert np.abs(decoded - truth).max() > 0
        for side in ("lab", "site"):
            found = READERS[side](paths)
            assert not isinstance(found, str), f"{side}: {found}"
            assert np.abs(found - decoded.astype(int)).max() <= OFF_BY.get(name, 0), side
