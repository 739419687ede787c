"""The gate that every SEG must pass: foreign readers, and what those do not look at.

=============  ==============================================================================
check          what it proves
=============  ==============================================================================
dciodvfy       the file is a legal Segmentation object (David Clunie's dicom3tools)
dcentvfy       patient, study and series attributes agree with those of the source images
references     Study, Frame of Reference and referenced SOP Instance UIDs are the sources'
dcmqi          dcmqi places every voxel on the source slice that the SEG's references name
expected mask  dcmqi reads exactly the mask that was meant (only where one is given)
=============  ==============================================================================

No one of them is enough: each misses faults that another one finds. Standard: DICOM PS3.3
A.51 (Segmentation IOD), C.8.20 (Segmentation modules), C.7.6.16 (functional groups).
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk  # noqa: N813  (the library's own abbreviation)
from pydicom.dataset import Dataset

from infra.packages.debian import debian_programs
from segrelay.errors import FixConfigurationError

BoolArray = npt.NDArray[np.bool_]

POSITION_TOLERANCE_MM = 0.01
"""A frame's position against that of its source image: room for 16-character decimals."""

_PROGRAM_LIMIT_S = 120

_ERROR_SUBJECT = re.compile(
    r"(?:[Ee]lement=|[Aa]ttribute )<(\w+)>|\((0x\w{4},0x\w{4})\)|- Different (\w+) for"
)
"""How dicom3tools name an attribute; ``= <…>`` would be its value."""


@dataclass(frozen=True)
class Check:
    """The outcome of one check."""

    name: str
    ok: bool
    detail: str
    """What was found, without a patient's name or identifier."""
    seconds: float


