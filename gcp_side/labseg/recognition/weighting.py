"""The weighting of a single series, by its words and by its times."""

from __future__ import annotations

from dataclasses import dataclass

from gcp_side.labseg.recognition import words
from gcp_side.labseg.recognition.attributes import SeriesAttributes
from gcp_side.labseg.recognition.contrast_words import read_contrast
from gcp_side.labseg.recognition.evidence import Confidence, Evidence
from segrelay.dicom.acquisition import (
    FLUID_INVERSION_MS,
    LONG_ECHO_MS,
    SHORT_ECHO_MS,
    T1_INVERSION_MS,
    Timing,
    dixon_image,
    is_computed,
    weighting_by_times,
)
from segrelay.profiles import Weighting

FLAIR_REPETITION_MS = 4500.0
"""Below it no inversion for fluid fits in."""
SHORTEST_T2_ECHO_MS = 50.0


@dataclass(frozen=True)
class WeightingReading:
    """What one series is, by its own evidence alone."""

    series: SeriesAttributes
    weighting: Weighting
    evidence: tuple[Evidence, ...]
    confidence: Confidence
    contrast: bool | None = None
    """Whether it is after contrast, where that is known."""


def read_weighting(item: SeriesAttributes) -> WeightingReading | None:
    """The weighting of a series; None where it is none of T1, T2 and FLAIR.

    Words and times that agree are *certain*, one of them is *likely*; what contradicts, or can
    mean two things, is a *guess*.
    """
    text = words.plain(item.description)
    if is_computed(item.image_type) or words.is_no_sequence(text) or "EP" in item.sequence:
        return None
    if dixon_image(item.image_type) in ("fat", "opposed-phase"):
        return None
    named, is_ambiguous = _named(text)
    timed = _timed(item, text)
    if named is None:
        return None if is_ambiguous else _by_times(item, text, timed)
    evidence = [Evidence.of("description", description=item.description, kind=named)]
    if named == "FLAIR" and is_ambiguous:
        return _inverted(item, timed, evidence)
    if timed is not None and timed != named and not _may_hide_inversion(item, text, named, timed):
        evidence.append(Evidence.of("timing-disagrees", timing=_timing(item), kind=timed))
        return WeightingReading(item, named, tuple(evidence), Confidence.GUESS)
    if is_ambiguous or _contradicts(item, text, named):
        evidence.append(Evidence.of("ambiguous", timing=_timing(item) or "—"))
        return WeightingReading(item, named, tuple(evidence), Confidence.GUESS)
    foreign = words.other_region(text)
    if foreign:
        evidence.append(Evidence.of("unknown-words", words=foreign))
        return WeightingReading(item, named, tuple(evidence), Confidence.GUESS)
    if timed != named:
        return WeightingReading(item, named, tuple(evidence), Confidence.LIKELY)
    evidence.append(Evidence.of("timing", timing=_timing(item), kind=timed))
    return WeightingReading(item, named, tuple(evidence), Confidence.CERTAIN)


def kind_of(weighting: str, contrast: bool | None) -> str:
    """``T1 +C`` and the like, for users."""
    return weighting if contrast is None else f"{weighting} {'+' if contrast else '-'}C"


def _named(text: str) -> tuple[Weighting | None, bool]:
    """What the description says, and whether it can mean another thing as well."""
    t1, t2, flair = words.names_t1(text), words.names_t2(text), words.names_flair(text)
    if t2 and not flair and words.names_gradient_echo(text):
        # T2*: blood and calcium are black.
        return None, True
    if flair:
        # "T1 FLAIR" is T1-weighted; "T2 FLAIR" is the usual one.
        return ("T1" if t1 and not t2 else "FLAIR"), t1 and t2
    if words.names_inversion(text) and not t1:
        # The same name for suppression of fluid and of fat: the inversion time decides.
        return "FLAIR", True
    if t1 and t2:
        return None, True
    return ("T1" if t1 else "T2" if t2 else None), False


def _timed(item: SeriesAttributes, text: str) -> Timing | None:
    timed = weighting_by_times(item.echo_ms, item.repetition_ms, item.inversion_ms)
    if timed == "STIR" and words.names_fat_suppression(text):
        # The inversion is that of the fat saturation, which changes no weighting.
        return weighting_by_times(item.echo_ms, item.repetition_ms, None)
    return timed


def _by_times(item: SeriesAttributes, text: str, timed: Timing | None) -> WeightingReading | None:
    """Without a word for the weighting; words that are in no list here make it a guess."""
    if timed not in ("T1", "T2", "FLAIR"):
        return None
    evidence = [Evidence.of("timing", timing=_timing(item), kind=timed)]
    unknown = [word for word in read_contrast(text).rest if not words.is_neutral(word)]
    if not unknown:
        return WeightingReading(item, timed, tuple(evidence), Confidence.LIKELY)
    evidence.append(Evidence.of("unknown-words", words=" ".join(unknown)))
    return WeightingReading(item, timed, tuple(evidence), Confidence.GUESS)


def _inverted(
    item: SeriesAttributes, timed: Timing | None, evidence: list[Evidence]
) -> WeightingReading | None:
    """``TIRM`` and ``IR``: a FLAIR or a STIR."""
    if timed == "STIR" or (item.inversion_ms and timed != "FLAIR"):
        return None
    if timed == "FLAIR":
        evidence.append(Evidence.of("timing", timing=_timing(item), kind=timed))
        return WeightingReading(item, "FLAIR", tuple(evidence), Confidence.LIKELY)
    evidence.append(Evidence.of("ambiguous", timing=_timing(item) or "—"))
    return WeightingReading(item, "FLAIR", tuple(evidence), Confidence.GUESS)


def _may_hide_inversion(item: SeriesAttributes, text: str, named: Weighting, timed: Timing) -> bool:
    """Whether the times would fit with an inversion time, which the files do not give."""
    if item.inversion_ms is not None or not (
        words.names_flair(text) or words.names_inversion(text)
    ):
        return False
    if named == "T1":
        return timed == "PD"
    return named == "FLAIR" and timed == "T2" and (item.repetition_ms or 0) >= FLAIR_REPETITION_MS


def _contradicts(item: SeriesAttributes, text: str, named: Weighting) -> bool:
    """Whether times that fit nothing clearly still speak against what is named."""
    echo, inversion = item.echo_ms, item.inversion_ms or 0.0
    if named == "T2" and inversion > 0:
        return inversion >= T1_INVERSION_MS or not words.names_fat_suppression(text)
    if echo is None:
        return False
    if named == "T1":
        return echo > SHORT_ECHO_MS or inversion >= FLUID_INVERSION_MS
    return echo < (LONG_ECHO_MS if named == "FLAIR" else SHORTEST_T2_ECHO_MS)


def _timing(item: SeriesAttributes) -> str:
    times = (("TE", item.echo_ms), ("TR", item.repetition_ms), ("TI", item.inversion_ms))
    return ", ".join(f"{name} {value:g} ms" for name, value in times if value is not None)
