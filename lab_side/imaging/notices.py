"""Sentences for the reader of a result: what was done to the input, and what is odd about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lab_side.imaging.read.series import SeriesVolume
from segrelay.manifest import RegistrationRecord
from segrelay.profiles import Profile
from segrelay.result_notes import NOT_FOR_PATIENTS, confirmed_notes


def input_warnings(volumes: Mapping[str, SeriesVolume], profile: Profile) -> tuple[str, ...]:
    """Which series are empty, hold more than images, and which were sampled anew."""
    reference = volumes[profile.reference_role]
    found = []
    for role in profile.roles:
        volume = volumes[role]
        if volume.companions:
            found.append(f"Objects without images in {role} were left out: {volume.companions}.")
        if volume.has_own_frame:
            found.append(f"{role} has no Frame of Reference UID and was given one of its own.")
        if not volume.voxels.any():
            found.append(f"{role} is empty: every voxel is 0.")
        if volume.voxels.shape == reference.voxels.shape and np.allclose(
            volume.affine, reference.affine, atol=1e-3
        ):
            continue
        found.append(f"{role} was resampled to the grid of {profile.reference_role}.")
    return tuple(found)


def header_warnings(volumes: Iterable[SeriesVolume]) -> tuple[str, ...]:
    """Which values were left out, and in which character set text was found; each once."""
    series = list(volumes)
    left_out = {form: None for volume in series for form in volume.left_out}
    read_as = {volume.text_read_as: None for volume in series if volume.text_read_as}
    return (
        *(f"{form.name} was left out: it {form.form}." for form in left_out),
        *(
            f"The text of the headers is not in the character set that they declare: it was "
            f"read as {name}."
            for name in read_as
        ),
    )


def use_warnings(profile: Profile, confirmed: Sequence[str]) -> tuple[str, ...]:
    """That a result is not for patients, and what a person confirmed of its input."""
    return (
        *(() if profile.for_patients else (NOT_FOR_PATIENTS,)),
        *confirmed_notes(confirmed),
    )


def registration_warnings(
    records: Iterable[RegistrationRecord], reference_role: str
) -> tuple[str, ...]:
    """Which series were moved, and which could not be."""
    return tuple(
        f"{item.role} was moved onto {reference_role}: by {item.shift_mm:.1f} mm and "
        f"{item.turn_degrees:.1f} degrees."
        if item.kept
        else f"{item.role} lies where its headers put it: no motion was found with which it "
        f"matches {reference_role} better."
        for item in records
    )