@dataclass(frozen=True)
class GateReport:
    """The outcome of every check, in the order of the module's table."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)


ImageKey = tuple[str, int | None]
"""SOP Instance UID, and which frame of it, from 1; None for an image of a single frame."""


@dataclass(frozen=True)
class SourceGrid:
    """The source images of one series, sorted along the slice normal.

    The normal is the cross product of the row and the column direction of Image Orientation
    (Patient), PS3.3 C.7.6.2.1.1.
    """

    paths: tuple[Path, ...]
    """The file of each slice: of an enhanced instance, the same for all its frames."""
    datasets: tuple[Dataset, ...]
    """By slice, without pixel data; a frame's functional groups are merged into the top level."""
    keys: tuple[ImageKey, ...]
    """By slice: how references name it."""
    image: sitk.Image
    """Empty uint8 image of the grid (columns, rows, slices), in LPS millimetres."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        columns, rows, slices = self.image.GetSize()
        return slices, rows, columns

    @property
    def uids(self) -> tuple[str, ...]:
        """SOP Instance UIDs in slice order."""
        return tuple(uid for uid, _ in self.keys)


def check_seg(
    seg: Path,
    sources: Sequence[Path],
    *,
    other_sources: Sequence[Path] = (),
    frames: Mapping[str, Collection[int]] | None = None,
    expected: dict[int, BoolArray] | None = None,
) -> GateReport:
    """Run all checks on one SEG.

    Parameters
    ----------
    seg:
        The SEG file.
    sources:
        Every instance of the series on whose grid the SEG is written, in any order.
    other_sources:
        Instances of further series that the SEG may refer to.
    frames:
        As :func:`read_grid` takes them: of other frames the SEG may name none.
    expected:
        Segment Number -> mask of shape (slices, rows, columns), slices along the normal as in
        :class:`SourceGrid`; segments that are not named must be empty.
    """
    dataset = pydicom.dcmread(seg)
    grid = read_grid(sources, frames)
    checks: list[tuple[str, Callable[[], tuple[bool, str]]]] = [
        ("dciodvfy", lambda: _check_dciodvfy(seg)),
        ("dcentvfy", lambda: _check_dcentvfy(seg, sources)),
        ("references", lambda: _check_references(dataset, grid, other_sources)),
        ("dcmqi", lambda: _check_placement(seg, dataset, grid)),
    ]
    if expected is not None:
        checks.append(("expected mask", lambda: _check_expected(seg, grid, expected)))
    return GateReport(tuple(_timed(name, check) for name, check in checks))


def read_grid(
    sources: Sequence[Path], frames: Mapping[str, Collection[int]] | None = None
) -> SourceGrid:
    """Place the source images in space, from their positions alone.

    Parameters
    ----------
    frames:
        By SOP Instance UID, the frames from 1 that are of the volume; None or empty: all.

    Raises
    ------
    ValueError
        The images do not share one orientation, or fewer than two are given.
    """
    slices = [
        (path, dataset, (uid, frame))
        for path in sources
        for dataset, (uid, frame) in _slices(path)
        if not frames or frame in frames.get(uid, ())
    ]
    if len(slices) < 2:
        raise ValueError("a grid needs two slices or more")
    row, column = np.split(np.asarray(slices[0][1].ImageOrientationPatient, np.float64), 2)
    for _, dataset, _ in slices:
        if not np.allclose(dataset.ImageOrientationPatient, [*row, *column], atol=1e-4):
            raise ValueError("the source images differ in orientation")
    normal = np.cross(row, column)
    slices.sort(key=lambda item: float(np.dot(_position(item[1]), normal)))
    paths, datasets, keys = zip(*slices, strict=True)
    first, last = _position(datasets[0]), _position(datasets[-1])
    step = (last - first) / (len(datasets) - 1)
    image = sitk.Image(datasets[0].Columns, datasets[0].Rows, len(datasets), sitk.sitkUInt8)
    down, across = (float(value) for value in datasets[0].PixelSpacing)
    image.SetSpacing((across, down, float(np.linalg.norm(step))))
    image.SetOrigin(first.tolist())
    image.SetDirection(np.column_stack([row, column, normal]).ravel().tolist())
    return SourceGrid(paths, datasets, keys, image)


def _slices(path: Path) -> list[tuple[Dataset, ImageKey]]:
    """The slices of a file: itself, or the frames of an enhanced instance (PS3.3 C.7.6.16)."""
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    uid = str(dataset.SOPInstanceUID)
    if "PerFrameFunctionalGroupsSequence" not in dataset:
        return [(dataset, (uid, None))]
    found: list[tuple[Dataset, ImageKey]] = []
    for number, group in enumerate(dataset.PerFrameFunctionalGroupsSequence, start=1):
        frame = Dataset()
        frame.update(dataset)
        for keyword in ("PlanePositionSequence", "PlaneOrientationSequence"):
            frame.update(_macro(dataset, group, keyword)[0])
        frame.PixelSpacing = _macro(dataset, group, "PixelMeasuresSequence")[0].PixelSpacing
        found.append((frame, (uid, number)))
    return found


def masks_by_dcmqi(seg: Path, grid: SourceGrid) -> dict[int, BoolArray]:
    """Read a SEG with dcmqi and put each segment on the grid of its source.

    Returns
    -------
    dict
        Segment Number -> mask of shape (slices, rows, columns).

    Raises
    ------
    FixConfigurationError
        dcmqi is not installed.
    ValueError
        dcmqi cannot read the file.
    """
    with tempfile.TemporaryDirectory(prefix="segrelay-dcmqi-") as folder:
        words = [str(_dcmqi_program()), "--inputDICOM", str(seg), "--outputDirectory", folder]
        code, output = _run([*words, "-t", "nrrd", "-p", "segment"], {})
        if code != 0:
            lines = [line for line in output.splitlines() if "ERROR" in line.upper()]
            raise ValueError(f"dcmqi cannot read it: {(lines or [f'exit code {code}'])[-1]}")
        return {
            int(path.stem.removeprefix("segment-")): _on_grid(sitk.ReadImage(str(path)), grid)
            for path in Path(folder).glob("segment-*.nrrd")
        }


def masks_by_references(dataset: Dataset, grid: SourceGrid) -> dict[int, BoolArray]:
    """Read a BINARY SEG by the references of its frames, whatever positions it states.

    Parameters
    ----------
    dataset:
        The SEG with its pixel data.
    grid:
        Its source images.

    Returns
    -------
    dict
        Segment Number -> mask of shape (slices, rows, columns).

    Raises
    ------
    ValueError
        A frame names no source image of the grid.
    """
    # pydicom drops the frame axis where there is one frame only.
    frames = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns).astype(bool)
    masks = {
        int(item.SegmentNumber): np.zeros(grid.shape, bool) for item in dataset.SegmentSequence
    }
    index = {key: number for number, key in enumerate(grid.keys)}
    for frame, group in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        identification = _macro(dataset, group, "SegmentIdentificationSequence")
        segment = int(identification[0].ReferencedSegmentNumber)
        for key in _frame_references(dataset, group):
            if key not in index:
                raise ValueError("a frame refers to an image that is not a source")
            masks[segment][index[key]] |= frame
    return masks


def _check_dciodvfy(seg: Path) -> tuple[bool, str]:
    code, output = _run_dicom3tool(debian_programs().dciodvfy, str(seg))
    errors = _error_lines(output)
    warnings = sum(line.startswith("Warning") for line in output.splitlines())
    if code != 0 or errors:
        return False, _summary(errors)
    return True, f"errors: 0, warnings: {warnings}"


def _check_dcentvfy(seg: Path, sources: Sequence[Path]) -> tuple[bool, str]:
    """What the source images disagree about among themselves is not the SEG's fault."""
    disputed = {_subject(line) for line in _dcentvfy_errors(sources)}
    errors = _dcentvfy_errors([*sources, seg])
    if added := [line for line in errors if _subject(line) not in disputed]:
        return False, _summary(added)
    agreement = f"agrees with {len(sources)} images"
    if disputed:
        agreement += f", which differ among themselves in {', '.join(sorted(disputed))}"
    return True, agreement


