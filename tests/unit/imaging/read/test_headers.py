"""Values of headers in any form: read, refused by the attribute's name, or left out and said."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from lab_side.imaging.notices import header_warnings
from lab_side.imaging.read.series import SeriesVolume, read_series
from lab_side.imaging.write.measure import measure_masks
from lab_side.imaging.write.preflight_seg import preflight_seg
from lab_side.imaging.write.report import build_report
from lab_side.imaging.write.seg import build_seg
from segrelay.errors import SeriesRefusedError
from tests.support.dicom.dicom_series import make_affine, write_series
from tests.support.dicom.imaging_cases import blob, make_origin, make_profile
from tests.support.dicom.raw_values import plant

SHAPE = (4, 10, 12)

Values = Mapping[str, bytes | tuple[str, bytes]]


def planted(folder: Path, values: Values, *, is_implicit: bool = False) -> list[Path]:
    pixels = np.full(SHAPE, 100, dtype=np.uint16)
    paths = write_series(folder, pixels, make_affine())
    for path in paths:
        if is_implicit:
            dataset = pydicom.dcmread(path)
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
            dataset.save_as(path, implicit_vr=True, little_endian=True)
        plant(path, values)
    return paths


def read(folder: Path, values: Values, *, is_implicit: bool = False) -> SeriesVolume:
    return read_series(planted(folder, values, is_implicit=is_implicit))


def made(volume: SeriesVolume) -> tuple[pydicom.Dataset, pydicom.Dataset]:
    """SEG and SR, written and read again."""
    origin = make_origin(make_profile())
    preflight_seg(volume, [volume], origin)
    masks = [blob(SHAPE)]
    seg = build_seg(masks, volume, [volume], origin)
    report = build_report(seg, measure_masks(masks, volume.affine, origin.profile.segments))
    files = []
    for dataset in (seg, report):
        pydicom.dcmwrite(buffer := BytesIO(), dataset, enforce_file_format=True)
        files.append(pydicom.dcmread(BytesIO(buffer.getvalue())))
    return files[0], files[1]


READ: dict[str, Values] = {
    "decimal comma": {"PixelSpacing": b"0,8\\0,8"},
    "unlimited text": {"PixelSpacing": ("UT", b"0.8\\0.8")},
    "unknown representation": {"PixelSpacing": ("UN", b"0.8\\0.8"), "Rows": ("UN", b"\x0a\x00")},
    "text where a binary number belongs": {"Rows": ("IS", b"10"), "BitsStored": ("DS", b"16.0")},
    "more digits than DS has": {"RescaleSlope": b"1.0000000000000000001"},
    "comma in the rescale": {"RescaleSlope": b"1,0", "RescaleIntercept": b"0,0"},
    "one frame, with a point": {"NumberOfFrames": b"1.0"},
}


@pytest.mark.parametrize("name", READ)
def test_a_number_in_an_odd_form_is_read(tmp_path: Path, name: str) -> None:
    volume = read(tmp_path, READ[name])
    assert (volume.voxels == 100).all()
    np.testing.assert_allclose(np.linalg.norm(volume.affine[:3, :2], axis=0), [0.8, 0.8])
    assert header_warnings([volume]) == ()
    made(volume)


REFUSED: dict[str, tuple[Values, str, str]] = {
    "spacing of one value": (
        {"PixelSpacing": b"0.8"},
        "no-pixel-spacing",
        "Pixel Spacing holds one number where two belong.",
    ),
    "position in words": (
        {"ImagePositionPatient": b"a\\b\\c"},
        "no-position",
        "Image Position (Patient) holds text where a number belongs.",
    ),
    "orientation of five": (
        {"ImageOrientationPatient": b"1\\0\\0\\0\\1"},
        "no-position",
        "Image Orientation (Patient) holds five numbers where six belong.",
    ),
    "slope in words": (
        {"RescaleSlope": b"N/A"},
        "header-value",
        "Rescale Slope holds text where a number belongs.",
    ),
    "two intercepts": (
        {"RescaleIntercept": b"0\\0"},
        "header-value",
        "Rescale Intercept holds two numbers where one belongs.",
    ),
    "slope that may be a thousand": (
        {"RescaleSlope": b"1,000"},
        "header-value",
        "Rescale Slope holds a comma that can be read in two ways.",
    ),
    "rows of one byte": ({"Rows": b""}, "header-value", "Rows is missing or empty."),
    "columns in words": (
        {"Columns": ("LO", b"ten")},
        "header-value",
        "Columns holds text where a number belongs.",
    ),
    "frames in words": (
        {"NumberOfFrames": b"many"},
        "header-value",
        "Number of Frames holds text where a number belongs.",
    ),
    "bits of three bytes": (
        {"BitsStored": ("UN", b"\x10\x00\x00")},
        "header-value",
        "Bits Stored holds two numbers where one belongs.",
    ),
    "two series": (
        {"SeriesInstanceUID": b"2.25.7\\2.25.8"},
        "header-value",
        "Series Instance UID holds several values where one belongs.",
    ),
    "a class that nobody knows": (
        {"SOPClassUID": b"1.2.826.0.1.3680043.8.498.77"},
        "header-value",
        "SOP Class UID names no class of objects that the standard defines.",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_needed_number_in_a_wrong_form_is_refused_by_name(tmp_path: Path, name: str) -> None:
    values, code, message = REFUSED[name]
    with pytest.raises(SeriesRefusedError) as caught:
        read(tmp_path, values)
    assert (caught.value.code, caught.value.message) == (code, message)
    assert "character set" not in caught.value.remedy.casefold()


LEFT_OUT: dict[str, tuple[Values, str]] = {
    "weight": ({"PatientWeight": b"ANONYMIZED"}, "Patient's Weight"),
    "size": ({"PatientSize": b"1.62 m"}, "Patient's Size"),
    "age": ({"PatientAge": b"Removed"}, "Patient's Age"),
    "sex": ({"PatientSex": b"Removed"}, "Patient's Sex"),
    "birth date": ({"PatientBirthDate": b"Removed"}, "Patient's Birth Date"),
    "study date": ({"StudyDate": b"20241399"}, "Study Date"),
    "study time": ({"StudyTime": b"Removed"}, "Study Time"),
    "series number in words": ({"SeriesNumber": b"T1C"}, "Series Number"),
    "series number of 21 digits": ({"SeriesNumber": b"456115117112105110101"}, "Series Number"),
    "thickness": ({"SliceThickness": b"thin"}, "Slice Thickness"),
    "echo time": ({"EchoTime": b"short"}, "Echo Time"),
    "lossy ratio": (
        {"LossyImageCompression": b"01", "LossyImageCompressionRatio": b"10:1"},
        "Lossy Image Compression Ratio",
    ),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_value_that_nobody_needs_is_left_out_and_said(tmp_path: Path, name: str) -> None:
    values, attribute = LEFT_OUT[name]
    volume = read(tmp_path, values)
    (warning,) = header_warnings([volume, volume])
    assert warning.text.startswith(f"{attribute} was left out: it holds ")
    (odd, *_) = (value.decode() for value in values.values() if isinstance(value, bytes))
    for dataset in made(volume):
        assert attribute not in (item.name for item in dataset if str(item.value) == odd)


@pytest.mark.parametrize(
    ("number", "expected"),
    [(b"3", 1003), (b"2147483647", 1000), (b"2147482640", 1000), (b"-7", 1000), (b"12.0", 1012)],
)
def test_the_series_numbers_of_seg_and_report_are_integer_strings(
    tmp_path: Path, number: bytes, expected: int
) -> None:
    seg, report = made(read(tmp_path, {"SeriesNumber": number}))
    assert int(seg.SeriesNumber) == expected
    assert int(seg.SeriesNumber) < int(report.SeriesNumber) < 2**31


@pytest.mark.parametrize(
    ("values", "keyword", "expected"),
    [
        ({"StudyDate": b"2024.01.05"}, "StudyDate", "20240105"),
        ({"PatientBirthDate": b"1970-01-01"}, "PatientBirthDate", "19700101"),
        ({"StudyTime": b"10:15:00"}, "StudyTime", "101500"),
        ({"StudyTime": b"10:15"}, "StudyTime", "1015"),
        ({"PatientAge": b"045Y"}, "PatientAge", "045Y"),
        ({"PatientWeight": b"70,5"}, "PatientWeight", 70.5),
        ({"PatientSex": b"F\0"}, "PatientSex", "F"),
    ],
)
def test_old_forms_become_those_of_the_standard(
    tmp_path: Path, values: Values, keyword: str, expected: object
) -> None:
    volume = read(tmp_path, values)
    assert header_warnings([volume]) == ()
    for dataset in made(volume):
        assert dataset.get(keyword) == expected


NAME = "김^철수"
ESCAPE = b"\x1b$)C"
KOREAN = "김".encode("euc_kr") + b"^" + "철수".encode("euc_kr")

NAMES: dict[str, tuple[bytes, bytes, str, str]] = {
    "ISO 2022 IR 149 with escapes": (
        b"\\ISO 2022 IR 149",
        b"Kim^Cheolsu=" + ESCAPE + "김".encode("euc_kr") + b"^" + ESCAPE + "철수".encode("euc_kr"),
        f"Kim^Cheolsu={NAME}",
        "",
    ),
    "ISO 2022 IR 149, one escape": (
        b"\\ISO 2022 IR 149",
        b"Kim^Cheolsu=" + ESCAPE + KOREAN,
        f"Kim^Cheolsu={NAME}",
        "Korean (EUC-KR)",
    ),
    "ISO 2022 IR 149, no escape": (b"\\ISO 2022 IR 149", KOREAN, NAME, "Korean (EUC-KR)"),
    "ISO 2022 IR 149 alone": (b"ISO 2022 IR 149", KOREAN, NAME, "Korean (EUC-KR)"),
    "ISO 2022 IR 149 alone, with escapes": (
        b"ISO 2022 IR 149",
        b"Kim^Cheolsu=" + ESCAPE + "김".encode("euc_kr") + b"^" + ESCAPE + "철수".encode("euc_kr"),
        f"Kim^Cheolsu={NAME}",
        "",
    ),
    "Korean under ISO_IR 100": (b"ISO_IR 100", KOREAN, NAME, "Korean (EUC-KR)"),
    "UTF-8 under ISO_IR 100": (b"ISO_IR 100", NAME.encode(), NAME, "UTF-8"),
    "accents in pairs as declared": (
        b"ISO_IR 100",
        b"CONCEI\xc7\xc3O^\xc4\xd6",
        "CONCEIÇÃO^ÄÖ",
        "",
    ),
    "an extension that nobody knows": (
        b"ISO 2022 IR 100\\ISO 2022 IR 165",
        b"M\xfcller^J\xf6rg",
        "Müller^Jörg",
        "",
    ),
    "Shift JIS under ISO_IR 13": (
        b"ISO_IR 13",
        "表^太郎".encode("shift_jis"),
        "表^太郎",
        "Japanese (Shift JIS)",
    ),
    "katakana under ISO_IR 13": (b"ISO_IR 13", b"\xd4\xcf\xc0\xde", "ﾔﾏﾀﾞ", ""),
    "ISO_IR 149": (b"ISO_IR 149", KOREAN, NAME, "Korean (EUC-KR)"),
    "EUC-KR by name": (b"EUC-KR", KOREAN, NAME, "Korean (EUC-KR)"),
    "code page 949": (
        b"CP949",
        "똠^방각하".encode("cp949"),
        "똠^방각하",
        "Korean (EUC-KR)",
    ),
    "Korean under ISO_IR 192": (b"ISO_IR 192", KOREAN, NAME, "Korean (EUC-KR)"),
    "Korean under ISO_IR 6": (b"ISO_IR 6", KOREAN, NAME, "Korean (EUC-KR)"),
    "Korean under nothing": (b"", KOREAN, NAME, "Korean (EUC-KR)"),
    "UTF-8 under nothing": (b"", NAME.encode(), NAME, "UTF-8"),
    "UTF-8 under ISO_IR 192": (b"ISO_IR 192", NAME.encode(), NAME, ""),
    "UTF8 by name": (b"UTF8", NAME.encode(), NAME, "UTF-8"),
    "Latin-1 under nothing": (b"", b"M\xfcller^J\xf6rg", "Müller^Jörg", "Latin-1"),
    "Latin-1 under ISO_IR 192": (b"ISO_IR 192", b"M\xfcller^J\xf6rg", "Müller^Jörg", "Latin-1"),
    "accents in pairs": (b"", b"CONCEI\xc7\xc3O^M\xc1RCIA", "CONCEIÇÃO^MÁRCIA", "Latin-1"),
    "Latin-1 as declared": (b"ISO_IR 100", b"M\xfcller^J\xf6rg", "Müller^Jörg", ""),
    "Chinese": (b"GB18030", "王^小东".encode("gb18030"), "王^小东", ""),
    "Japanese": (
        b"\\ISO 2022 IR 87",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B",
        "Yamada^Tarou=山田^太郎",
        "",
    ),
}


@pytest.mark.parametrize("is_implicit", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_seg_and_report_read_the_name_that_the_bytes_mean(
    tmp_path: Path, name: str, is_implicit: bool
) -> None:
    declared, value, expected, read_as = NAMES[name]
    values: Values = {
        "SpecificCharacterSet": declared,
        "PatientName": value,
        "ReferringPhysicianName": value,
        "StudyDescription": value.replace(b"=", b" "),
    }
    volume = read(tmp_path, values, is_implicit=is_implicit)
    assert [item.text.split()[-1] for item in header_warnings([volume])] == [
        f"{item.split()[-1]}." for item in [read_as] if item
    ]
    for dataset in made(volume):
        assert str(dataset.PatientName) == expected
        assert str(dataset.ReferringPhysicianName) == expected
        assert dataset.StudyDescription == expected.replace("=", " ")
        if not read_as:
            assert dataset.PatientName.original_string == value


@pytest.mark.parametrize("declared", [b"", b"ISO_IR 6"])
def test_an_escape_to_ascii_needs_no_declared_set(tmp_path: Path, declared: bytes) -> None:
    name = b"Mueller^\x1b(BJoerg"
    volume = read(tmp_path, {"SpecificCharacterSet": declared, "PatientName": name})
    assert header_warnings([volume]) == ()
    assert [str(dataset.PatientName) for dataset in made(volume)] == ["Mueller^Joerg"] * 2


def coded(meaning: bytes, own: bytes = b"") -> bytes:
    """A sequence with one item in Explicit VR Little Endian: a code and its meaning."""

    def element(number: int, vr: bytes, value: bytes) -> bytes:
        value += b" " * (len(value) % 2)
        return struct.pack("<HH2sH", 0x0008, number, vr, len(value)) + value

    item = (
        *([element(0x0005, b"CS", own)] if own else []),
        element(0x0100, b"SH", b"113100"),
        element(0x0102, b"SH", b"DCM"),
        element(0x0104, b"LO", meaning),
    )
    content = b"".join(item)
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content


@pytest.mark.parametrize(
    ("declared", "own", "meaning", "expected"),
    [
        (b"ISO_IR 192", b"", KOREAN, NAME),
        (b"ISO_IR 6", b"", KOREAN, NAME),
        (b"ISO_IR 192", b"ISO_IR 192", KOREAN, NAME),
        (b"ISO_IR 192", b"\\ISO 2022 IR 149", ESCAPE + "김".encode("euc_kr"), "김"),
        (b"ISO_IR 100", b"", b"M\xfcller", "Müller"),
        (b"ISO_IR 100", b"ISO_IR 192", "Müller".encode(), "Müller"),
    ],
)
def test_a_meaning_in_an_item_is_read_as_its_bytes_mean(
    tmp_path: Path, declared: bytes, own: bytes, meaning: bytes, expected: str
) -> None:
    values: Values = {
        "SpecificCharacterSet": declared,
        "PatientName": b"Doe",
        "DeidentificationMethodCodeSequence": ("SQ", coded(meaning, own)),
        "ContrastBolusAgentSequence": ("SQ", coded(meaning, own)),
    }
    volume = read(tmp_path, values)
    (item,) = volume.headers[0].ContrastBolusAgentSequence
    assert item.CodeMeaning == expected
    for dataset in made(volume):
        (item,) = dataset.get("DeidentificationMethodCodeSequence") or [item]
        assert item.CodeMeaning == expected


def test_bytes_of_no_known_set_stay_the_same_bytes(tmp_path: Path) -> None:
    value = bytes(range(0xA1, 0xFF))
    volume = read(tmp_path, {"SpecificCharacterSet": b"ISO_IR 192", "PatientID": value[:64]})
    for dataset in made(volume):
        assert dataset.PatientID.encode("latin-1") == value[:64]


def test_text_of_pure_ascii_needs_no_term(tmp_path: Path) -> None:
    seg, report = made(read(tmp_path, {"SpecificCharacterSet": b"WHATEVER"}))
    assert not seg.get("SpecificCharacterSet")
    assert not report.get("SpecificCharacterSet")
    assert seg.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
