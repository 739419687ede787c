"""The roles of a profile, each recognised by its own rules."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gcp_side.labseg.recognition.brain import SEQUENCES, recognise_sequence
from gcp_side.labseg.recognition.clues import Confidence, Recognised, clue
from gcp_side.labseg.recognition.dynamic import recognise_phases
from gcp_side.labseg.recognition.facts import SeriesFacts

_PHASE = re.compile(r"dce-(\d{1,2})")


def recognise(roles: Sequence[str], series: Sequence[SeriesFacts]) -> list[Recognised]:
    """One answer for each role, in their order; no series gets two roles.

    The order of ``series`` changes nothing: it is that of the upload.
    """
    phases = sorted(
        (role for role in roles if _PHASE.fullmatch(role)), key=lambda role: int(role[4:])
    )
    found = {item.role: item for item in recognise_phases(phases, series)} if phases else {}
    for role in roles:
        if role in SEQUENCES:
            found[role] = recognise_sequence(role, series)
    return _each_once([found.get(role, _unknown(role)) for role in roles])


def _each_once(found: Sequence[Recognised]) -> list[Recognised]:
    taken: set[str] = set()
    answers = []
    for item in found:
        if item.series_id in taken:
            answers.append(_without(item.role, "taken"))
            continue
        if item.series_id is not None:
            taken.add(item.series_id)
        answers.append(item)
    return answers


def _unknown(role: str) -> Recognised:
    return _without(role, "role-unknown")


def _without(role: str, code: str) -> Recognised:
    return Recognised(role=role, series_id=None, confidence=Confidence.NONE, clues=(clue(code),))
