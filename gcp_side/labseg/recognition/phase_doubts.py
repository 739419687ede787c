"""What makes the phases of a group a guess, whatever their order: one piece of evidence each."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from gcp_side.labseg.recognition import words
from gcp_side.labseg.recognition.attributes import SeriesAttributes, plane_of
from gcp_side.labseg.recognition.contrast_words import ContrastWord, read_contrast
from gcp_side.labseg.recognition.evidence import Evidence
from gcp_side.labseg.recognition.phase_groups import PhaseGroup, dixon_of, is_fast
from gcp_side.labseg.recognition.phase_order import Ordered, phase_number
from segrelay.parts import PartDoubt

NEAR = 1.25
"""Times whose ratio is below this may be those of one protocol, changed by hand."""
NEAR_FOR_A_NAME = 2.5
"""The same where the description says *before contrast*."""
LONGER_PAUSE = 1.25
"""Phases after contrast follow each other evenly, or later ones at longer intervals. An interval
this many times the next one is a break in the acquisition."""
LONGEST_DYNAMIC = timedelta(hours=2)


@dataclass(frozen=True)
class Phases:
    """The group that was chosen, in its order, and which of it the roles take."""

    group: PhaseGroup
    ordered: Ordered
    start: int
    """Index of the phase before contrast."""
    count: int
    """Phases that are taken."""

    @property
    def taken(self) -> Sequence[SeriesAttributes]:
        """The series that get a role."""
        return self.ordered.series[self.start : self.start + self.count]


def phase_doubts(
    phases: Phases, groups: Sequence[PhaseGroup], candidates: Sequence[SeriesAttributes]
) -> list[Evidence]:
    """Everything that could make the answer wrong; empty where nothing does.

    Parameters
    ----------
    groups:
        All of the study, that of ``phases`` first.
    candidates:
        All series of the study that may be phases.
    """
    rivals = list(_rivals(phases, groups))
    return [
        *_repeats(phases),
        *_same_times(phases),
        *_one_acquisition(phases),
        *_other_order(phases),
        *_first_may_be_missing(phases),
        *_gaps_in_counts(phases),
        *_uncounted(phases),
        *_breaks_in_time(phases),
        *_no_phase_before(phases),
        *_frames(phases),
        *_kinds(phases, groups),
        *(rivals or _left_over(phases, candidates)),
    ]


def first_phase(ordered: Ordered) -> int:
    """The index of the phase before contrast: of several in a row at the start, the last."""
    start = 0
    if not ordered.used:
        return start
    for index, item in enumerate(ordered.series):
        # A series of all phases is called one thing.
        if _word(item) is not ContrastWord.BEFORE or item.part is not None:
            break
        start = index
    return start


def _rivals(phases: Phases, groups: Sequence[PhaseGroup]) -> Iterator[Evidence]:
    """Another group that is not clearly another thing, as a second acquisition is."""
    best = phases.group
    for group in groups[1:]:
        is_sibling = best.dixon and group.dixon and best.dixon != group.dixon
        is_weaker = group.is_derived > best.is_derived or group.is_named < best.is_named
        if len(group.series) >= phases.count and not is_sibling and not is_weaker:
            yield Evidence.of("more-groups", count=len(group.series))
            return


def has_repeat_before(phases: Phases) -> bool:
    """Whether the phase taken before contrast is called a repeat of those that precede it."""
    first = phases.taken[0]
    is_named = words.is_repeated(words.plain(first.description))
    return phases.start > 0 and is_named and _word(first) is ContrastWord.BEFORE


def _repeats(phases: Phases) -> Iterator[Evidence]:
    """A phase that was acquired twice, by its words: either one may be the better."""
    seen: dict[int, SeriesAttributes] = {}
    numbers = {item.series_id: phase_number(item) for item in phases.ordered.series}
    counted = {number for number in numbers.values() if number is not None}
    # Of those before contrast the last is taken, which is the one that was asked for again.
    start = phases.start if has_repeat_before(phases) else 0
    for place, item in enumerate(phases.ordered.series[start:]):
        number = numbers[item.series_id]
        # A number that all descriptions have counts nothing; "before contrast" always does.
        is_counting = number is not None and (len(counted) > 1 or number == 0)
        is_again = (
            number is not None
            and is_counting
            and number in seen
            and (item.part is None or seen[number].whole_series_id != item.whole_series_id)
        )
        is_named = words.is_repeated(words.plain(item.description))
        if is_again or (is_named and not (start and place == 0)):
            yield Evidence.of("repeated", description=item.description)
            return
        if number is not None:
            seen[number] = item


def _same_times(phases: Phases) -> Iterator[Evidence]:
    """Some at one time, others not: copies of a phase, not phases. All at one time is GE's way."""
    series = phases.ordered.series
    together = _counted_at_one_time(series)
    for value in (
        [item.acquired for item in series if item not in together],
        _positions(series),
    ):
        known = [one for one in value if one is not None]
        if 1 < len(set(known)) < len(known):
            most = max(known.count(one) for one in known)
            yield Evidence.of("same-time", count=most)
            return


