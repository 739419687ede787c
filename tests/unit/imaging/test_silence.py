"""A process of the worker's kind reads, writes and refuses without a word of a data set."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydicom.datadict import dictionary_VR

from lab_side.imaging.read.instance import (
    ACQUISITION,
    IMAGE,
    PATIENT_AND_STUDY,
    SERIES_AND_EQUIPMENT,
)
from tests.support.paths import ROOT
from tests.unit.imaging.read.test_headers import planted

SECRET = "Zebrafinch"

NEEDED = (
    *("SpecificCharacterSet", "Modality", "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "NumberOfFrames"),
    *("StudyInstanceUID", "FrameOfReferenceUID"),
)

CARRIED = tuple(
    keyword
    for keyword in (*PATIENT_AND_STUDY, *SERIES_AND_EQUIPMENT, *IMAGE, *ACQUISITION)
    if keyword not in NEEDED and dictionary_VR(keyword) != "SQ"
)

ODD = {
    "text": b"Zebrafinch",
    "too long": b"Zebrafinch" * 60,
    "another character set": b"Zebrafinch\xff\xfe\x1b$)Z",
    "names of an odd form": b"Zebrafinch^A^B^C^D^E^F=G=H=I=J\\Zebrafinch",
}

PROGRAM = """
import sys
from pathlib import Path
from lab_side.worker.light_monai import import_monai_lightly
from lab_side.worker.server import _silence_libraries
import_monai_lightly()
_silence_libraries()
from tests.unit.imaging.read.test_headers import made, read_series
from segrelay.errors import SegRelayError
for folder in sys.argv[1:]:
    try:
        made(read_series(sorted(Path(folder).glob("*.dcm"))))
        print("made")
    except SegRelayError as error:
        print(error.code, error.message, error.remedy)
"""


@pytest.mark.process
def test_no_value_of_any_attribute_is_quoted_by_the_process(tmp_path: Path) -> None:
    folders = []
    for number, value in enumerate(ODD.values()):
        folders.append(tmp_path / f"carried{number}")
        planted(folders[-1], dict.fromkeys(CARRIED, value))
    for keyword in NEEDED:
        folders.append(tmp_path / keyword)
        planted(folders[-1], {keyword: ODD["text"]})
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", PROGRAM, *map(str, folders)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert SECRET.casefold() not in (done.stdout + done.stderr).casefold()
    said = done.stdout.splitlines()
    assert said[: len(ODD)] == ["made"] * len(ODD)
    assert len(said) == len(folders)
