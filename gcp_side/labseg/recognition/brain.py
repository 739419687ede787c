"""Brain sequences: T1, T1 after contrast, T2, FLAIR.

``weighting``  what a single series is; ``contrast``  whether it is after contrast, which only
the study as a whole can show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gcp_side.labseg.recognition import words
from gcp_side.labseg.recognition.attributes import SeriesAttributes, plane_of
from gcp_side.labseg.recognition.contrast import contrast_of
from gcp_side.labseg.recognition.contrast_words import ContrastWord, read_contrast
from gcp_side.labseg.recognition.evidence import Confidence, Evidence, Recognised
from gcp_side.labseg.recognition.weighting import WeightingReading, kind_of, read_weighting
from segrelay.profiles import Weighting

FAR_MORE_SLICES = 2
"""A volume has at least this many times the slices of a series that is thick in one direction."""


def recognise_sequence(
    role: str, weighting: Weighting, contrast: bool | None, series: Sequence[SeriesAttributes]
) -> Recognised:
    """The series that plays ``role``; ``contrast``: whether it is after contrast, None: either."""
    readings = _study(series)
    if contrast is not None:
        readings = [_with_contrast(item, readings, series) for item in readings]
    fitting = [item for item in readings if item.weighting == weighting]
    known = [item for item in fitting if contrast is None or item.contrast == contrast]
    unclear = [item for item in fitting if item.contrast is None]
    # What may be before or after contrast is taken only where nothing else fits.
    chosen = known or unclear
    if not chosen:
        why = Evidence.of("none-fits", kind=kind_of(weighting, contrast))
        return Recognised.none(role, why)
    best = _choose(chosen)
    return Recognised(
        role=role,
        series_id=best.series.series_id,
        confidence=best.confidence,
        evidence=best.evidence,
    )


def _study(series: Sequence[SeriesAttributes]) -> list[WeightingReading]:
    """All series that have a weighting.

    Derived series only where the study has no originals: one that was converted or registered.
    """
    readings = [reading for item in series if (reading := read_weighting(item)) is not None]
    originals = [reading for reading in readings if not reading.series.derived]
    return originals or readings


def _with_contrast(
    reading: WeightingReading,
    readings: Sequence[WeightingReading],
    series: Sequence[SeriesAttributes],
) -> WeightingReading:
    """A T1-weighted reading with what the study says of contrast; any other as it is."""
    if reading.weighting != "T1":
        return reading
    said = contrast_of(reading.series, readings, series)
    order = (Confidence.GUESS, Confidence.LIKELY, Confidence.CERTAIN)
    return replace(
        reading,
        contrast=said.is_after,
        evidence=(*reading.evidence, *said.evidence),
        confidence=min(reading.confidence, said.confidence, key=order.index),
    )


def _choose(readings: Sequence[WeightingReading]) -> WeightingReading:
    """The only one, or the usual one of several: of the head, before contrast, axial, the repeat.

    A choice by the number of slices alone is a guess, and its evidence says so.
    """
    left, reasons = list(readings), []
    for code, choose in (
        ("no-other-part", _of_the_head),
        ("before-contrast", _plain),
        ("axial", _axial),
        ("done-again", _repeated),
    ):
        usual = choose(left)
        if usual and len(usual) < len(left):
            reasons.append(Evidence.of(code, count=len(left)))
            left = usual
    if len(left) == 1:
        confidence = _at_most_likely(left[0].confidence) if reasons else left[0].confidence
        return replace(left[0], confidence=confidence, evidence=(*left[0].evidence, *reasons))
    most = max(reading.series.instances for reading in left)
    largest = [reading for reading in left if reading.series.instances == most]
    chosen = min(largest, key=lambda reading: reading.series.series_id)
    why = (
        Evidence.of("several", count=len(left))
        if len(largest) == 1
        else Evidence.of("several-equal", count=len(largest))
    )
    return replace(chosen, confidence=Confidence.GUESS, evidence=(*chosen.evidence, *reasons, why))


def _of_the_head(readings: Sequence[WeightingReading]) -> list[WeightingReading]:
    """Those whose names speak of no other part of the body than the whole head."""
    return [one for one in readings if not words.other_region(words.plain(one.series.description))]


def _plain(readings: Sequence[WeightingReading]) -> list[WeightingReading]:
    """Those of which nothing says that contrast was given before, unless their role asks for it."""
    return [
        one
        for one in readings
        if one.contrast is not None
        or not (
            one.series.agent
            or read_contrast(words.plain(one.series.description)).word is ContrastWord.AFTER
        )
    ]


def _axial(readings: Sequence[WeightingReading]) -> list[WeightingReading]:
    """The axial ones; none where another is a volume of far more slices.

    Images of one study are compared in the axial plane, unless one is thin in every direction.
    """
    axial = [one for one in readings if plane_of(one.series.orientation) == "axial"]
    most = max(one.series.instances for one in readings)
    is_alike = any(one.series.instances * FAR_MORE_SLICES > most for one in axial)
    return axial if is_alike else []


def _repeated(readings: Sequence[WeightingReading]) -> list[WeightingReading]:
    """Those that repeat another one of their name and size, which had failed."""
    names = {one.series.series_id: words.plain(one.series.description) for one in readings}
    again = [one for one in readings if words.is_repeated(names[one.series.series_id])]
    first = [one for one in readings if one not in again]
    is_each = all(
        names[one.series.series_id].startswith(names[other.series.series_id])
        and one.series.instances == other.series.instances
        for one in again
        for other in first
    )
    return again if first and is_each else []


def _at_most_likely(confidence: Confidence) -> Confidence:
    return Confidence.LIKELY if confidence is Confidence.CERTAIN else confidence
