"""Whether each series is what its role says: by its headers, and by its pixels.

A network that gets its inputs in a wrong order computes a wrong mask without complaint. What
is looked at follows from the profile's recognition rules; each warning is one notice.

=============  ==========================================================================
same pixels    two roles hold the same values, but for rounding
contrast       headers name an agent before contrast and none after it
brightening    after contrast more becomes brighter than darker; the other way, the series
               are swapped
time           the scanner's clock sorts the phases in another way, or has two of them at once
setting        phases of one scan differ in echo or repetition time, or in their Dixon image
kind           the Image Type names a subtraction, a projection, a map
timing         echo or inversion time do not fit the weighting
=============  ==========================================================================
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from lab_side.imaging.read.series import SeriesVolume
from segrelay.dicom.acquisition import (
    FLUID_INVERSION_MS,
    LONG_ECHO_MS,
    SHORT_ECHO_MS,
    T1_INVERSION_MS,
    acquired_at,
    after_midnight,
    are_comparable,
    dixon_image,
    is_computed,
    named_agent,
)
from segrelay.errors import SeriesRefusedError
from segrelay.notices import Notice, notice
from segrelay.profiles import Profile, Recognition

POOLED = 3

BRIGHTENED_PERCENTILE = 99.5
CLEARLY_MORE = 1.2
"""A difference in brightness must be this many times the opposite one to be reported."""

FEWEST_CUBES = 200

SAME_PIXELS = 1e-4
"""Values that differ by less than this fraction of their range were rounded in another way."""

NEAR = 1.25
"""Phases of one scan have times whose ratio is below this; a scan of another kind has not."""

Rules = Mapping[str, Recognition]


def check_roles(
    volumes: Mapping[str, SeriesVolume],
    sampled: Mapping[str, NDArray[np.float32]],
    profile: Profile,
) -> tuple[Notice, ...]:
    """Check the roles; return what contradicts them, as notices for the result.

    Parameters
    ----------
    volumes:
        By role, with their headers.
    sampled:
        The same on one grid, not normalised: float32 of one shape.

    Raises
    ------
    SeriesRefusedError
        ``role-mismatch``: something does, and the profile wants the job to fail then.
    """
    if profile.role_checks == "off":
        return ()
    rules = {item.role: item.recognition for item in profile.inputs if item.recognition}
    headers = {role: volumes[role].headers[0] for role in rules}
    role_warnings = (
        *_same_pixels(volumes),
        *_contrast_by_headers(rules, headers),
        *_contrast_by_pixels(rules, sampled),
        *_order_by_time(rules, headers),
        *_settings_of_phases(rules, headers),
        *_computed(headers),
        *_weighting_by_timing(rules, headers),
    )
    if role_warnings and profile.role_checks == "fail":
        raise SeriesRefusedError(
            " ".join(warning.text for warning in role_warnings),
            code="role-mismatch",
            remedy="Submit again with each series in its role.",
        )
    return role_warnings


def _same_pixels(volumes: Mapping[str, SeriesVolume]) -> Iterator[Notice]:
    for first, second in combinations(volumes, 2):
        if _is_same_image(volumes[first].voxels, volumes[second].voxels):
            yield notice("same-pixels", role=first, other=second)


def _is_same_image(first: NDArray[np.float32], second: NDArray[np.float32]) -> bool:
    if first.shape != second.shape:
        return False
    tolerance = SAME_PIXELS * float(np.ptp(first))
    return bool(np.all(np.abs(first - second) <= tolerance))


def _contrast_by_headers(rules: Rules, headers: Mapping[str, Dataset]) -> Iterator[Notice]:
    """An agent's name alone says little: scanners keep it, and people forget it."""
    for before, after in _contrast_pairs(rules):
        if _has_agent(headers[before]) and not _has_agent(headers[after]):
            yield notice("agent-before-contrast", role=before, other=after)


def _contrast_by_pixels(
    rules: Rules, sampled: Mapping[str, NDArray[np.float32]]
) -> Iterator[Notice]:
    for before, after in _contrast_pairs(rules):
        is_one_scan = rules[after].phase is not None
        if _is_darker(sampled[before], sampled[after], is_one_scan=is_one_scan):
            yield notice("darker-after-contrast", role=after, other=before)


def _contrast_pairs(rules: Rules) -> Iterator[tuple[str, str]]:
    """Roles that are alike but for contrast: before, after."""
    for before, first in rules.items():
        for after, second in rules.items():
            is_alike = first.weighting == second.weighting
            if is_alike and first.after_contrast is False and second.after_contrast is True:
                yield before, after


def _is_darker(
    before: NDArray[np.float32], after: NDArray[np.float32], *, is_one_scan: bool
) -> bool:
    """Over the voxels that both have, each in units of its own spread.

    Phases of one scan share a scale, where enhancement of the whole breast shows as well: both
    ways must agree.
    """
    first, second = _pooled(before), _pooled(after)
    both = (first != 0) & (second != 0)
    if np.count_nonzero(both) < FEWEST_CUBES:
        return False
    first, second = first[both], second[both]
    gains = [_standardised(second) - _standardised(first)]
    if is_one_scan:
        gains.append(second - first)
    return all(_loses(gain) for gain in gains)


def _loses(gain: NDArray[np.float32]) -> bool:
    darker, brighter = np.percentile(gain, [100 - BRIGHTENED_PERCENTILE, BRIGHTENED_PERCENTILE])
    return bool(-darker > CLEARLY_MORE * brighter)