def _counted_at_one_time(series: Sequence[SeriesAttributes]) -> list[SeriesAttributes]:
    """The phases that GE counts after a mask of another time, all with the time of the first."""
    counted = [item for item in series if words.is_after_a_mask(words.plain(item.description))]
    numbers = {phase_number(item) for item in counted}
    times = {item.acquired for item in counted}
    others = {item.acquired for item in series if item not in counted}
    is_one_time = len(times) == 1 and len(numbers) == len(counted) and not times & others
    return counted if is_one_time else []


def _one_acquisition(phases: Phases) -> Iterator[Evidence]:
    """Volumes of one series that were acquired at one time, and have other times of writing alone.

    Water and fat images, or one phase that was reconstructed twice, look like this too.
    """
    series = phases.ordered.series
    known = {item.acquired for item in series if item.part is not None}
    is_weak = phases.ordered.used in ("content", "acquisition-number")
    if is_weak and len(known) == 1 and None not in known:
        yield Evidence.of("same-time", count=len(series))


def _other_order(phases: Phases) -> Iterator[Evidence]:
    if any(item.order_doubt is PartDoubt.OTHER_ORDER for item in phases.taken):
        yield Evidence.of("other-order")


def _positions(series: Sequence[SeriesAttributes]) -> list[int | None]:
    """Temporal positions; None where series that hold several begin to count again."""
    is_again = len({item.whole_series_id for item in series}) > 1
    is_split = any(item.part is not None for item in series)
    return [None if is_again and is_split else item.temporal_position for item in series]


def fewer_than_declared(phases: Phases) -> Evidence | None:
    """The series says that it has more phases than are there; one is what many scanners write."""
    declared = [item.positions_declared or 0 for item in phases.taken]
    return Evidence.of("declared", count=max(declared)) if max(declared) > 1 else None


def _first_may_be_missing(phases: Phases) -> Iterator[Evidence]:
    """Fewer phases than declared, and no temporal positions that count from the first on."""
    positions = _positions(phases.taken)
    is_counted = positions in ([*range(len(positions))], [*range(1, len(positions) + 1)])
    declared = fewer_than_declared(phases)
    if declared and not is_counted:
        yield declared


def _gaps_in_counts(phases: Phases) -> Iterator[Evidence]:
    """What the scanner or the descriptions count begins later than it should, or skips one."""
    taken = phases.taken
    held = Counter(item.whole_series_id for item in phases.ordered.series)
    # "post 1-4" of a series that holds four phases counts none of them.
    numbers = [_own_number(item) if held[item.whole_series_id] == 1 else None for item in taken]
    for counts in (_positions(taken), numbers):
        known = [(place, count) for place, count in enumerate(counts) if count is not None]
        if len({count for _, count in known}) < 2:
            continue
        first = {count - place for place, count in known}
        # Without a number of its own the first is the one before number 1.
        usual = {0, 1} if counts[0] is not None else {0}
        if len(first) > 1 or not first <= usual:
            yield Evidence.of("gap", counts=", ".join(str(count) for _, count in known))
            return


def _uncounted(phases: Phases) -> Iterator[Evidence]:
    """One without a number among or after those that the descriptions count after contrast."""
    counts = [_own_number(item) for item in phases.ordered.series]
    counted = [place for place, count in enumerate(counts) if count]
    if len({counts[place] for place in counted}) < 2:
        return
    for place in range(counted[0], phases.start + phases.count):
        item = phases.ordered.series[place]
        if counts[place] is None:
            yield Evidence.of("not-counted", description=item.description)
            return


def _own_number(item: SeriesAttributes) -> int | None:
    """Which phase the description counts; a repeated series number counts no phase."""
    number = phase_number(item)
    return None if number == item.number else number


def _breaks_in_time(phases: Phases) -> Iterator[Evidence]:
    """A longer pause after the second phase or later, as it is before a repeated acquisition."""
    times = _times(phases)
    if not times:
        return
    if times[-1] - times[0] > LONGEST_DYNAMIC:
        yield Evidence.of("break", time=f"{times[-1]:%Y-%m-%d %H:%M:%S}")
        return
    # The first interval holds the injection.
    pauses = [(later - earlier, later) for earlier, later in pairwise(times)][1:]
    for (pause, moment), (following, _) in pairwise(pauses):
        if pause > LONGER_PAUSE * following > timedelta():
            yield Evidence.of("break", time=f"{moment:%H:%M:%S}")
            return


def _times(phases: Phases) -> list[datetime]:
    """Of the phases taken and the one after them; empty where one is unknown."""
    end = phases.start + phases.count + 1
    times = phases.ordered.acquired[phases.start : end]
    known = [moment for moment in times if moment is not None]
    return known if len(known) == len(times) else []


