"""The slices of an instance: a classic one is a slice, an enhanced one has a frame for each.

Enhanced MR Image Storage (PS3.3 A.36.2) holds a whole series, or a part of it, in one instance.
What a classic instance holds at its top level is in functional groups (C.7.6.16.1), of one frame or
shared by all; here each frame gets a header as a classic instance of its slice would have. Frames
may come in any order, which means nothing: the volume comes from their places, as that of classic
instances does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.config import disable_value_validation
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag

from lab_side.imaging.read.instance import is_enhanced
from segrelay.dicom.functional_groups import AS_CLASSIC
from segrelay.dicom.values import settle_number, settle_numbers
from segrelay.errors import SeriesRefusedError
from segrelay.voxels.file_format import damaged_file

_OF_THE_INSTANCE = (
    "PixelData",
    "NumberOfFrames",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
"""What the header of a single slice does not have."""

_TELLS_APART = (
    ("stacks", "FrameContentSequence", ("StackID",)),
    ("temporal positions", "FrameContentSequence", ("TemporalPositionIndex",)),
    ("temporal positions", "TemporalPositionSequence", ("TemporalPositionTimeOffset",)),
    ("echo times", "MREchoSequence", ("EffectiveEchoTime",)),
    ("diffusion weightings", "MRDiffusionSequence", ("DiffusionBValue",)),
    ("diffusion weightings", "MRDiffusionSequence", ("DiffusionDirectionality",)),
    (
        "diffusion directions",
        "MRDiffusionSequence",
        ("DiffusionGradientDirectionSequence", "DiffusionGradientOrientation"),
    ),
    ("kinds of image", "MRImageFrameTypeSequence", ("FrameType",)),
    ("complex components", "MRImageFrameTypeSequence", ("ComplexImageComponent",)),
)
"""By which frames are of different volumes: in words, functional group, attribute in it."""


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice of a series: a classic instance, or a frame of an enhanced one."""

    header: Dataset
    """As of a classic instance; UIDs and SOP class of a frame are those of its instance."""
    frame_number: int | None = None
    """As Referenced Frame Number counts, from 1; None: a classic instance."""
    marks: tuple[str, ...] = ()
    """What a frame says in each line of :data:`_TELLS_APART`; empty text where nothing."""


def slices_of(instance: Dataset) -> list[Slice]:
    """The slices that an instance holds, in the order of its pixel data.

    Raises
    ------
    SeriesRefusedError
        ``unreadable-instance``: the functional groups are damaged, or not one for each frame.
    """
    if not is_enhanced(instance):
        return [Slice(instance)]
    try:
        # As in read_instances: what is of a wrong form has one name, and is quoted nowhere.
        with disable_value_validation():
            return _frames(instance)
    except Exception:
        raise damaged_file() from None


def check_one_volume(slices: Sequence[Slice]) -> None:
    """Check that all frames of a series are of one volume.

    Raises
    ------
    SeriesRefusedError
        ``several-volumes``: there are several stacks, temporal positions, echo times, diffusion
        weightings, or kinds of image; or classic instances beside the frames.
    """
    marks = [item.marks for item in slices if item.frame_number is not None]
    if not marks:
        return
    if len(marks) < len(slices):
        raise _several_volumes("classic images beside multi-frame ones")
    for index, (what, _, _) in enumerate(_TELLS_APART):
        count = len({of_frame[index] for of_frame in marks})
        if count > 1:
            raise _several_volumes(f"{count} {what} in its multi-frame images")


def _several_volumes(what: str) -> SeriesRefusedError:
    return SeriesRefusedError(
        f"The series holds {what}, not one volume.",
        code="several-volumes",
        remedy="Store each volume as a series of its own (scanners and PACS can split it), and "
        "submit the one that is meant.",
    )


def _frames(instance: Dataset) -> list[Slice]:
    groups = instance.PerFrameFunctionalGroupsSequence
    if len(groups) != int(instance.NumberOfFrames):
        raise ValueError("functional groups and frames differ in number")
    shared = (instance.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    common = Dataset()
    common.update({e.tag: e for e in instance if e.keyword not in _OF_THE_INSTANCE})
    return [
        Slice(_header(common, group, shared), number, _marks(group, shared))
        for number, group in enumerate(groups, start=1)
    ]


def _header(common: Dataset, group: Dataset, shared: Dataset) -> Dataset:
    header = Dataset()
    header.update(common)
    for sequence, keyword, classic in AS_CLASSIC:
        item = _macro(group, shared, sequence)
        settle_numbers(item, (keyword,))
        if item.get(keyword) is not None:
            tag = Tag(classic)
            # A new element: those of the instance are shared by the headers of all its frames.
            header[tag] = settle_number(
                DataElement(tag, item[keyword].VR, item[keyword].value, already_converted=True)
            )
    agent = _agent(common, _macro(group, shared, "ContrastBolusUsageSequence"))
    if agent:
        header.ContrastBolusAgent = agent
    return header


def _marks(group: Dataset, shared: Dataset) -> tuple[str, ...]:
    found = []
    for _, sequence, keywords in _TELLS_APART:
        value: Any = _macro(group, shared, sequence)
        for keyword in keywords:
            settle_numbers(value, (keyword,))
            value = value.get(keyword)
            if value is None:
                break
            # A nested sequence has one item here (C.8.13.5.9).
            value = value[0] if keyword.endswith("Sequence") else value
        found.append("" if value is None else _text(value))
    return tuple(found)


def _text(value: Any) -> str:
    """Compare one value or several; scanners compute numbers again for every frame."""
    values = value if isinstance(value, (list, MultiValue)) else [value]
    return "/".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in values)


def _macro(group: Dataset, shared: Dataset, sequence: str) -> Dataset:
    """The item of a functional group: the frame's own, or the one that all share; or empty."""
    items = group.get(sequence) or shared.get(sequence)
    return items[0] if items else Dataset()


def _agent(common: Dataset, usage: Dataset) -> str:
    """Name of the contrast agent that was in use (C.7.6.4b); empty without one."""
    agents = common.get("ContrastBolusAgentSequence") or []
    if not agents or usage.get("ContrastBolusAgentAdministered") == "NO":
        return ""
    return str(agents[0].get("CodeMeaning") or agents[0].get("CodeValue") or "")
