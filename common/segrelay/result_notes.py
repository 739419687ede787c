"""Notes on a result that both sides know: the lab writes them, the site shows them in large.

They are among a result's ``warnings``, in English, where an older site shows them as they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from segrelay.dicom.body_regions import ATTRIBUTES, BODY_PART, contradictions

NOT_FOR_PATIENTS = (
    "NOT FOR PATIENTS: this profile only shows how the program works; its result says nothing "
    "about a patient."
)
"""Of every result of a profile with ``for_patients`` false."""

DOUBTS = frozenset({"role-unsure", "role-unrecognised"})
"""Codes of what a person confirmed that only say that nothing confirms a role; every other code
contradicts the profile."""

Regions = Mapping[str, Iterable[str]]
"""As :func:`segrelay.dicom.body_regions.regions_of` answers, of one series."""


def region_notes(by_role: Mapping[str, Regions], expected: Iterable[str]) -> tuple[str, ...]:
    """Which attributes of which series name another region than the profile's, a sentence each.

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
        f"ATTENTION: {ATTRIBUTES[keyword]} of {', '.join(roles)} says {named}, but the profile is "
        f"for {region}."
        for (keyword, named, region), roles in found.items()
    )


def region_codes(by_role: Mapping[str, Regions], expected: Iterable[str]) -> tuple[str, ...]:
    """The same as codes, each once: ``body-part``, ``description-region``."""
    wanted = tuple(expected)
    keywords = {
        item.keyword for regions in by_role.values() for item in contradictions(regions, wanted)
    }
    codes = {"body-part" if keyword == BODY_PART else "description-region" for keyword in keywords}
    return tuple(sorted(codes))


def contradicting(codes: Iterable[str]) -> tuple[str, ...]:
    """Those of the confirmed codes that contradict the profile."""
    return tuple(code for code in codes if code not in DOUBTS)


def confirmed_notes(codes: Iterable[str]) -> tuple[str, ...]:
    """What a person confirmed: contradictions, and roles that were not sure, a sentence each."""
    confirmed = tuple(codes)
    groups = (
        ("The input contradicts the profile; a person confirmed it", contradicting(confirmed)),
        (
            "The series were not certain for every role; a person confirmed",
            tuple(code for code in confirmed if code in DOUBTS),
        ),
    )
    return tuple(f"{sentence}: {', '.join(named)}." for sentence, named in groups if named)
