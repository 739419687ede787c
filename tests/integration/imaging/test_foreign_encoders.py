"""Files compressed by other programs are read voxel for voxel, by the lab and by the site."""

from __future__ import annotations

import itertools
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.encaps import generate_frames, parse_fragments
from pydicom.uid import ExplicitVRLittleEndian

from infra.encodings.cases import Encoding
from infra.encodings.readers import READERS
from lab_side.imaging.read.series import read_series
from segrelay.dicom.transfer_syntaxes import CODECS
from tests.support.dicom.foreign_encoders import (
    LOSSLESS,
    Encoder,
    by,
    by_openjph,
    decoded_by,
    decoded_by_openjph,
    originals,
    write_frames,
)
from tests.support.dicom.imaging_cases import real_file

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


COMPRESSED = [
    name
    for name, one in LOSSLESS.items()
    if not one.is_variant and one.syntax in CODECS and "highdicom" not in name
]


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_frame_that_is_cut_off_is_refused_and_never_filled_up(tmp_path: Path, name: str) -> None:
    encoding = form(16, 12, is_signed=False, is_multi_frame=False)
    sources, _ = originals(tmp_path, encoding)
    paths = compress(sources, LOSSLESS[name])
    dataset = pydicom.dcmread(paths[1])
    (whole,) = generate_frames(dataset.PixelData, number_of_frames=1)
    for kept in (40, len(whole) // 2, len(whole) - 20):
        write_frames(dataset, [whole[:kept]], LOSSLESS[name].syntax, paths[1])
        assert READERS["lab"](paths) == "compressed-unreadable"
        assert READERS["site"](paths) == "compressed"


@pytest.mark.parametrize("name", ["dcmtk JPEG Lossless", "dcmtk JPEG-LS", "dcmtk RLE"])
@pytest.mark.parametrize("is_signed", [False, True], ids=["unsigned", "signed"])
def test_an_overlay_in_the_unused_bits_is_no_part_of_the_image(
    tmp_path: Path, name: str, is_signed: bool
) -> None:
    encoding = form(16, 12, is_signed=is_signed, is_multi_frame=False)
    sources, truth = originals(tmp_path, encoding)
    for path in sources:
        dataset = pydicom.dcmread(path)
        cells = np.frombuffer(dataset.PixelData, "<u2").copy()
        cells[::3] |= 1 << 13
        dataset.PixelData = cells.tobytes()
        # As it was written until 2004: one bit of each cell (PS3.3 C.9.2, retired).
        dataset.add_new(0x60000010, "US", dataset.Rows)
        dataset.add_new(0x60000011, "US", dataset.Columns)
        dataset.add_new(0x60000040, "CS", "G")
        dataset.add_new(0x60000050, "SS", [1, 1])
        dataset.add_new(0x60000100, "US", 16)
        dataset.add_new(0x60000102, "US", 13)
        dataset.save_as(path)
    check_both_sides(sources, truth)
    check_both_sides(compress(sources, LOSSLESS[name]), truth)


@pytest.mark.parametrize("name", ["dcmtk JPEG Lossless", "dcmtk JPEG-LS", "GDCM JPEG 2000"])
def test_colour_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    sources, _ = originals(tmp_path, form(8, 8, is_signed=False, is_multi_frame=False))
    for path in sources:
        dataset = pydicom.dcmread(path)
        dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
        dataset.PhotometricInterpretation = "RGB"
        dataset.PixelData = dataset.PixelData * 3
        dataset.save_as(path)
    paths = compress(sources, LOSSLESS[name])
    assert READERS["lab"](paths) == READERS["site"](paths) == "not-greyscale"


@pytest.fixture(scope="module")
def fragmented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Siemens series of 96 images, each in several fragments, in two ways of compression."""
    folder = tmp_path_factory.mktemp("fragmented")
    with tarfile.open(real_file("real-mr", "dicom-jpeg-fragmented.tar.xz")) as archive:
        archive.extractall(folder, filter="data")
    return folder


def test_a_scanners_own_fragments_are_read_as_gdcm_reads_them(
    fragmented: Path, tmp_path: Path
) -> None:
    """One series as JPEG Lossless, one as JPEG 2000."""
    for series in sorted(fragmented.rglob("*_anat*")):
        # Enough of them to see one misplaced fragment; all would take a minute.
        paths = sorted(series.glob("*.dcm"))[40:45]
        assert len(paths) == 5
        assert all(parse_fragments(pydicom.dcmread(path).PixelData)[0] > 1 for path in paths)
        copies = [tmp_path / f"{series.name}-{path.name}" for path in paths]
        for path, copy in zip(paths, copies, strict=True):
            copy.write_bytes(path.read_bytes())
        wanted = np.concatenate([decoded_by("gdcmconv", "--raw")(path) for path in copies])
        site = READERS["site"](paths)
        np.testing.assert_array_equal(site, wanted)
        lab = read_series(paths)
        positions = [
            pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in paths
        ]
        order = [positions.index(uid) for uid in lab.sop_instance_uids]
        np.testing.assert_array_equal(lab.voxels, wanted[order])


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
    "OpenJPH": (
        Encoder(f"{_J}203", by_openjph(f"{_J}203", "-qstep", "0.001")),
        decoded_by_openjph,
    ),
}
OFF_BY = {"GDCM JPEG 2000": 1, "OpenJPH": 1}
"""The highest difference to the decoder of the same program: the wavelets of lossy JPEG 2000 are
computed with floating point numbers, and rounded (T.800 annex E, F). All others are equal."""


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
