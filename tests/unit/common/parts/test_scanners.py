"""Series as scanners write them: each is split into the phases that were acquired."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from segrelay.parts import PartDoubt, PartImage, PartKey, Split, images_of, split_series

PHASES, SLICES = 6, 8
START = datetime(2025, 3, 11, 9, 20)

Tags = dict[str, Any]


def clock(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).strftime("%H%M%S.%f")


def basic(phase: int, place: int) -> Tags:
    """An axial slice of 2 mm; instance numbers run through the slices, then the phases."""
    return {
        "ImagePositionPatient": f"-170\\-120\\{-80 + 2 * place}",
        "ImageOrientationPatient": "1\\0\\0\\0\\1\\0",
        "PixelSpacing": "0.7\\0.7",
        "Rows": "8",
        "Columns": "8",
        "ImageType": "ORIGINAL\\PRIMARY\\M\\ND",
        "EchoTime": "1.8",
        "InstanceNumber": str(1 + phase * SLICES + place),
        "AcquisitionDate": "20250311",
        "ContentDate": "20250311",
    }


def siemens_twist(phase: int, place: int) -> Tags:
    """One series: Acquisition Number is the phase, Content Time rises with every slice."""
    return {
        "AcquisitionNumber": str(phase + 1),
        "AcquisitionTime": clock(5.5 * phase),
        "ContentTime": clock(60 + 1.1 * phase + 0.12 * place),
    }


def siemens_twist_by_phase(phase: int, _: int) -> Tags:
    """Content Time by phase; one Acquisition Time for all."""
    return {
        "AcquisitionNumber": str(phase + 1),
        "AcquisitionTime": clock(0),
        "ContentTime": clock(5.5 * phase),
    }


def siemens_fl3d_mosaic_of_numbers(phase: int, place: int) -> Tags:
    """Times of acquisition by phase, instance numbers through the phases, then the slices."""
    return {
        "AcquisitionNumber": "1",
        "AcquisitionTime": clock(75 * phase),
        "ContentTime": clock(300),
        "InstanceNumber": str(1 + place * PHASES + phase),
    }


def siemens_pre_apart_from_post(phase: int, place: int) -> Tags:
    """The acquisition time parts before contrast from after it alone."""
    return {
        "AcquisitionTime": clock(120 if phase else 0),
        "ContentTime": clock(75 * phase + 0.1 * place),
    }


def ge_vibrant(phase: int, _: int) -> Tags:
    """Temporal positions and trigger times; one Acquisition Time, Content Time as written."""
    return {
        "TemporalPositionIdentifier": str(phase + 1),
        "NumberOfTemporalPositions": str(PHASES),
        "TriggerTime": f"{phase * 92345.6:.1f}",
        "AcquisitionNumber": "1",
        "AcquisitionTime": clock(0),
        "ContentTime": clock(0),
        "ImageType": "ORIGINAL\\PRIMARY\\OTHER",
    }


def ge_vibrant_by_trigger_time(phase: int, place: int) -> Tags:
    tags = ge_vibrant(phase, place)
    return {
        keyword: value for keyword, value in tags.items() if not keyword.startswith(("T", "N"))
    } | {"TriggerTime": tags["TriggerTime"]}


def ge_disco(phase: int, place: int) -> Tags:
    """Two phases have one trigger time after rounding; positions are rounded to a tenth."""
    return {
        **ge_vibrant(phase, place),
        "TriggerTime": str(3000 * (phase - (phase == 2))),
        "ImagePositionPatient": f"-170\\-120\\{-80 + 2 * place + 0.09 * (-1) ** (phase + place)}",
    }


def ge_wrong_number_of_positions(phase: int, place: int) -> Tags:
    return {**ge_vibrant(phase, place), "NumberOfTemporalPositions": "1"}


def philips_ethrive(phase: int, place: int) -> Tags:
    """Temporal positions; Content Time jitters, Trigger Time runs by slice in every phase."""
    jitter = random.Random(f"{phase}/{place}").uniform(-20, 20)
    return {
        "TemporalPositionIdentifier": str(phase + 1),
        "NumberOfTemporalPositions": str(PHASES),
        "TriggerTime": str(7 * place),
        "AcquisitionNumber": "8",
        "AcquisitionTime": clock(0),
        "ContentTime": clock(400 + jitter),
        "ImageType": "ORIGINAL\\PRIMARY\\M_FFE\\M\\FFE",
        "InstanceNumber": str(1 + place * PHASES + phase),
        "ImagePositionPatient": f"-170\\{-120 + jitter / 250}\\{-80 + 2 * place - jitter / 250}",
    }


def philips_by_trigger_time(phase: int, place: int) -> Tags:
    """Times of the dynamic scans jitter by milliseconds."""
    return {
        "TriggerTime": str(60_000 * phase + 3 * (place % 3)),
        "AcquisitionNumber": "8",
        "AcquisitionTime": clock(0),
        "InstanceNumber": str(1 + place * PHASES + phase),
    }


def canon_dynamic(phase: int, _: int) -> Tags:
    """Acquisition Number and times by phase."""
    return {
        "ImageType": "ORIGINAL\\PRIMARY\\M",
        "AcquisitionNumber": str(phase),
        "AcquisitionTime": clock(80 * phase),
        "ContentTime": clock(80 * phase),
    }


def fuji_dynamic(phase: int, place: int) -> Tags:
    """Hitachi, now Fuji: Content Time alone, by slice."""
    return {"ContentTime": clock(80 * phase + 0.4 * place)}


def over_midnight(phase: int, _: int) -> Tags:
    """One date for all, as of the study."""
    late = datetime(2025, 3, 11, 23, 57) + timedelta(seconds=80 * phase)
    return {"AcquisitionTime": late.strftime("%H%M%S"), "ContentTime": late.strftime("%H%M%S")}


CLASSIC: Mapping[Callable[[int, int], Tags], tuple[PartKey, PartDoubt | None]] = {
    siemens_twist: (PartKey.ACQUISITION_TIME, None),
    siemens_twist_by_phase: (PartKey.CONTENT_TIME, None),
    siemens_fl3d_mosaic_of_numbers: (PartKey.ACQUISITION_TIME, None),
    siemens_pre_apart_from_post: (PartKey.CONTENT_TIME, None),
    ge_vibrant: (PartKey.TEMPORAL_POSITION, None),
    ge_vibrant_by_trigger_time: (PartKey.TRIGGER_TIME, None),
    ge_disco: (PartKey.TEMPORAL_POSITION, None),
    ge_wrong_number_of_positions: (PartKey.TEMPORAL_POSITION, None),
    philips_ethrive: (PartKey.TEMPORAL_POSITION, None),
    philips_by_trigger_time: (PartKey.TRIGGER_TIME, None),
    canon_dynamic: (PartKey.ACQUISITION_TIME, None),
    fuji_dynamic: (PartKey.CONTENT_TIME, None),
    over_midnight: (PartKey.ACQUISITION_TIME, None),
}


def classic(scanner: Callable[[int, int], Tags]) -> list[PartImage]:
    return [
        image
        for phase in range(PHASES)
        for place in range(SLICES)
        for image in images_of(f"{phase}/{place}", basic(phase, place) | scanner(phase, place))
    ]


def phases_of(split: Split) -> list[list[str]]:
    return [[image.instance for image in part.images] for part in split.parts]


RIGHT = [[f"{phase}/{place}" for place in range(SLICES)] for phase in range(PHASES)]


@pytest.mark.parametrize("scanner", CLASSIC, ids=lambda scanner: scanner.__name__)
def test_classic_images_are_split_into_their_phases(scanner: Callable[[int, int], Tags]) -> None:
    images = classic(scanner)
    for seed in range(3):
        random.Random(seed).shuffle(images)
        split = split_series(images)
        assert phases_of(split) == RIGHT
        assert (split.key, split.doubt) == CLASSIC[scanner]


def siemens_xa(phase: int, place: int) -> Tags:
    """Frame times and Temporal Position Index; an Acquisition Number for each phase."""
    return {
        "FrameContentSequence": [
            {
                "TemporalPositionIndex": str(phase + 1),
                "FrameAcquisitionNumber": str(phase + 1),
                "FrameAcquisitionDateTime": f"20250311{clock(75 * phase)}",
                "FrameReferenceDateTime": f"20250311{clock(75 * phase + 30)}",
                "StackID": "1",
                "InStackPositionNumber": str(place + 1),
            }
        ],
        "MRImageFrameTypeSequence": [{"FrameType": "ORIGINAL\\PRIMARY\\DYNAMIC\\NONE"}],
    }


def philips_enhanced(phase: int, place: int) -> Tags:
    """Offsets of the temporal positions, and one time of acquisition for all frames."""
    return {
        "FrameContentSequence": [
            {
                "TemporalPositionIndex": str(phase + 1),
                "FrameAcquisitionNumber": "8",
                "FrameAcquisitionDateTime": f"20250311{clock(0)}",
                "StackID": "1",
                "InStackPositionNumber": str(place + 1),
            }
        ],
        "TemporalPositionSequence": [{"TemporalPositionTimeOffset": str(61.3 * phase)}],
    }


def philips_enhanced_without_index(phase: int, place: int) -> Tags:
    tags = philips_enhanced(phase, place)
    del tags["FrameContentSequence"][0]["TemporalPositionIndex"]
    return tags


def canon_enhanced(phase: int, _: int) -> Tags:
    """Stacks that count phases, and frame times."""
    when = f"20250311{clock(80 * phase)}"
    return {"FrameContentSequence": [{"StackID": str(phase + 1), "FrameAcquisitionDateTime": when}]}


ENHANCED: Mapping[Callable[[int, int], Tags], PartKey] = {
    siemens_xa: PartKey.TEMPORAL_POSITION,
    philips_enhanced: PartKey.TEMPORAL_POSITION,
    philips_enhanced_without_index: PartKey.TRIGGER_TIME,
    canon_enhanced: PartKey.ACQUISITION_TIME,
}


def frame(scanner: Callable[[int, int], Tags], phase: int, place: int) -> Tags:
    plane = {"ImagePositionPatient": f"-170\\-120\\{-80 + 2 * place}"}
    return {"PlanePositionSequence": [plane], **scanner(phase, place)}


@pytest.mark.parametrize("is_slice_by_slice", [False, True])
@pytest.mark.parametrize("scanner", ENHANCED, ids=lambda scanner: scanner.__name__)
def test_enhanced_frames_are_split_into_their_phases(
    scanner: Callable[[int, int], Tags], is_slice_by_slice: bool
) -> None:
    order = [(phase, place) for phase in range(PHASES) for place in range(SLICES)]
    if is_slice_by_slice:
        order.sort(key=lambda at: at[1])
    tags = {
        "Rows": "8",
        "Columns": "8",
        "NumberOfFrames": str(len(order)),
        "ImageType": "ORIGINAL\\PRIMARY\\DYNAMIC\\NONE",
        "SharedFunctionalGroupsSequence": [
            {
                "PlaneOrientationSequence": [{"ImageOrientationPatient": "1\\0\\0\\0\\1\\0"}],
                "PixelMeasuresSequence": [{"PixelSpacing": "0.7\\0.7"}],
            }
        ],
        "PerFrameFunctionalGroupsSequence": [frame(scanner, *at) for at in order],
    }
    split = split_series(images_of("one", tags))
    found = [[order[(image.frame or 0) - 1] for image in part.images] for part in split.parts]
    assert found == [[(phase, place) for place in range(SLICES)] for phase in range(PHASES)]
    assert (split.key, split.doubt) == (ENHANCED[scanner], None)