def _pooled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of cubes of POOLED voxels a side: noise and small motions weigh less."""
    slices, rows, columns = (size // POOLED for size in values.shape)
    whole = values[: slices * POOLED, : rows * POOLED, : columns * POOLED]
    cubes = whole.reshape(slices, POOLED, rows, POOLED, columns, POOLED)
    means: NDArray[np.float32] = cubes.mean(axis=(1, 3, 5))
    return means


def _standardised(values: NDArray[np.float32]) -> NDArray[np.float32]:
    spread = float(values.std())
    scaled: NDArray[np.float32] = (values - values.mean()) / (spread if spread > 0 else 1.0)
    return scaled


def _order_by_time(rules: Rules, headers: Mapping[str, Dataset]) -> Iterator[Notice]:
    ordered = _phase_roles(rules)
    series = Counter(str(headers[role].get("SeriesInstanceUID")) for role in ordered)
    # Each series that holds phases counts them, and its time, from its own beginning.
    is_counted_again = len(series) > 1 and max(series.values()) > 1
    for name, moment in _MOMENTS:
        if is_counted_again and name in _OF_ONE_SERIES:
            continue
        known = _known([moment(headers[role]) for role in ordered])
        if len(known) != len(ordered) or len(ordered) < 2:
            continue
        if len(set(known)) == len(known) and known != sorted(known):
            by_time = sorted(zip(known, ordered, strict=True))
            roles = ", ".join(role for _, role in by_time)
            yield notice("phase-order", moment=name, roles=roles)
        # All at one time is how some scanners write a dynamic scan.
        for first, second in combinations(range(len(known)), 2):
            if known[first] == known[second] and len(set(known)) > 1:
                yield notice("one-phase", moment=name, role=ordered[first], other=ordered[second])
                break


def _known(moments: Sequence[float | datetime | None]) -> list[float]:
    """Those that are known and comparable, as numbers; a scan over midnight goes on."""
    times = [value for value in moments if isinstance(value, datetime)]
    if not are_comparable(times):
        return []
    late = after_midnight(times) if times else frozenset()
    return [
        (value + timedelta(days=value in late)).timestamp()
        if isinstance(value, datetime)
        else value
        for value in moments
        if value is not None
    ]


def _phase_roles(rules: Rules) -> list[str]:
    phases = {role: rule.phase for role, rule in rules.items() if rule.phase is not None}
    return sorted(phases, key=lambda role: phases[role])


def _settings_of_phases(rules: Rules, headers: Mapping[str, Dataset]) -> Iterator[Notice]:
    """Phases of one scan are alike, but for rounding and what an operator corrects."""
    for role, other in pairwise(_phase_roles(rules)):
        for name, keyword in (("echo", "EchoTime"), ("repetition", "RepetitionTime")):
            low, high = sorted(_number(headers[one], keyword) or 0.0 for one in (role, other))
            if low > 0 and high > NEAR * low:
                yield notice(f"{name}-times", role=role, other=other)
        images = [dixon_image(_image_type(headers[one])) for one in (role, other)]
        if images[0] != images[1]:
            yield notice("dixon-images", role=role, other=other)


def _computed(headers: Mapping[str, Dataset]) -> Iterator[Notice]:
    for role, header in headers.items():
        if is_computed(_image_type(header)):
            yield notice("computed-images", role=role)


def _image_type(header: Dataset) -> tuple[str, ...]:
    value = header.get("ImageType") or ()
    values = (value,) if isinstance(value, str) else value
    return tuple(str(one).strip().upper() for one in values)


def _weighting_by_timing(rules: Rules, headers: Mapping[str, Dataset]) -> Iterator[Notice]:
    for role, rule in rules.items():
        echo, inversion = (_number(headers[role], name) for name in ("EchoTime", "InversionTime"))
        if rule.weighting is None:
            continue
        is_t1 = rule.weighting == "T1"
        if echo is not None and (
            (is_t1 and echo >= LONG_ECHO_MS) or (not is_t1 and 0 < echo <= SHORT_ECHO_MS)
        ):
            yield notice("echo-time", echo_ms=echo, role=role, weighting=rule.weighting)
        is_for_fluid = inversion is not None and inversion >= FLUID_INVERSION_MS
        is_for_fat = inversion is not None and 0 < inversion < T1_INVERSION_MS
        if inversion is not None and (is_for_fat if rule.weighting == "FLAIR" else is_for_fluid):
            yield notice(
                "inversion-time", inversion_ms=inversion, role=role, weighting=rule.weighting
            )


def _has_agent(header: Dataset) -> bool:
    amounts = ("ContrastBolusVolume", "ContrastBolusTotalDose")
    return bool(
        named_agent(
            str(header.get("ContrastBolusAgent") or ""),
            *(_number(header, keyword) for keyword in amounts),
        )
    )


def _number(header: Dataset, keyword: str) -> float | None:
    try:
        return float(header.get(keyword))
    except (TypeError, ValueError):
        return None


def _acquired(header: Dataset) -> datetime | None:
    return acquired_at(lambda keyword: str(header.get(keyword) or ""))


_MOMENTS: Sequence[tuple[str, Callable[[Dataset], float | datetime | None]]] = (
    ("temporal-position", lambda header: _number(header, "TemporalPositionIdentifier")),
    ("acquisition-time", _acquired),
    ("trigger-time", lambda header: _number(header, "TriggerTime")),
)
"""What a scanner measures; series numbers and descriptions are for the site's recognition."""

_OF_ONE_SERIES = frozenset({"temporal-position", "trigger-time"})
