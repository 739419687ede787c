"""Source headers made fit for the SEG before inference, so that nothing fails after it.

The SEG takes its patient and study attributes from the sources (PS3.3 A.51). Real and
de-identified files often lack attributes of type 2, which the SEG must have, and hold values that
are none of their kind: these are left out, and named. The headers here are copies in memory; the
stored files stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from pydicom.config import disable_value_validation
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.valuerep import DA, TM

from segrelay.dicom.values import WrongForm, name_of

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

_OLD_DATE = re.compile(r"(\d{4})[.\-/](\d{2})[.\-/](\d{2})", re.ASCII)
"""With dots as ACR-NEMA wrote it (PS3.5 6.2, DA); tools write the others."""

_OLD_TIME = re.compile(r"(\d{2}):(\d{2})(?::(\d{2}(?:\.\d{1,6})?))?", re.ASCII)
"""With colons as ACR-NEMA wrote it (PS3.5 6.2, TM)."""

_AGE = re.compile(r"\d{3}[DWMY]", re.ASCII)

_SEX = ("M", "F", "O")
"""PS3.3 C.7.1.1: every other value would be refused when the SEG is built."""


class PreparedHeaders(NamedTuple):
    """Headers for the SEG, and which of their values were of no use."""

    headers: tuple[Dataset, ...]
    left_out: tuple[WrongForm, ...]
    """Each attribute and form once, by name."""


def prepare_headers(ordered: Sequence[Dataset], *, slice_step_mm: float) -> PreparedHeaders:
    """Copy and complete the headers of one series.

    Parameters
    ----------
    ordered:
        Headers in slice order, with position, orientation and pixel spacing.
    slice_step_mm:
        True distance between slices; becomes Spacing Between Slices, and Slice Thickness
        where that is missing.
    """
    first = ordered[0]
    with disable_value_validation():
        common, left_out = _patient_and_study(first)
        # Rounding noise between slices is no second orientation, and the SEG has only one.
        common.ImageOrientationPatient = first.ImageOrientationPatient
        common.PixelSpacing = first.PixelSpacing
        common.SpacingBetweenSlices = round(slice_step_mm, 6)
        thickness = Dataset()
        thickness.SliceThickness = round(slice_step_mm, 6)
    prepared = []
    for source in ordered:
        # Elements are replaced, not changed: the sources share some.
        header = Dataset({tag: item for tag, item in source.items() if tag not in _READ_ONCE})
        left_out |= _take_out_wrong_numbers(header)
        missing = {} if header.get("SliceThickness") else dict(thickness.items())
        prepared.append(Dataset({**dict(header.items()), **dict(common.items()), **missing}))
    by_name = sorted(left_out, key=lambda form: (form.name, form.form))
    return PreparedHeaders(tuple(prepared), tuple(by_name))


def _take_out_wrong_numbers(header: Dataset) -> set[WrongForm]:
    # What is not decoded yet is of a right form: see settle_number.
    decoded = [item for _, item in header.items() if isinstance(item, DataElement)]
    wrong = [item for item in decoded if isinstance(item.value, WrongForm)]
    for item in wrong:
        del header[item.tag]
    return {item.value for item in wrong}


def _patient_and_study(source: Dataset) -> tuple[Dataset, set[WrongForm]]:
    filled, left_out = Dataset(), set()
    for keyword in _TYPE_2:
        value = source.get(keyword)
        setattr(filled, keyword, "" if value is None else value)
    for keyword, (read, form) in _FORMS.items():
        text = str(source.get(keyword) or "").strip()
        value = read(text) if text else ""
        if value is None:
            left_out.add(WrongForm(name_of(keyword), form))
        if value or keyword in _TYPE_2:
            setattr(filled, keyword, value or "")
    return filled, left_out


def _date(text: str) -> str | None:
    return _valid(DA, _OLD_DATE.sub(r"\1\2\3", text) if _OLD_DATE.fullmatch(text) else text)


def _time(text: str) -> str | None:
    old = _OLD_TIME.fullmatch(text)
    return _valid(TM, "".join(part or "" for part in old.groups()) if old else text)


def _valid(value_type: type[DA] | type[TM], text: str) -> str | None:
    try:
        value_type(text)
    except (ValueError, OverflowError):
        return None
    return text


def _age(text: str) -> str | None:
    return text if _AGE.fullmatch(text) else None


def _sex(text: str) -> str | None:
    return text if text in _SEX else None


_FORMS: Mapping[str, tuple[Callable[[str], str | None], str]] = {
    "PatientBirthDate": (_date, "holds no date"),
    "StudyDate": (_date, "holds no date"),
    "StudyTime": (_time, "holds no time of day"),
    "PatientAge": (_age, "holds no age"),
    "PatientSex": (_sex, "holds none of the defined values"),
}
"""How each is read, and what is said where it cannot be."""

_READ_ONCE = frozenset(Tag(keyword) for keyword in _FORMS)
