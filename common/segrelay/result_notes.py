"""Notes on a result that say for whom it is, and what a person confirmed of its input."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from segrelay.dicom.body_regions import BODY_PART, contradictions
from segrelay.notices import SENTENCES, Notice, notice

NOT_FOR_PATIENTS = SENTENCES["not-for-patients"]
"""Of every result of a profile with ``for_patients`` false."""

TRAINED_ON_SYNTHETIC = SENTENCES["trained-on-synthetic"]
"""Of every result of a profile with ``trained_on_synthetic`` true."""

DOUBTS = frozenset({"role-unsure", "role-unrecognised"})
"""Codes of what a person confirmed that only say that nothing confirms a role; every other code
contradicts the profile."""

Regions = Mapping[str, Iterable[str]]
"""As :func:`segrelay.dicom.body_regions.regions_of` answers, of one series."""


def region_notes(by_role: Mapping[str, Regions], expected: Iterable[str]) -> tuple[Notice, ...]:
    """Which attributes of which series name another region than the profile's.

    Parameters
    ----------
    by_role:
        What the attributes of each input series name.
    expected:
        Names of the profile's regions.
    """
    wanted = tuple(expected)
    found: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for role, regions in by_role.items():
        for item in contradictions(regions, wanted):
            found[item.keyword, item.found, item.expected].append(role)
    return tuple(
        notice(
            "other-region",
            attribute=keyword,
            roles=", ".join(roles),
            found=named.replace("whole body", "whole-body"),
            expected=region.replace("whole body", "whole-body"),
        )
        for (keyword, named, region), roles in found.items()
    )


def region_codes(by_role: Mapping[str, Regions], expected: Iterable[str]) -> tuple[str, ...]:
    """The codes of these notes, each once: ``body-part``, ``description-region``."""
    wanted = tuple(expected)
    keywords = {
        item.keyword for regions in by_role.values() for item in contradictions(regions, wanted)
    }
    codes = {"body-part" if keyword == BODY_PART else "description-region" for keyword in keywords}
    return tuple(sorted(codes))


def contradicting(codes: Iterable[str]) -> tuple[str, ...]:
    """Those of the confirmed codes that contradict the profile."""
    return tuple(code for code in codes if code not in DOUBTS)


def confirmed_notes(codes: Iterable[str]) -> tuple[Notice, ...]:
    """What a person confirmed: contradictions, and roles that were not sure."""
    confirmed = tuple(codes)
    groups = {
        "contradiction-confirmed": contradicting(confirmed),
        "doubt-confirmed": tuple(code for code in confirmed if code in DOUBTS),
    }
    return tuple(notice(code, codes=", ".join(named)) for code, named in groups.items() if named)
