"""Source headers made fit for the SEG before inference, so that nothing fails after it.

The SEG takes its patient and study attributes from the sources (PS3.3 A.51). Real and
de-identified files often lack attributes of type 2, which the SEG must have. The headers
here are copies in memory; the stored files stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.valuerep import DA, TM, PersonName

_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)

_DATES_AND_TIMES = (("PatientBirthDate", DA), ("StudyDate", DA), ("StudyTime", TM))

_SEX = ("M", "F", "O", "")
"""PS3.3 C.7.1.1: every other value would be refused when the SEG is built."""

_NAMES = ("PatientName", "ReferringPhysicianName")
_TEXT = ("PatientID", "StudyID", "StudyDescription", "AccessionNumber")


def prepare_headers(ordered: Sequence[Dataset], *, slice_step_mm: float) -> tuple[Dataset, ...]:
    """Copy and complete the headers of one series.

    Parameters
    ----------
    ordered:
        Headers in slice order, with position, orientation and pixel spacing.
    slice_step_mm:
        True distance between slices; becomes Spacing Between Slices, and Slice Thickness
        where that is missing.

    Raises
    ------
    SeriesRefusedError
        ``character-set``: the patient's attributes cannot be written in the character set
        that the series declares.
    """
    first = ordered[0]
    common = _patient_and_study(first)
    # Rounding noise between slices is no second orientation, and the SEG has only one.
    common.ImageOrientationPatient = first.ImageOrientationPatient
    common.PixelSpacing = first.PixelSpacing
    common.SpacingBetweenSlices = round(slice_step_mm, 6)
    thickness = Dataset()
    thickness.SliceThickness = round(slice_step_mm, 6)
    prepared = []
    for source in ordered:
        # Elements are replaced, not changed: the sources share some.
        missing = {} if source.get("SliceThickness") else dict(thickness.items())
        prepared.append(Dataset({**dict(source.items()), **dict(common.items()), **missing}))
    return tuple(prepared)


def _patient_and_study(source: Dataset) -> Dataset:
    filled = Dataset()
    for keyword in _TYPE_2:
        value = source.get(keyword)
        setattr(filled, keyword, "" if value is None else value)
    for keyword, value_type in _DATES_AND_TIMES:
        if not _is_valid(value_type, filled.get(keyword)):
            setattr(filled, keyword, "")
    if filled.PatientSex not in _SEX:
        filled.PatientSex = ""
    _settle_character_set(source, filled)
    return filled


def _is_valid(value_type: type[DA] | type[TM], value: object) -> bool:
    try:
        value_type(str(value or ""))
    except (ValueError, OverflowError):
        return False
    return True


def _settle_character_set(source: Dataset, filled: Dataset) -> None:
    declared = source.get("SpecificCharacterSet")
    if declared:
        filled.SpecificCharacterSet = declared
        return
    texts = {keyword: str(source.get(keyword) or "") for keyword in (*_NAMES, *_TEXT)}
    if "".join(texts.values()).isascii():
        return
    # Undeclared text was read as Latin-1, byte for byte: keep the bytes, name their set.
    character_set = _name_character_set("".join(texts.values()))
    filled.SpecificCharacterSet = character_set
    if character_set == "ISO_IR 192":
        for keyword, text in texts.items():
            decoded = text.encode("iso8859-1").decode("utf-8")
            setattr(filled, keyword, PersonName(decoded) if keyword in _NAMES else decoded)


def _name_character_set(latin1: str) -> str:
    try:
        latin1.encode("iso8859-1").decode("utf-8")
    except UnicodeError:
        return "ISO_IR 100"
    return "ISO_IR 192"