def _dcentvfy_errors(files: Sequence[Path]) -> list[str]:
    with tempfile.NamedTemporaryFile("w", prefix="segrelay-list-", suffix=".txt") as listing:
        listing.write("".join(f"{path}\n" for path in files))
        listing.flush()
        code, output = _run_dicom3tool(debian_programs().dcentvfy, "-f", listing.name)
    errors = _error_lines(output)
    if code != 0 and not errors:
        errors = [f"Error - dcentvfy ended with exit code {code}"]
    return errors


def _check_references(
    seg: Dataset, grid: SourceGrid, other_sources: Sequence[Path]
) -> tuple[bool, str]:
    source = grid.datasets[0]
    faults = [
        f"{keyword} is not the source's"
        for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID")
        if seg.get(keyword) != source.get(keyword)
    ]
    own = set(grid.keys)
    framed = {
        key
        for group in seg.PerFrameFunctionalGroupsSequence
        for key in _frame_references(seg, group)
    }
    if not framed:
        faults.append("no frame names its source image")
    if framed - own:
        faults.append(f"{len(framed - own)} images named by frames are not of the source series")
    faults += _series_reference_faults(seg, grid, other_sources)
    return not faults, "; ".join(faults) or f"{len(framed)} source slices named by frames"


def _series_reference_faults(
    seg: Dataset, grid: SourceGrid, other_sources: Sequence[Path]
) -> list[str]:
    """Referenced Series Sequence (PS3.3 C.12.1.1.16.1) against the images that exist."""
    series_of = {
        str(item.SOPInstanceUID): str(item.SeriesInstanceUID)
        for item in [
            *grid.datasets,
            *(pydicom.dcmread(path, stop_before_pixels=True) for path in other_sources),
        ]
    }
    named: dict[str, str] = {}
    for series in seg.get("ReferencedSeriesSequence", []):
        for instance in series.ReferencedInstanceSequence:
            named[str(instance.ReferencedSOPInstanceUID)] = str(series.SeriesInstanceUID)
    faults = []
    if str(grid.datasets[0].SeriesInstanceUID) not in named.values():
        faults.append("ReferencedSeriesSequence does not name the source series")
    wrong = sum(series_of.get(uid) != series for uid, series in named.items())
    if wrong:
        faults.append(f"{wrong} images of ReferencedSeriesSequence are not of the named series")
    return faults


def _check_placement(seg: Path, dataset: Dataset, grid: SourceGrid) -> tuple[bool, str]:
    """dcmqi goes by positions, our reading by references: both must give the same voxels."""
    ours = masks_by_references(dataset, grid)
    theirs = masks_by_dcmqi(seg, grid)
    if set(ours) != set(theirs):
        return False, f"dcmqi reads the segments {sorted(theirs)}, the file has {sorted(ours)}"
    different = sum(int((ours[number] != theirs[number]).sum()) for number in ours)
    voxels = sum(int(mask.sum()) for mask in ours.values())
    moved = _misplaced_frames(dataset, grid)
    if different or moved:
        return False, f"{different} voxels and {moved} frames lie elsewhere"
    return True, f"{voxels} voxels, all where the references say"


