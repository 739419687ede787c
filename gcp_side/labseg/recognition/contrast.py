"""Whether a T1-weighted series is before or after contrast, seen against its whole study.

A word has the last word: scanners keep the agent's name for later series, or write it into all
of an examination, and many never fill it in. What has no word is before contrast only against
another series that is after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from gcp_side.labseg.recognition import words
from gcp_side.labseg.recognition.attributes import SeriesAttributes
from gcp_side.labseg.recognition.contrast_words import ContrastReading, ContrastWord, read_contrast
from gcp_side.labseg.recognition.evidence import Confidence, Evidence
from gcp_side.labseg.recognition.weighting import WeightingReading


@dataclass(frozen=True)
class Contrast:
    """Whether contrast was given before the series, and how sure that is."""

    is_after: bool | None
    evidence: tuple[Evidence, ...]
    confidence: Confidence


@dataclass(frozen=True)
class _Study:
    """One T1 series among the others of its study."""

    item: SeriesAttributes
    t1: Sequence[SeriesAttributes]
    """The other T1-weighted series."""
    others: Sequence[SeriesAttributes]
    """T2-weighted series and FLAIRs."""
    all: Sequence[SeriesAttributes]
    """Every series of the study."""

    def word(self, item: SeriesAttributes) -> ContrastWord:
        """What its description says; a word of the whole examination says nothing."""
        reading = _reading(item)
        weighted = [_reading(one) for one in (self.item, *self.t1, *self.others)]
        is_everywhere = bool(self.others) and all(one.word is reading.word for one in weighted)
        if is_everywhere and reading.is_explicit:
            # The examination is called "CE", and this one "POST".
            is_everywhere = all(one.is_explicit for one in weighted)
        is_protocol = reading.names_both and sum(_reading(one).names_both for one in self.all) > 1
        if is_everywhere or (is_protocol and reading.word is ContrastWord.BOTH):
            return ContrastWord.NOTHING
        return reading.word

    @property
    def after(self) -> list[SeriesAttributes]:
        """Other T1 series whose description says *after*."""
        return [one for one in self.t1 if self.word(one) is ContrastWord.AFTER]

    @property
    def is_agent_everywhere(self) -> bool:
        """Whether the agent is named in all T1, T2 and FLAIR series: then it says nothing."""
        everything = [self.item, *self.t1, *self.others]
        return bool(self.others) and all(one.agent for one in everything)


def contrast_of(
    item: SeriesAttributes, readings: Sequence[WeightingReading], series: Sequence[SeriesAttributes]
) -> Contrast:
    """Whether ``item``, a T1-weighted series, is after contrast.

    Parameters
    ----------
    readings:
        All weighted series of the study.
    series:
        All series of the study, of whatever kind.
    """
    study = _Study(
        item=item,
        t1=[
            one.series
            for one in readings
            if one.weighting == "T1" and one.series.series_id != item.series_id
        ],
        others=[one.series for one in readings if one.weighting != "T1"],
        all=series,
    )
    said = study.word(item)
    agent = Evidence.of("agent") if item.agent else Evidence.of("no-agent")
    if said is ContrastWord.BOTH:
        return Contrast(None, (Evidence.of("both-words"), agent), Confidence.GUESS)
    if said in (ContrastWord.AFTER, ContrastWord.BEFORE):
        read = _said_after if said is ContrastWord.AFTER else _said_before
        found = read(study, agent)
        if not _reading(item).is_doubtful:
            return found
        # What "pre" or "post" may be said of.
        unknown = [word for word in _reading(item).rest if not words.is_neutral(word)]
        why = Evidence.of("unknown-words", words=" ".join(unknown))
        return replace(found, evidence=(*found.evidence, why), confidence=Confidence.GUESS)
    return _unsaid_with_agent(study) if item.agent else _unsaid(study)


def _said_after(study: _Study, agent: Evidence) -> Contrast:
    evidence = (Evidence.of("contrast-in-description"), agent)
    against = [
        one
        for one in study.t1
        if study.word(one) is not ContrastWord.AFTER and one.agent and not study.item.agent
    ]
    if against:
        return Contrast(True, (*evidence, Evidence.of("agent-elsewhere")), Confidence.GUESS)
    is_sure = bool(study.item.agent) and not study.is_agent_everywhere
    return Contrast(True, evidence, Confidence.CERTAIN if is_sure else Confidence.LIKELY)


def _said_before(study: _Study, agent: Evidence) -> Contrast:
    evidence = (Evidence.of("before-in-description"), agent)
    if _is_late(study.item, study.after):
        return Contrast(False, (*evidence, Evidence.of("later-than-contrast")), Confidence.GUESS)
    return Contrast(False, evidence, Confidence.LIKELY if study.item.agent else Confidence.CERTAIN)


def _unsaid_with_agent(study: _Study) -> Contrast:
    """The agent's name alone."""
    if study.is_agent_everywhere and study.after:
        evidence = (Evidence.of("agent-everywhere"), *_opposite(study.after))
        is_early = all(_comes_first(study.item, one) for one in study.after)
        if is_early and not _unknown_words(study):
            return Contrast(False, evidence, Confidence.LIKELY)
        return Contrast(None, evidence, Confidence.GUESS)
    has_opposite = any(not one.agent for one in study.t1)
    is_contradicted = any(not one.agent for one in study.after)
    if has_opposite and not is_contradicted:
        return Contrast(True, (Evidence.of("agent"),), Confidence.LIKELY)
    return Contrast(None, (Evidence.of("agent"), Evidence.of("contrast-unclear")), Confidence.GUESS)


