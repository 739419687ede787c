"""The phases of a DCE study: which series are one acquisition over time, and in what order.

``phase_groups``  series that are alike; ``phase_order``  their order in time;
``phase_doubts``  what makes the answer a guess.
"""

from __future__ import annotations

from collections.abc import Sequence

from gcp_side.labseg.recognition.attributes import SeriesAttributes
from gcp_side.labseg.recognition.evidence import Confidence, Evidence, Recognised
from gcp_side.labseg.recognition.phase_doubts import (
    Phases,
    fewer_than_declared,
    first_phase,
    has_repeat_before,
    has_several_frames,
    phase_doubts,
)
from gcp_side.labseg.recognition.phase_groups import (
    PhaseGroup,
    phase_candidates,
    phase_groups,
    without_fast_runs,
)
from gcp_side.labseg.recognition.phase_order import order_of
from segrelay.parts import PartDoubt


def recognise_phases(roles: Sequence[str], series: Sequence[SeriesAttributes]) -> list[Recognised]:
    """The series of the phases: ``roles`` in the order of time.

    The first phases are taken where there are more of them than roles; of a phase before
    contrast that was repeated, the last.
    """
    candidates = phase_candidates(series)
    groups, fast = without_fast_runs(phase_groups(candidates))
    if not groups:
        return [Recognised.none(role, Evidence.of("no-phases")) for role in roles]
    ordered = order_of(groups[0].series)
    start = first_phase(ordered)
    count = min(len(roles), len(ordered.series) - start)
    phases = Phases(group=groups[0], ordered=ordered, start=start, count=count)
    doubts = phase_doubts(phases, groups, candidates)
    if count < len(roles):
        doubts.append(Evidence.of("too-few-phases", count=len(ordered.series)))
    remarks = [*_remarks(phases), *(_fast_run(group) for group in fast[:1])]
    declared = fewer_than_declared(phases)
    if declared and declared not in doubts:
        remarks.append(declared)
    confidence = _confidence(phases, doubts, remarks)
    return [
        Recognised(
            role=role,
            series_id=ordered.series[start + place].series_id,
            confidence=confidence,
            evidence=(*ordered.evidence[start + place], *remarks, *doubts),
        )
        if place < count
        else Recognised.none(role, Evidence.of("too-few-phases", count=len(ordered.series)))
        for place, role in enumerate(roles)
    ]


def _fast_run(group: PhaseGroup) -> Evidence:
    return Evidence.of("faster-run", count=len(group.series))


def _remarks(phases: Phases) -> list[Evidence]:
    """What keeps the answer from being certain, and makes no guess of it."""
    remarks = []
    if has_repeat_before(phases):
        again = phases.taken[0]
        remarks.append(Evidence.of("repeated", description=again.description))
    if any(item.order_doubt is PartDoubt.ONE_KEY for item in phases.taken):
        remarks.append(Evidence.of("one-key"))
    if has_several_frames(phases):
        remarks.append(Evidence.of("several-frames"))
    if phases.group.dixon:
        remarks.append(Evidence.of("dixon", image=phases.group.dixon))
    return remarks


def _confidence(
    phases: Phases, doubts: Sequence[Evidence], remarks: Sequence[Evidence]
) -> Confidence:
    confidence = phases.ordered.confidence
    if doubts or confidence is Confidence.GUESS:
        return Confidence.GUESS
    return Confidence.LIKELY if remarks or not phases.group.is_named else confidence