def _misplaced_frames(dataset: Dataset, grid: SourceGrid) -> int:
    """Frames whose stated position is not their source image's; counts empty frames as well."""
    positions = dict(zip(grid.keys, map(_position, grid.datasets), strict=True))
    count = 0
    for group in dataset.PerFrameFunctionalGroupsSequence:
        stated = _position(_macro(dataset, group, "PlanePositionSequence")[0])
        count += any(
            np.linalg.norm(stated - positions[key]) > POSITION_TOLERANCE_MM
            for key in _frame_references(dataset, group)
        )
    return count


def _check_expected(
    seg: Path, grid: SourceGrid, expected: dict[int, BoolArray]
) -> tuple[bool, str]:
    read = masks_by_dcmqi(seg, grid)
    if not set(expected) <= set(read):
        return False, f"the SEG has the segments {sorted(read)}, not {sorted(expected)}"
    empty = np.zeros(grid.shape, bool)
    different = sum(int((mask != expected.get(n, empty)).sum()) for n, mask in read.items())
    return different == 0, f"{different} voxels differ from the expected mask"


def _on_grid(image: sitk.Image, grid: SourceGrid) -> BoolArray:
    placed = sitk.Resample(
        image, grid.image, sitk.Transform(), sitk.sitkNearestNeighbor, 0.0, sitk.sitkUInt8
    )
    mask: BoolArray = sitk.GetArrayFromImage(placed) > 0
    return mask


def _frame_references(seg: Dataset, group: Dataset) -> list[ImageKey]:
    """What one frame was derived from (PS3.3 C.7.6.16.2.6)."""
    return [
        (str(image.ReferencedSOPInstanceUID), image.get("ReferencedFrameNumber"))
        for derivation in _macro(seg, group, "DerivationImageSequence")
        for image in derivation.get("SourceImageSequence", [])
    ]


def _macro(seg: Dataset, group: Dataset, keyword: str) -> Sequence[Dataset]:
    """A functional group macro of one frame: its own, or the one that all frames share.

    What is equal in all frames may be in either place (PS3.3 C.7.6.16.1.1): a SEG of one
    segment usually shares its Segment Identification.
    """
    shared = seg.SharedFunctionalGroupsSequence[0]
    found: Sequence[Dataset] = group.get(keyword) or shared.get(keyword) or []
    return found


def _position(dataset: Dataset) -> npt.NDArray[np.float64]:
    return np.asarray(dataset.ImagePositionPatient, np.float64)


def _timed(name: str, check: Callable[[], tuple[bool, str]]) -> Check:
    """Run one check; what it cannot read is a fault of the SEG, not of the gate."""
    start = time.perf_counter()
    try:
        ok, detail = check()
    except ValueError as error:
        ok, detail = False, str(error)
    except (AttributeError, IndexError) as error:
        ok, detail = False, f"an attribute is missing ({type(error).__name__})"
    return Check(name, ok, detail, time.perf_counter() - start)


def _error_lines(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("Error")]


def _subject(error: str) -> str:
    """The attribute that a message is about; never its value, which may be a patient's name."""
    match = _ERROR_SUBJECT.search(error)
    return "the file" if match is None else match[match.lastindex or 0]


def _summary(errors: Sequence[str]) -> str:
    return f"errors: {len(errors)}, about {', '.join(sorted(set(map(_subject, errors))))}"


def _dcmqi_program() -> Path:
    """The program that the dcmqi wheel brings."""
    try:
        files = importlib.metadata.distribution("dcmqi").files or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.stem == "segimage2itkimage" and file.parent.name == "bin":
            return Path(str(file.locate()))
    raise FixConfigurationError(
        "The package dcmqi is not installed.",
        code="dcmqi-missing",
        remedy="Run infra/setup.",
    )


def _run_dicom3tool(program: Path, *arguments: str) -> tuple[int, str]:
    return _run([str(program), *arguments], debian_programs().environment)


def _run(words: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Exit code and everything printed."""
    result = subprocess.run(
        words,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_PROGRAM_LIMIT_S,
        check=False,
    )
    return result.returncode, result.stdout.decode(errors="replace")
