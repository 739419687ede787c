"""Brain sequences: T1, T1 after contrast, T2, FLAIR."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from common.profiles import Weighting
from gcp_side.labseg.recognition.clues import Clue, Confidence, Recognised, clue
from gcp_side.labseg.recognition.facts import SeriesFacts

LONG_ECHO_MS = 60.0
SHORT_ECHO_MS = 35.0
SHORT_REPETITION_MS = 1000.0
"""Of a spin echo that is T1-weighted."""
LONG_REPETITION_MS = 2000.0
FLUID_INVERSION_MS = 1500.0
"""From here on the inversion is for fluid (at 1.5 and 3 T), below it is for T1 contrast."""
MAYBE_INVERTED_MS = 6000.0
"""Repetition time from which an inversion fits in, whether it is told or not."""

_OTHER = re.compile(
    r"t2[ _-]?\*|t2[ _-]?star|\bswi\b|\bswan\b|dwi|diff|\badc\b|trace|\bdti\b|perf|\basl\b|\bdsc\b"
    r"|\bloc|scout|survey|\bmra\b|\btof\b|\bmip\b|\bsub|subtr|field ?map|\bb0\b|bold|spectro"
    r"|\bpd\b",
    re.I,
)
_T1 = re.compile(r"(?<![a-z0-9])t1|mprage|mp[- _]?rage|bravo|spgr|tfl", re.I)
_T2 = re.compile(r"(?<![a-z0-9])t2", re.I)
_FLAIR = re.compile(r"flair|dark[- _]?fluid|tirm", re.I)
_WITHOUT = re.compile(
    r"\bpre\b|pre[-_ ]?contrast|\bnon[-_ ]?contrast|\bw/?o\b|without|native", re.I
)
_WITH = re.compile(
    r"post|gad|\bgd\b|[+ _-]gd|(?<![a-z])c\+|\+c(?![a-z])|contrast|\bce\b|\bkm\b|enhanced"
    r"|(?<![a-z0-9])t1(c|ce|gd)\b",
    re.I,
)
# An underscore counts as a letter for \b, and parts descriptions all the same.
_UNDERSCORE = str.maketrans("_", " ")


@dataclass(frozen=True)
class _Reading:
    """What one series is, as far as its clues tell."""

    series: SeriesFacts
    weighting: Weighting
    contrast: bool
    clues: tuple[Clue, ...]
    confidence: Confidence


def recognise_sequence(
    role: str, weighting: Weighting, contrast: bool | None, series: Sequence[SeriesFacts]
) -> Recognised:
    """The series that plays ``role``; ``contrast``: whether it is after contrast, None: either."""
    readings = [
        reading
        for item in series
        if (reading := _read(item)) is not None
        and reading.weighting == weighting
        and contrast in (None, reading.contrast)
    ]
    if not readings:
        why = clue("none-fits", kind=_kind(weighting, contrast))
        return Recognised(role=role, series_id=None, confidence=Confidence.NONE, clues=(why,))
    chosen = _choose(readings)
    return Recognised(
        role=role,
        series_id=chosen.series.series_id,
        confidence=chosen.confidence,
        clues=chosen.clues,
    )


def _choose(readings: Sequence[_Reading]) -> _Reading:
    """The one with the most slices; whoever has a choice says so."""
    most = max(reading.series.instances for reading in readings)
    largest = [reading for reading in readings if reading.series.instances == most]
    chosen = min(largest, key=lambda reading: reading.series.series_id)
    if len(readings) == 1:
        return chosen
    why = (
        clue("several", count=len(readings))
        if len(largest) == 1
        else clue("several-equal", count=len(largest))
    )
    return replace(chosen, confidence=Confidence.GUESS, clues=(*chosen.clues, why))


def _read(item: SeriesFacts) -> _Reading | None:
    text = item.description.translate(_UNDERSCORE)
    if item.derived or _OTHER.search(text):
        return None
    named, timed = _named(text), _timed(item)
    weighting = named or timed
    if weighting is None:
        return None
    contrast, contrast_clues, contrast_sure = _contrast(item, text)
    if weighting != "T1":
        contrast_clues, contrast_sure = (), True
    clues: list[Clue] = []
    if named:
        kind = _kind(named, None)
        clues.append(clue("description", description=item.description, kind=kind))
    confidence = Confidence.LIKELY
    if timed and timed == weighting:
        clues.append(clue("timing", timing=_timing(item), kind=_kind(timed, None)))
        confidence = Confidence.CERTAIN if named and contrast_sure else Confidence.LIKELY
    elif timed:
        clues.append(clue("timing-disagrees", timing=_timing(item), kind=_kind(timed, None)))
        confidence = Confidence.GUESS
    return _Reading(item, weighting, contrast, (*clues, *contrast_clues), confidence)


def _named(text: str) -> Weighting | None:
    """What the description says; None where it says nothing, or two things."""
    t1, t2, flair = (bool(rule.search(text)) for rule in (_T1, _T2, _FLAIR))
    if flair:
        # "T1 FLAIR" is T1-weighted; "T2 FLAIR" is the usual one.
        return "T1" if t1 and not t2 else "FLAIR"
    if t1 == t2:
        return None
    return "T1" if t1 else "T2"


def _timed(item: SeriesFacts) -> Weighting | None:
    """What echo, repetition and inversion time fit; None where they fit nothing clearly."""
    echo, repetition, inversion = item.echo_ms, item.repetition_ms, item.inversion_ms
    if echo is None:
        return None
    if inversion is not None and inversion >= FLUID_INVERSION_MS and echo >= LONG_ECHO_MS:
        return "FLAIR"
    if echo <= SHORT_ECHO_MS:
        short = repetition is not None and 0 < repetition <= SHORT_REPETITION_MS
        inverted = inversion is not None and 0 < inversion < FLUID_INVERSION_MS
        return "T1" if short or inverted else None
    long = repetition is not None and repetition >= LONG_REPETITION_MS
    # Without its inversion time a FLAIR looks as a T2 with a very long repetition time.
    if echo < LONG_ECHO_MS or not long:
        return None
    return None if _might_be_inverted(item) else "T2"


def _might_be_inverted(item: SeriesFacts) -> bool:
    return (item.inversion_ms or 0) > 0 or (item.repetition_ms or 0) > MAYBE_INVERTED_MS


def _contrast(item: SeriesFacts, text: str) -> tuple[bool, tuple[Clue, ...], bool]:
    """Whether it is after contrast, the clues, and whether they agree.

    The description has the last word: scanners keep the agent's name for later series, and
    many never fill it in.
    """
    without, said = bool(_WITHOUT.search(text)), bool(_WITH.search(text))
    agent = clue("agent") if item.agent else clue("no-agent")
    if without:
        return False, (agent,), not item.agent
    if said:
        return True, (clue("contrast-in-description"), agent), bool(item.agent)
    # No word and no agent: what is not told was most likely not given.
    return bool(item.agent), (agent,), True


def _timing(item: SeriesFacts) -> str:
    times = (("TE", item.echo_ms), ("TR", item.repetition_ms), ("TI", item.inversion_ms))
    return ", ".join(f"{name} {value:g} ms" for name, value in times if value is not None)


def _kind(weighting: Weighting, contrast: bool | None) -> str:
    return weighting if contrast is None else f"{weighting} {'+' if contrast else '-'}C"
