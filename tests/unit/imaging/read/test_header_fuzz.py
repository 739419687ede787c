"""Every attribute that is read, with values of every odd form, on both sides.

The result is right, or an error of ours, or a value is left out: never another exception, and
never the value in what is said.
"""

from __future__ import annotations

import random
import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from gcp_side.labseg.dicom.pixels import TAGS as SITE_TAGS
from gcp_side.labseg.dicom.pixels import read_slices
from lab_side.imaging.notices import header_warnings
from lab_side.imaging.read.enhanced import _TELLS_APART
from lab_side.imaging.read.instance import _KEYWORDS
from lab_side.imaging.read.roles import _MOMENTS
from lab_side.imaging.read.series import read_series
from segrelay.dicom.functional_groups import AS_CLASSIC
from segrelay.errors import SegRelayError
from tests.conftest import SEED
from tests.support.dicom.dicom_series import make_affine, write_series
from tests.support.dicom.enhanced_series import write_enhanced
from tests.support.dicom.raw_values import plant
from tests.unit.imaging.read.test_headers import SHAPE, made

Case = tuple[str, bytes, str]
"""Keyword, value, and value representation; empty: the dictionary's."""

PIXEL_DATA = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")

KEYWORDS = sorted({*_KEYWORDS, *map(str, SITE_TAGS)} - {*PIXEL_DATA})

MARK = "Zebrafinch"

VALUES = (
    b"",
    b" ",
    b"\0\0",
    b"\\",
    b"\\\\\\\\\\\\",
    b"0",
    b"-1",
    b"1,5",
    b"1,000",
    b"1.5\\2,5\\3.5",
    b"1e999\\nan",
    b"99999999999999999999999999",
    b"0.99999999999999999999999",
    MARK.encode(),
    MARK.encode() * 30,
    b"Zebrafinch\\" * 3,
    b"1\\Zebrafinch",
    b"\xff\xfeZebrafinch\xb1\xe8",
    b"\x1b$)CZebrafinch\x1b",
    struct.pack("<d", float("nan")),
    struct.pack("<d", 1e300),
    struct.pack("<H", 0),
    struct.pack("<H", 65535),
    struct.pack("<3H", 1, 2, 3),
    b"\xfe\xff\x00\xe0\xff\xff\xff\xff",
    b"\xfe\xff\x00\xe0\x08\x00\x00\x00Zebrafin",
)
"""What scanners, converters and de-identification tools write, and what no tool writes."""

REPRESENTATIONS = ("", "UN", "UT", "LO", "OB", "US", "FD", "SQ", "DS", "AT", "PN")
"""Value representations of an explicit file; empty: that of the dictionary."""


QUICK = 60
"""Cases of a usual run, drawn by its seed; all of them take a quarter of an hour."""


def classic(folder: Path, *, is_implicit: bool) -> dict[str, bytes]:
    """By name, the files of a small series."""
    paths = write_series(folder, np.full(SHAPE, 100, dtype=np.uint16), make_affine())
    for path in paths if is_implicit else ():
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        dataset.save_as(path, implicit_vr=True, little_endian=True)
    return {path.name: path.read_bytes() for path in paths}


def outcome(paths: list[Path], *, is_written: bool) -> list[str]:
    """What is said of these files; whatever is no error of ours is not caught."""
    said: list[str] = []
    try:
        volume = read_series(paths)
        for _, moment in _MOMENTS:
            moment(volume.headers[0])
        said += [item.text for item in header_warnings([volume])]
        if is_written:
            made(volume)
    except SegRelayError as error:
        said += [error.message, error.remedy]
    try:
        read_slices(paths[0].read_bytes())
    except SegRelayError as error:
        said += [error.message, error.remedy]
    return said


def check(folder: Path, files: dict[str, bytes], case: Case, *, is_written: bool) -> None:
    keyword, value, vr = case
    paths = []
    for name, data in files.items():
        path = folder / name
        path.write_bytes(data)
        plant(path, {keyword: (vr or dictionary_VR(keyword).split()[0], value)})
        paths.append(path)
    try:
        said = outcome(paths, is_written=is_written)
    except Exception as error:
        pytest.fail(f"{keyword} as {vr or 'usual'} with {value!r}: {type(error).__name__}")
    assert not [text for text in said if MARK.casefold() in text.casefold()], case


EXPLICIT = [(k, v, vr) for k in KEYWORDS for v in VALUES for vr in REPRESENTATIONS]
IMPLICIT = [(k, v, "") for k in KEYWORDS for v in VALUES]


@pytest.mark.parametrize("is_implicit", [False, True])
def test_any_value_is_read_refused_by_us_or_left_out(tmp_path: Path, is_implicit: bool) -> None:
    files = classic(tmp_path, is_implicit=is_implicit)
    cases = IMPLICIT if is_implicit else EXPLICIT
    for number, case in enumerate(random.Random(SEED).sample(cases, QUICK)):
        # Writing takes most of the time, so a few cases stand for it.
        check(tmp_path, files, case, is_written=number % 20 == 0)


@pytest.mark.long
@pytest.mark.parametrize("keyword", KEYWORDS)
def test_every_odd_value_of_every_attribute(tmp_path: Path, keyword: str) -> None:
    for is_implicit, cases in ((False, EXPLICIT), (True, IMPLICIT)):
        files = classic(tmp_path / str(is_implicit), is_implicit=is_implicit)
        for case in cases:
            if case[0] == keyword:
                check(tmp_path, files, case, is_written=not case[2])


NESTED = sorted(
    {(sequence, keyword) for sequence, keyword, _ in AS_CLASSIC}
    | {(sequence, keywords[0]) for _, sequence, keywords in _TELLS_APART if len(keywords) == 1}
)


@pytest.mark.parametrize(("sequence", "keyword"), NESTED)
def test_odd_values_of_functional_groups(tmp_path: Path, sequence: str, keyword: str) -> None:
    for number, value in enumerate(("1,5", MARK, "1\\2\\3\\4", "nan", "")):

        def odd(group: Dataset, _: int, value: str = value) -> None:
            if sequence not in group:
                setattr(group, sequence, [Dataset()])
            item = getattr(group, sequence)[0]
            item.pop(keyword, None)
            item.add_new(keyword, "UT", value)

        paths = write_enhanced(
            tmp_path / str(number),
            np.full(SHAPE, 100, dtype=np.uint16),
            make_affine(),
            shared=(),
            edit_frame=odd,
        )
        for text in outcome(paths, is_written=False):
            assert MARK not in text
