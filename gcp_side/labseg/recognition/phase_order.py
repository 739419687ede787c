"""In what order the phases of one acquisition were acquired, and what says so."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from gcp_side.labseg.recognition import words
from gcp_side.labseg.recognition.attributes import SeriesAttributes
from gcp_side.labseg.recognition.contrast_words import ContrastWord, read_contrast
from gcp_side.labseg.recognition.evidence import ORDERS, Confidence, Evidence
from segrelay.dicom.acquisition import after_midnight, are_comparable
from segrelay.manifest import MOST_PARTS

Value = int | float | datetime
Order = Callable[[SeriesAttributes], Value | None]

DESCRIBED = "phase-in-description"
SERIES_NUMBER = "series-number"

_ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6}
_TECHNICAL = re.compile(
    r"(?<![a-z0-9])(?:[es]?t[12][a-z]{0,4}|p\d)(?![a-z0-9])|\d*[23]d|fl[23]d|[a-z]{2,4}[23]d\d*"
    r"|\d+([.,]\d+)? ?(?:mm|x|deg|(?:min|sec|s)(?![a-z])|[분초分秒])|(?<=x)\d+|fa ?\d+"
)
"""Numbers of the technique, and minutes after contrast, which count no phase."""
_COUNTED = re.compile(
    r"(?<![a-z])(?:ph|phase|pass|post|dyn|c ?\+|\+ ?c|seq|sequence|km|ce|gd|cm)"
    r"[ .:#/-]{0,3}(\d{1,3})(?!\d)|(?<![\d.])(\d{1,3}) ?(?:st|nd|rd|th|차|상)(?![a-z])"
)
_LAST_NUMBER = re.compile(r"(\d{1,6})\D*$")


@dataclass(frozen=True)
class Ordered:
    """The phases of a group in the order of time."""

    series: tuple[SeriesAttributes, ...]
    used: str
    """What they are sorted by, a key of :data:`evidence.ORDERS`; empty where nothing sorts them."""
    evidence: tuple[tuple[Evidence, ...], ...]
    """For each series, why it is in its place."""
    confidence: Confidence
    acquired: tuple[datetime | None, ...]
    """Acquisition times in this order, those after midnight on the next day."""


def order_of(group: Sequence[SeriesAttributes]) -> Ordered:
    """Sort by the first piece that distinguishes all phases; see what the others say.

    A piece that distinguishes only some of them sorts nothing, but can disagree.
    """
    clocks = _Clocks(group)
    values = {code: {item.series_id: clocks.value(code, item) for item in group} for code in ORDERS}
    complete = {
        code: sorted(group, key=lambda item: (known[item.series_id], item.series_id))
        for code, known in values.items()
        if _distinguishes(known)
    }
    if not complete:
        series = tuple(sorted(group, key=lambda item: item.series_id))
        why = Evidence.of("no-order", count=len(group))
        none = (None,) * len(series)
        return Ordered(series, "", ((why,),) * len(series), Confidence.GUESS, none)
    used, sorted_series = next(iter(complete.items()))
    others = [code for code in ORDERS if code != used]
    opposing = [code for code in others if not _is_rising(values[code], sorted_series)]
    agreeing = [code for code in others if code in complete and code not in opposing]
    extra = [Evidence.of("agrees", other=ORDERS[code]) for code in agreeing[:1]]
    extra += [Evidence.of("disagrees", other=ORDERS[code]) for code in opposing]
    return Ordered(
        tuple(sorted_series),
        used,
        tuple((_position_evidence(used, sorted_series, n), *extra) for n in range(len(group))),
        _confidence(used, opposing, agreeing),
        tuple(values["acquired"][item.series_id] for item in sorted_series),  # type: ignore[misc]
    )


def phase_number(item: SeriesAttributes) -> int | None:
    """Which phase the description counts; 0 before contrast, None where it does not count."""
    text = words.plain(item.description)
    if read_contrast(text).word is ContrastWord.BEFORE:
        return 0
    for word, number in _ORDINALS.items():
        if re.search(rf"\b{word}\b", text):
            return number
    bare = _TECHNICAL.sub(" ", text)
    counted = _COUNTED.search(bare)
    if counted:
        return int(counted[1] or counted[2])
    last = _LAST_NUMBER.search(bare)
    return int(last[1]) if last else None


class _Clocks:
    """The values of a group that phases can be sorted by; times over midnight go on."""

    def __init__(self, group: Sequence[SeriesAttributes]) -> None:
        moments = {
            code: [one for item in group if (one := time(item)) is not None]
            for code, time in _TIMES.items()
        }
        self._is_one_series = len({item.whole_series_id for item in group}) == 1
        # Each series counts its volumes, and its time, from its own beginning.
        self._is_counted_again = not self._is_one_series and any(
            item.part is not None for item in group
        )
        self._unusable = {code for code, known in moments.items() if not are_comparable(known)}
        self._after_midnight = {code: after_midnight(known) for code, known in moments.items()}

    def value(self, code: str, item: SeriesAttributes) -> Value | None:
        if self._is_one_series and code == SERIES_NUMBER:
            return None
        if self._is_counted_again and code in _OF_ONE_SERIES:
            return None
        value = _ORDERS[code](item)
        if code in self._unusable or value is None:
            return None
        if isinstance(value, datetime) and value in self._after_midnight[code]:
            return value + timedelta(days=1)
        return value


def _distinguishes(values: Mapping[str, Value | None]) -> bool:
    known = {value for value in values.values() if value is not None}
    return len(known) == len(values)


def _is_rising(values: Mapping[str, Value | None], series: Sequence[SeriesAttributes]) -> bool:
    """Whether the known ones of these values never fall along the series."""
    known = [value for item in series if (value := values[item.series_id]) is not None]
    return all(first <= second for first, second in pairwise(known))  # type: ignore[operator]


def _confidence(used: str, opposing: Sequence[str], agreeing: Sequence[str]) -> Confidence:
    if opposing == [SERIES_NUMBER] and used in CLOCKS and DESCRIBED in agreeing:
        # Stations and gateways number series again, in the order in which they come.
        return Confidence.LIKELY
    if opposing:
        return Confidence.GUESS
    return Confidence.CERTAIN if used in CLOCKS else Confidence.LIKELY


def _position_evidence(code: str, series: Sequence[SeriesAttributes], index: int) -> Evidence:
    item, where = series[index], {"position": index + 1, "count": len(series)}
    parameters: dict[str, dict[str, str | int]] = {
        "temporal-position": {},
        "acquired": {"time": _clock(item.acquired)},
        "triggered": {"time": f"{item.trigger_ms or 0:g}"},
        "content": {"time": _clock(item.content)},
        "acquisition-number": {"number": item.acquisition_number or 0},
        "series-number": {"number": item.number or 0},
        DESCRIBED: {"description": item.description},
    }
    return Evidence.of(code, **parameters[code], **where)


def _place_by_number(item: SeriesAttributes) -> float | None:
    """Series Number; volumes of one series come one after the other."""
    if item.number is None or item.part is None:
        return item.number
    return item.number + item.part / MOST_PARTS


def _clock(moment: datetime | None) -> str:
    return "" if moment is None else moment.strftime("%H:%M:%S")


_OF_ONE_SERIES = frozenset({"temporal-position", "triggered", "acquisition-number"})

_TIMES: Mapping[str, Callable[[SeriesAttributes], datetime | None]] = {
    "acquired": lambda item: item.acquired,
    "content": lambda item: item.content,
}

_ORDERS: Mapping[str, Order] = {
    "temporal-position": lambda item: item.temporal_position,
    "triggered": lambda item: item.trigger_ms,
    "acquisition-number": lambda item: item.acquisition_number,
    SERIES_NUMBER: _place_by_number,
    DESCRIBED: phase_number,
    **_TIMES,
}

CLOCKS = ("temporal-position", "acquired", "triggered", "content")
"""What the scanner measures; a number or a name is given by users and programs."""