def _unsaid(study: _Study) -> Contrast:
    """Neither a word nor an agent: before contrast if another one is after it."""
    after = study.after or [one for one in study.t1 if one.agent]
    evidence = (Evidence.of("no-agent"), *_opposite(after))
    unknown = _unknown_words(study)
    if unknown:
        why = Evidence.of("unknown-words", words=" ".join(unknown))
        return Contrast(None if not after else False, (*evidence, why), Confidence.GUESS)
    if not after:
        if _has_sign_of_contrast(study):
            return Contrast(None, (*evidence, Evidence.of("contrast-unclear")), Confidence.GUESS)
        return Contrast(False, evidence, Confidence.LIKELY)
    if _is_late(study.item, after):
        return Contrast(False, (*evidence, Evidence.of("later-than-contrast")), Confidence.GUESS)
    is_sure = any(one.agent for one in after)
    return Contrast(False, evidence, Confidence.CERTAIN if is_sure else Confidence.LIKELY)


def _opposite(after: Sequence[SeriesAttributes]) -> tuple[Evidence, ...]:
    if not after:
        return ()
    first = min(after, key=lambda one: one.series_id)
    return (Evidence.of("opposite", description=first.description),)


def _unknown_words(study: _Study) -> list[str]:
    """Words that may mean contrast in a language that is not known here.

    Those of the technique do not, nor do words that other kinds of series, or those after
    contrast, have too.
    """
    elsewhere = [*study.others, *study.after]
    t1 = {one.series_id for one in (study.item, *study.t1)}
    elsewhere += [one for one in study.all if one.series_id not in t1]
    shared = {word for one in elsewhere for word in _reading(one).rest}
    reading = _reading(study.item)
    unknown = [word for word in reading.rest if not words.is_neutral(word) and word not in shared]
    is_operation_known = any(_reading(one).names_operation for one in elsewhere)
    if reading.names_operation and not is_operation_known:
        unknown.append("pre/post-op")
    return unknown


def _has_sign_of_contrast(study: _Study) -> bool:
    """Whether something in the study says that contrast was given at all."""
    return any(
        one.agent or study.word(one) in (ContrastWord.AFTER, ContrastWord.BOTH) for one in study.all
    ) or any(words.needs_contrast(words.plain(one.description)) for one in study.all)


def _is_late(item: SeriesAttributes, after: Iterable[SeriesAttributes]) -> bool:
    return any(_comes_first(one, item) for one in after)


def _comes_first(first: SeriesAttributes, second: SeriesAttributes) -> bool:
    """By acquisition time; by series number where a time is absent or equal."""
    times = first.acquired, second.acquired
    if times[0] is not None and times[1] is not None and times[0] != times[1]:
        return times[0] < times[1]
    if first.number is None or second.number is None:
        return False
    return first.number < second.number


def _reading(item: SeriesAttributes) -> ContrastReading:
    return read_contrast(words.plain(item.description))
