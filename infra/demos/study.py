"""The study that the demo segments: a phantom, or DICOM files from a zip or a folder."""

from __future__ import annotations

import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue

from gcp_side.labseg.orthanc.parts import SeriesParts
from gcp_side.labseg.recognition import (
    SENTENCES,
    Confidence,
    SeriesAttributes,
    attributes_of,
    recognise,
)
from gcp_side.labseg.recognition.series_attributes import split_attributes
from infra.phantom.case import make_case
from infra.phantom.dicom import write_study
from segrelay.errors import FixConfigurationError, SeriesRefusedError
from segrelay.parts import images_of, split_series
from segrelay.profiles import InputRole

_HEADER = [
    "Modality",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "SOPInstanceUID",
    # By which the site's rules recognise a series.
    "Rows",
    "Columns",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "FrameOfReferenceUID",
    "ImageType",
    "TemporalPositionIdentifier",
    "NumberOfTemporalPositions",
    "AcquisitionNumber",
    "AcquisitionDateTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "TriggerTime",
    "ContentDate",
    "ContentTime",
    "EchoTime",
    "RepetitionTime",
    "InversionTime",
    "FlipAngle",
    "PixelSpacing",
    "ScanningSequence",
    "ContrastBolusAgent",
    "ContrastBolusVolume",
    "ContrastBolusTotalDose",
    "ContrastBolusAgentSequence",
    "NumberOfFrames",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]


@dataclass(frozen=True)
class StudySeries:
    """One MR series on disk, or a volume of one that holds several."""

    series_instance_uid: str
    number: int | None
    """Series Number; None where the files have none."""
    description: str
    files: tuple[Path, ...]
    """In no particular order."""
    all_files: tuple[Path, ...]
    """Of the whole series."""
    attributes: SeriesAttributes
    """What the site's rules look at; its id is the Series Instance UID, and ``:`` with an index
    for a volume."""
    frames: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """By SOP Instance UID, the frames of the volume from 1; empty: all, or classic images."""

    @property
    def images(self) -> int:
        """Number of its slices."""
        return sum(map(len, self.frames.values())) or len(self.files)

    @property
    def part(self) -> int | None:
        """Which of the volumes of its series; None: the series is one."""
        return self.attributes.part


@dataclass(frozen=True)
class ChosenSeries:
    """The series of one role, and how sure that is."""

    series: StudySeries
    confidence: Confidence
    why: str
    """One sentence in English."""


@dataclass(frozen=True)
class Study:
    """Its MR series in order of acquisition, and the truth where one is known."""

    title: str
    series: tuple[StudySeries, ...]
    truth: Path | None = None


def phantom_study(seed: int, folder: Path) -> Study:
    """Make the breast phantom of ``seed`` with a lesion, written as DICOM below ``folder``."""
    written = write_study(make_case(seed, has_lesion=True), folder)
    files = [path for series in written.series for path in series.paths]
    return Study(f"phantom, seed {seed}", tuple(read_series(files)), written.truth)


def load_study(path: Path, folder: Path) -> Study:
    """Read a study from a zip file (unpacked below ``folder``) or a directory.

    A directory may hold the study as its only zip file.

    Raises
    ------
    FixConfigurationError
        Nothing is there, it is no zip, or it holds no MR image or several studies.
    """
    source = _only_archive(path) or path
    if source.is_dir():
        root = source
    elif zipfile.is_zipfile(source):
        root = folder
        with zipfile.ZipFile(source) as archive:
            archive.extractall(root)
    else:
        raise FixConfigurationError(
            f"{path} is neither a folder nor a zip file.",
            code="study-missing",
            remedy="Give a folder or a zip file with the DICOM files of one study.",
        )
    series = read_series(file for file in root.rglob("*") if file.is_file())
    return Study(path.name, tuple(series))


def _only_archive(path: Path) -> Path | None:
    """The zip file of a directory that has one, and no MR image beside it."""
    archives = [file for file in path.glob("*.zip") if zipfile.is_zipfile(file)]
    if len(archives) != 1 or any(_mr_header(file) for file in path.rglob("*") if file.is_file()):
        return None
    return archives[0]


