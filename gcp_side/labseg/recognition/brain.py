"""Brain sequences: T1, T1 after contrast, T2, FLAIR.

``weighting``  what a single series is; ``contrast``  whether it is after contrast, which only
the study as a whole can show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gcp_side.labseg.recognition.attributes import SeriesAttributes
from gcp_side.labseg.recognition.contrast import contrast_of
from gcp_side.labseg.recognition.evidence import Confidence, Evidence, Recognised
from gcp_side.labseg.recognition.weighting import WeightingReading, kind_of, read_weighting
from segrelay.profiles import Weighting


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
    """The one with the most slices; a choice among several is a guess, and says so."""
    most = max(reading.series.instances for reading in readings)
    largest = [reading for reading in readings if reading.series.instances == most]
    chosen = min(largest, key=lambda reading: reading.series.series_id)
    if len(readings) == 1:
        return chosen
    why = (
        Evidence.of("several", count=len(readings))
        if len(largest) == 1
        else Evidence.of("several-equal", count=len(largest))
    )
    return replace(chosen, confidence=Confidence.GUESS, evidence=(*chosen.evidence, why))
