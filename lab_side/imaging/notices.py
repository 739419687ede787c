"""Notices for the reader of a result: what was done to the input, and what is odd about it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lab_side.imaging.read.series import SeriesVolume
from segrelay.manifest import RegistrationRecord
from segrelay.notices import SENTENCES, Notice, notice
from segrelay.profiles import Profile
from segrelay.result_notes import confirmed_notes


def input_warnings(volumes: Mapping[str, SeriesVolume], profile: Profile) -> tuple[Notice, ...]:
    """Which series are empty, hold more than images, and which were resampled."""
    reference = volumes[profile.reference_role]
    found = []
    for role in profile.roles:
        volume = volumes[role]
        if volume.companions:
            found.append(notice("objects-left-out", role=role, count=volume.companions))
        if volume.has_own_frame:
            found.append(notice("own-frame", role=role))
        if not volume.voxels.any():
            found.append(notice("all-voxels-zero", role=role))
        if volume.voxels.shape == reference.voxels.shape and np.allclose(
            volume.affine, reference.affine, atol=1e-3
        ):
            continue
        found.append(notice("resampled", role=role, other=profile.reference_role))
    return tuple(found)


def header_warnings(volumes: Iterable[SeriesVolume]) -> tuple[Notice, ...]:
    """Which values were left out, and in which character set text was found; each once."""
    series = list(volumes)
    left_out = {form: None for volume in series for form in volume.left_out}
    read_as = {volume.text_read_as: None for volume in series if volume.text_read_as}
    return (
        *(
            notice(
                "value-left-out",
                text=f"{form.name} was left out: it {form.form}.",
                attribute=_slug(form.name.replace("'s", ""), ""),
            )
            for form in left_out
        ),
        *(
            notice(
                "text-read-as",
                text=SENTENCES["text-read-as"].format(encoding=name),
                encoding=_slug(name, "-"),
            )
            for name in read_as
        ),
    )


def use_warnings(profile: Profile, confirmed: Sequence[str]) -> tuple[Notice, ...]:
    """Notices that say for whom a result is, what the network saw, and what was confirmed."""
    return (
        *(() if profile.for_patients else (notice("not-for-patients"),)),
        *((notice("trained-on-synthetic"),) if profile.trained_on_synthetic else ()),
        *confirmed_notes(confirmed),
    )


def registration_warnings(
    records: Iterable[RegistrationRecord], reference_role: str
) -> tuple[Notice, ...]:
    """Which series were moved, and which could not be."""
    return tuple(
        notice(
            "moved",
            role=item.role,
            other=reference_role,
            shift_mm=round(item.shift_mm, 1),
            turn_degrees=round(item.turn_degrees, 1),
        )
        if item.kept
        else notice("not-moved", role=item.role, other=reference_role)
        for item in records
    )


def _slug(name: str, hyphen: str) -> str:
    """A name of a closed list as a parameter: ``Image Position (Patient)`` as its keyword."""
    return hyphen.join(re.findall(r"[A-Za-z0-9-]+", name))
