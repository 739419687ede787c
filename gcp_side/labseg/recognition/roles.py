"""The roles of a profile, each recognised by its rule.

A profile says the rule of each role. Where it has none, the usual names of roles say it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from gcp_side.labseg.recognition.attributes import SeriesAttributes
from gcp_side.labseg.recognition.brain import recognise_sequence
from gcp_side.labseg.recognition.dynamic import recognise_phases
from gcp_side.labseg.recognition.evidence import Evidence, Recognised
from segrelay.profiles import Recognition

Rules = Mapping[str, Recognition]
"""By role; those that are not named are looked up by the role's name."""

USUAL_NAMES: Rules = {
    "t1": Recognition(weighting="T1", contrast=False),
    "t1n": Recognition(weighting="T1", contrast=False),
    "t1w": Recognition(weighting="T1", contrast=False),
    "t1c": Recognition(weighting="T1", contrast=True),
    "t1ce": Recognition(weighting="T1", contrast=True),
    "t1gd": Recognition(weighting="T1", contrast=True),
    "t2": Recognition(weighting="T2"),
    "t2w": Recognition(weighting="T2"),
    "flair": Recognition(weighting="FLAIR"),
    "t2f": Recognition(weighting="FLAIR"),
}

_PHASE = re.compile(r"dce-(\d{1,2})")


def usual_rule(role: str) -> Recognition | None:
    """What the name of a role alone says; None where it says nothing."""
    phase = _PHASE.fullmatch(role)
    return USUAL_NAMES.get(role) if phase is None else Recognition(phase=int(phase[1]))


def recognise(
    roles: Sequence[str], series: Sequence[SeriesAttributes], rules: Rules | None = None
) -> list[Recognised]:
    """One answer for each role, in their order; no series gets two roles.

    The order of ``series`` changes nothing: it is that of the upload.
    """
    given = {role: (rules or {}).get(role) or usual_rule(role) for role in roles}
    phases = {role: rule.phase for role, rule in given.items() if rule and rule.phase is not None}
    by_time = sorted(phases, key=lambda role: phases[role])
    found = {item.role: item for item in recognise_phases(by_time, series)} if phases else {}
    for role, rule in given.items():
        if rule is not None and rule.weighting is not None:
            found[role] = recognise_sequence(role, rule.weighting, rule.contrast, series)
    unknown = Evidence.of("role-unknown")
    return _each_once([found.get(role) or Recognised.none(role, unknown) for role in roles])


def _each_once(found: Sequence[Recognised]) -> list[Recognised]:
    taken: set[str] = set()
    answers = []
    for item in found:
        if item.series_id in taken:
            answers.append(Recognised.none(item.role, Evidence.of("taken")))
            continue
        if item.series_id is not None:
            taken.add(item.series_id)
        answers.append(item)
    return answers