def read_series(files: Iterable[Path]) -> list[StudySeries]:
    """Group MR files by series, in order of acquisition; other files are passed over.

    Raises
    ------
    FixConfigurationError
        There is no MR image, or images of more than one study.
    """
    groups: dict[str, list[tuple[Path, Dataset]]] = defaultdict(list)
    studies = set()
    for file in files:
        header = _mr_header(file)
        if header is not None:
            groups[str(header.SeriesInstanceUID)].append((file, header))
            studies.add(str(header.StudyInstanceUID))
    if len(studies) != 1:
        raise FixConfigurationError(
            f"There are MR images of {len(studies)} studies; exactly one is needed.",
            code="study-count",
            remedy="Give a folder or a zip file with the DICOM files of one study.",
        )
    volumes = (volume for uid, members in groups.items() for volume in _series(uid, members))
    return sorted(volumes, key=_order)


def choose_inputs(study: Study, inputs: Sequence[InputRole]) -> dict[str, ChosenSeries]:
    """Give each role of a profile its series, by the rules with which the site proposes them.

    Raises
    ------
    FixConfigurationError
        No series of the study fits one of the roles.
    """
    by_id = {series.attributes.series_id: series for series in study.series}
    rules = {item.role: item.recognition for item in inputs if item.recognition is not None}
    attributes = [series.attributes for series in study.series]
    chosen = {}
    for found in recognise([item.role for item in inputs], attributes, rules):
        why = "; ".join(SENTENCES[item.code].format(**item.parameters) for item in found.evidence)
        if found.series_id is None:
            raise FixConfigurationError(
                f"No series of the study fits the role {found.role}: {why}.",
                code="series-not-recognised",
                remedy="Give a study with a series for each of: "
                + ", ".join(item.role for item in inputs)
                + ".",
            )
        chosen[found.role] = ChosenSeries(by_id[found.series_id], found.confidence, why)
    return chosen


def _mr_header(file: Path) -> Dataset | None:
    try:
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_HEADER)
    except InvalidDicomError:
        return None
    return header if header.get("Modality") == "MR" else None


def _series(uid: str, members: Sequence[tuple[Path, Dataset]]) -> Iterator[StudySeries]:
    """The series, or each of its volumes."""
    header = members[0][1]
    number = header.get("SeriesNumber")
    files = tuple(path for path, _ in members)
    parts = _parts(members)
    uids = {str(path): str(header.SOPInstanceUID) for path, header in members}
    whole = attributes_of(
        uid,
        description=str(header.get("SeriesDescription", "")),
        number=None if number is None else int(number),
        instances=len(members),
        tags=_tags(header),
    )
    for attributes in split_attributes(whole, parts):
        images = () if parts.split is None else parts.split.parts[attributes.part or 0].images
        frames: dict[str, tuple[int, ...]] = {}
        for image in images:
            if image.frame is not None:
                known = frames.get(uids[image.instance], ())
                frames[uids[image.instance]] = (*known, image.frame)
        yield StudySeries(
            series_instance_uid=uid,
            number=whole.number,
            description=whole.description,
            files=tuple(dict.fromkeys(Path(image.instance) for image in images)) or files,
            all_files=files,
            attributes=attributes,
            frames=frames,
        )


def _parts(members: Sequence[tuple[Path, Dataset]]) -> SeriesParts:
    """The volumes of the series; one that cannot be split is taken as one."""
    images = [one for path, header in members for one in images_of(str(path), _tags(header))]
    try:
        split = split_series(images)
    except SeriesRefusedError:
        return SeriesParts()
    return SeriesParts() if split.is_whole else SeriesParts(split=split)


def _tags(dataset: Dataset) -> dict[str, Any]:
    """As Orthanc gives the tags of an instance."""
    return {
        element.keyword: [_tags(item) for item in element.value]
        if element.VR == "SQ"
        else _as_text(element.value)
        for element in dataset
    }


def _as_text(value: object) -> str:
    """As Orthanc gives the value of a tag."""
    parts = value if isinstance(value, MultiValue) else [value]
    return "\\".join("" if part is None else str(part) for part in parts)


def _order(series: StudySeries) -> tuple[bool, int, int, list[tuple[int, str]]]:
    """By Series Number, then by description with its numbers read as numbers."""
    parts = re.findall(r"\d+|\D+", series.description)
    words = [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
    return series.number is None, series.number or 0, series.part or 0, words
