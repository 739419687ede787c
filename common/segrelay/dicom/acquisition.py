"""Read the attributes of an MR acquisition, for the site and the lab alike.

Numbers are compared with a tolerance: scanners, converters and de-identification write the same
echo time as 2.3 and as 2.30001 (DICOM PS3.5 6.2: a Decimal String holds 16 characters, and each
program that writes it rounds it in its own way).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Literal

Timing = Literal["T1", "T2", "FLAIR", "STIR", "PD"]
DixonImage = Literal["water", "fat", "in-phase", "opposed-phase"]

SAME_FRACTION = 0.01
"""Numbers that differ by less than this fraction are one setting of the scanner, rounded."""
SAME_AMOUNT = 0.02
"""The same as an amount, for numbers near 0: ms, mm, degrees, or a direction cosine."""

LONG_ECHO_MS = 60.0
SHORT_ECHO_MS = 35.0
GRADIENT_ECHO_MS = 8.0
"""Below it no spin echo is read; a long repetition time is then that of a prepared T1."""
SHORT_REPETITION_MS = 1000.0
"""Of a spin echo that is T1-weighted."""
SLOW_REPETITION_MS = 1500.0
"""From here on a short echo without inversion is proton density."""
LONG_REPETITION_MS = 2000.0
T1_INVERSION_MS = 350.0
"""From here on the inversion is for T1 contrast; below it, with a long repetition, for fat."""
FLUID_INVERSION_MS = 1500.0
"""From here on the inversion is for fluid (at 1.5 and 3 T)."""
MAYBE_INVERTED_MS = 6000.0
"""Repetition time from which an inversion fits in, whether it is named or not."""

HALF_A_DAY = timedelta(hours=12)

NO_DATE = date(2000, 1, 1)
"""The day of times whose date is absent."""

_MINUTES = len("YYYYMMDDHHMM")
"""A time of day that gives no minutes sorts nothing."""

_OFFSET = re.compile(r"[+-]")
"""From UTC, at the end of a DT: the images of one scan share it."""

_NO_AGENT = re.compile(
    r"(?:n|no|non|none|not|nil|n/?a|null|false|without|w/?o|ohne|sans|sin|kein|nein|plain|nativ|native"
    r"|unenhanced|unknown|없음|무|なし|無|无|0+(?:[.,]0+)? ?(?:ml|cc|mg)?|[-.]+)(?:[^a-z0-9].*)?",
    re.I | re.S,
)
_DIXON_VALUES: dict[str, DixonImage] = {
    "WATER": "water",
    "W": "water",
    "FAT": "fat",
    "F": "fat",
    "IN_PHASE": "in-phase",
    "INPHASE": "in-phase",
    "IP": "in-phase",
    "OUT_PHASE": "opposed-phase",
    "OUTPHASE": "opposed-phase",
    "OPP_PHASE": "opposed-phase",
    "OPPOSED_PHASE": "opposed-phase",
    "OP": "opposed-phase",
}
_COMPUTED_VALUE = re.compile(
    r"SUB(TR(ACT(ED|ION)?)?)?([ _]?(IMAGE|MIP|\d+))?|DIFFERENCE|DIVISION|MULTIPLICATION"
    r"|MIP|MINIP|MNIP|MAX_IP|MIN_IP|MAXIMUM|MINIMUM|STD_DEVIATION"
    r"|ADC|EADC|DIFFUSION|TRACEW|TRACE|FA|PERFUSION"
    r"|CBF|CBV|MTT|TTP|PEI|PBP|RCBV|LOCALIZER|SWI|T1_MAP|T2_MAP|MAP|R2_MAP|FF|FATFRACTION"
    r"|FAT_FRACTION|CSA_REPORT|SCREEN|FIELD_MAP|VELOCITY"
)
_FIRST_FREE_VALUE = 2
"""Of Image Type: values 1 and 2 are pixel and patient examination characteristics."""


def is_same(first: float | None, second: float | None) -> bool:
    """Whether two numbers are one setting of the scanner; what is missing is like what is missing.

    Within :data:`SAME_FRACTION` of the larger, or :data:`SAME_AMOUNT`.
    """
    if first is None or second is None:
        return first is second
    tolerance = max(SAME_AMOUNT, SAME_FRACTION * max(abs(first), abs(second)))
    return abs(first - second) <= tolerance


def all_same(first: Sequence[float] | None, second: Sequence[float] | None) -> bool:
    """:func:`is_same` for each pair of two sequences of one length."""
    if first is None or second is None:
        return first is second
    return len(first) == len(second) and all(map(is_same, first, second))


def named_agent(agent: str, *amounts: float | None) -> str:
    """The contrast agent that was given; empty where the attribute says that none was.

    Parameters
    ----------
    agent:
        Contrast/Bolus Agent (0018,0010): in practice also ``NONE``, ``No``, ``0``, ``없음``.
    amounts:
        Contrast/Bolus Volume and Total Dose where they are known: an agent of 0 ml was not given.
    """
    text = agent.strip()
    if not text or _NO_AGENT.fullmatch(text) or any(amount == 0 for amount in amounts):
        return ""
    return text


def dixon_image(image_type: Iterable[str]) -> DixonImage | None:
    """Which of the images of a Dixon acquisition the Image Type (0008,0008) names."""
    named = {
        _DIXON_VALUES[value]
        for value in list(image_type)[_FIRST_FREE_VALUE:]
        if value in _DIXON_VALUES
    }
    return named.pop() if len(named) == 1 else None


def is_computed(image_type: Sequence[str]) -> bool:
    """Whether the Image Type names something computed that no network takes as a sequence.

    Subtractions, projections, maps, phase images; not what is only reformatted or converted.
    """
    free = image_type[_FIRST_FREE_VALUE:]
    if "PROJECTION IMAGE" in free or any(map(_COMPUTED_VALUE.fullmatch, free)):
        return True
    # MR Image Type value 3 of a phase image; "P" in a later value is a filter's name.
    return free[:1] in (("P",), ("PHASE MAP",), ["P"], ["PHASE MAP"])


def weighting_by_times(
    echo_ms: float | None, repetition_ms: float | None, inversion_ms: float | None
) -> Timing | None:
    """Weighting that echo, repetition and inversion time (ms) fit; None where none fits clearly."""
    if echo_ms is None:
        return None
    repetition, inversion = repetition_ms or 0.0, inversion_ms or 0.0
    if inversion >= FLUID_INVERSION_MS:
        return "FLAIR" if echo_ms >= LONG_ECHO_MS else None
    if 0 < inversion < T1_INVERSION_MS and repetition >= SLOW_REPETITION_MS:
        return "STIR" if echo_ms >= GRADIENT_ECHO_MS else None
    if echo_ms <= SHORT_ECHO_MS:
        if 0 < repetition <= SHORT_REPETITION_MS or inversion > 0:
            return "T1"
        is_slow = repetition >= SLOW_REPETITION_MS and echo_ms >= GRADIENT_ECHO_MS
        return "PD" if is_slow else None
    # Without its inversion time a FLAIR looks like a T2 with a very long repetition time.
    might_be_inverted = inversion > 0 or repetition > MAYBE_INVERTED_MS
    if echo_ms < LONG_ECHO_MS or repetition < LONG_REPETITION_MS or might_be_inverted:
        return None
    return "T2"


def acquired_at(text: Callable[[str], str]) -> datetime | None:
    """When an image was acquired: Acquisition DateTime, else Acquisition Date and Time.

    Parameters
    ----------
    text:
        From a keyword to the value as DICOM writes it (PS3.5 6.2: DA, DT, TM); empty where absent.
    """
    both = moment_of_both(text("AcquisitionDateTime"))
    return both or moment_of(text("AcquisitionDate"), text("AcquisitionTime"))


def moment_of_both(text: str) -> datetime | None:
    """Read a DT, its offset from UTC aside; None where it has no time."""
    return _moment(_OFFSET.split(text)[0])


def moment_of(day: str, time: str) -> datetime | None:
    """Join a DA and a TM: without a date on :data:`NO_DATE`; None where there is no time."""
    return _moment((day.strip("\0 ") or f"{NO_DATE:%Y%m%d}") + time.strip("\0 "))


def _moment(text: str) -> datetime | None:
    whole, _, fraction = text.strip("\0 ").partition(".")
    if len(whole) < _MINUTES:
        return None
    try:
        moment = datetime.strptime(whole[:14].ljust(14, "0"), "%Y%m%d%H%M%S")
        return moment.replace(microsecond=int(fraction[:6].ljust(6, "0")))
    except ValueError:
        return None


def are_comparable(moments: Iterable[datetime]) -> bool:
    """Whether these can be sorted: all have a date, or none has."""
    return len({moment.date() == NO_DATE for moment in moments}) < 2


def after_midnight(moments: Sequence[datetime]) -> frozenset[datetime]:
    """Those acquisition times of one dynamic scan that are of the next day.

    The date is absent, or was written once for all: no dynamic scan takes half a day, so one
    that seems to went over midnight.
    """
    days: set[date] = {moment.date() for moment in moments}
    if len(days) != 1 or max(moments) - min(moments) < HALF_A_DAY:
        return frozenset()
    middle = min(moments) + HALF_A_DAY
    return frozenset(moment for moment in moments if moment < middle)
