"""Whether series are given in the order of the profile's roles, by the tags of one image each.

The worker reads headers and pixels of all images later; what the tags of four images say is
known before a model is loaded, and a swapped pair is the usual slip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from segrelay.dicom.acquisition import (
    acquired_at,
    after_midnight,
    are_comparable,
    named_agent,
    weighting_by_times,
)
from segrelay.dicom.values import numbers_of
from segrelay.profiles import Profile, Recognition

Tags = Mapping[str, Any]
"""Of one image, by keyword, as Orthanc's simplified tags."""


def order_notes(tags: Mapping[str, Tags], profile: Profile) -> tuple[str, ...]:
    """What speaks against the roles, a sentence each; nothing where the tags do not say.

    Parameters
    ----------
    tags:
        Of one image of each series, by role.
    """
    rules = _rules(profile)
    return (*_phases(tags, rules), *_agents(tags, rules), *_weightings(tags, rules))


def phases_in_order(tags: Mapping[str, Tags], profile: Profile) -> list[str]:
    """Roles as their series come in time; empty where the tags do not say, or it is no DCE."""
    return next((found for _, found in _sorted_phases(tags, _rules(profile))), [])


def _rules(profile: Profile) -> dict[str, Recognition]:
    return {item.role: item.recognition for item in profile.inputs if item.recognition}


def _sorted_phases(
    tags: Mapping[str, Tags], rules: Mapping[str, Recognition]
) -> Iterator[tuple[str, list[str]]]:
    """By what they were sorted, and the roles in that order."""
    roles = [role for role, rule in rules.items() if rule.phase is not None]
    for name, read in _CLOCKS:
        values = {role: read(tags[role]) for role in roles}
        known = [value for value in values.values() if value is not None]
        if len(roles) > 1 and len(known) == len(roles) == len(set(known)):
            times = [value for value in known if isinstance(value, datetime)]
            if not are_comparable(times):
                continue
            late = after_midnight(times) if times else frozenset()
            yield name, sorted(roles, key=lambda role: (values[role] in late, values[role]))


def _phases(tags: Mapping[str, Tags], rules: Mapping[str, Recognition]) -> Iterator[str]:
    wanted = sorted(
        (role for role, rule in rules.items() if rule.phase is not None),
        key=lambda role: rules[role].phase or 0,
    )
    for name, found in _sorted_phases(tags, rules):
        if found != wanted:
            yield f"By {name} the series come as {', '.join(found)}."


def _agents(tags: Mapping[str, Tags], rules: Mapping[str, Recognition]) -> Iterator[str]:
    agents = {role: named_agent(_text(tags[role], "ContrastBolusAgent")) for role in rules}
    before = [role for role, rule in rules.items() if rule.after_contrast is False]
    after = [role for role, rule in rules.items() if rule.after_contrast is True]
    with_agent = [role for role in before if agents[role]]
    without = [role for role in after if not agents[role]]
    if with_agent and without:
        yield (
            f"A contrast agent is named for {', '.join(with_agent)}, before contrast, and none "
            f"for {', '.join(without)}."
        )


def _weightings(tags: Mapping[str, Tags], rules: Mapping[str, Recognition]) -> Iterator[str]:
    for role, rule in rules.items():
        found = weighting_by_times(
            *(_number(tags[role], f"{name}Time") for name in ("Echo", "Repetition", "Inversion"))
        )
        if rule.weighting is not None and found is not None and found != rule.weighting:
            yield f"Echo and repetition time of {role} are those of {found}."


def _position(tags: Tags) -> float | None:
    return _number(tags, "TemporalPositionIdentifier")


def _acquired(tags: Tags) -> datetime | None:
    return acquired_at(partial(_text, tags))


_CLOCKS: tuple[tuple[str, Callable[[Tags], Any]], ...] = (
    ("temporal position", _position),
    ("acquisition time", _acquired),
)


def _text(tags: Tags, keyword: str) -> str:
    value = tags.get(keyword, "")
    return value.strip() if isinstance(value, str) else ""


def _number(tags: Tags, keyword: str) -> float | None:
    numbers = numbers_of(_text(tags, keyword), keyword)
    return numbers[0] if isinstance(numbers, tuple) and numbers else None