def _no_phase_before(phases: Phases) -> Iterator[Evidence]:
    """The first one is called after contrast, or has an agent that others do not have."""
    first, *others = phases.taken
    reading = read_contrast(words.plain(first.description))
    is_after = reading.word is ContrastWord.AFTER
    is_alone = is_after and any(_word(item) is not ContrastWord.AFTER for item in others)
    has_agent_alone = bool(first.agent) and any(not item.agent for item in others)
    is_unclear = reading.word is ContrastWord.BOTH and len({_word(item) for item in others}) > 1
    # "KM 1" is the first after it where phases are counted, "dyn KM" is every phase's name.
    is_timed = words.names_delay(words.plain(first.description))
    is_counted = is_after and (is_timed or _own_number(first) is not None)
    is_named = is_after and (reading.is_explicit or is_counted)
    is_pass = words.is_after_a_mask(words.plain(first.description))
    if is_alone or has_agent_alone or is_unclear or is_named or is_pass:
        yield Evidence.of("no-before", description=first.description)


def _frames(phases: Phases) -> Iterator[Evidence]:
    """Several frames of reference, without a name that says which phase is before contrast.

    Where each series has its own, de-identification gave it: then it says nothing.
    """
    is_each_its_own = len({item.frame_of_reference for item in phases.taken}) == phases.count
    if is_each_its_own or not has_several_frames(phases):
        return
    if phase_number(phases.taken[0]) != 0:
        yield Evidence.of("frames-and-no-name")


def has_several_frames(phases: Phases) -> bool:
    """Whether the taken series lie in more than one frame of reference."""
    return len({item.frame_of_reference for item in phases.taken}) > 1


def _kinds(phases: Phases, groups: Sequence[PhaseGroup]) -> Iterator[Evidence]:
    group = phases.group
    if group.is_derived:
        yield Evidence.of("derived")
    if not group.is_named and not all(is_fast(item) for item in group.series):
        yield Evidence.of("not-named")
    siblings = [one for one in groups[1:] if one.dixon and one.dixon != group.dixon]
    if group.dixon and (
        group.dixon != "water" or any(len(one.series) != len(group.series) for one in siblings)
    ):
        yield Evidence.of("dixon-unclear")


def _left_over(phases: Phases, candidates: Sequence[SeriesAttributes]) -> Iterator[Evidence]:
    """A series outside the group that looks like a phase, acquired before the last one taken."""
    inside = {item.series_id for item in phases.group.series}
    looks = [
        item
        for item in candidates
        if item.series_id not in inside
        and _is_near(item, phases)
        and not _is_later(item, phases)
        and not _is_aborted(item, phases)
    ]
    for item in sorted(looks, key=lambda one: one.series_id)[:1]:
        yield Evidence.of("left-over", description=item.description, images=item.instances)


def _is_near(item: SeriesAttributes, phases: Phases) -> bool:
    """Whether its settings may be those of the group, changed by hand.

    A name that is missing in the group, or that the group has, allows more of a change.
    """
    one = phases.taken[0]
    dixon = dixon_of(item)
    is_before = _word(item) is ContrastWord.BEFORE
    is_needed = is_before and all(_word(other) is not ContrastWord.BEFORE for other in phases.taken)
    is_same_name = any(_base(item) == _base(other) for other in phases.taken)
    is_named = is_needed or is_same_name
    planes = {plane_of(item.orientation), plane_of(one.orientation)} - {None}
    is_other_dixon = phases.group.dixon and dixon not in ("", phases.group.dixon)
    is_computed = item.derived and not one.derived and not dixon
    if is_other_dixon or (len(planes) > 1 and not is_same_name) or (is_computed and not is_named):
        return False
    if is_computed and any(item.acquired and item.acquired == x.acquired for x in phases.taken):
        return False
    times = (
        (item.echo_ms, one.echo_ms),
        (item.repetition_ms, one.repetition_ms),
        (item.flip_degrees, one.flip_degrees),
    )
    known = [(a, b) for a, b in times if a is not None and b is not None]
    if not known:
        return is_named or words.is_dynamic(words.plain(item.description))
    limit = NEAR_FOR_A_NAME if is_named else NEAR
    return all(_ratio(a, b) <= limit for a, b in known)


def _ratio(first: float, second: float) -> float:
    low, high = sorted((abs(first), abs(second)))
    if low == 0:
        return math.inf if high > 0 else 1.0
    return high / low


def _is_later(item: SeriesAttributes, phases: Phases) -> bool:
    """Whether the clock says that it comes after all phases that are taken."""
    if item.acquired is None:
        return False
    end = phases.start + phases.count
    times = [moment for moment in phases.ordered.acquired[phases.start : end] if moment is not None]
    return len(times) == phases.count and item.acquired > max(times) > min(times)


def _is_aborted(item: SeriesAttributes, phases: Phases) -> bool:
    """Whether it is an acquisition that was broken off and then done, under the same name.

    Only where a description says which phase is before contrast.
    """
    is_named = _word(phases.taken[0]) is ContrastWord.BEFORE
    return is_named and any(
        item.description == one.description
        and item.instances < one.instances
        and item.acquired is not None
        and one.acquired is not None
        and item.acquired < one.acquired
        for one in phases.taken
    )


def _base(item: SeriesAttributes) -> str:
    return re.sub(r"[\W\d_]+", "", words.plain(item.description))


def _word(item: SeriesAttributes) -> ContrastWord:
    return read_contrast(words.plain(item.description)).word
