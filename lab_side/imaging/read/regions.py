"""Whether the headers name the body region that the profile is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab_side.imaging.read.series import SeriesVolume
from segrelay.dicom.body_regions import regions_of, regions_of_body_part
from segrelay.errors import SeriesRefusedError
from segrelay.notices import Notice
from segrelay.profiles import Profile
from segrelay.result_notes import region_codes, region_notes


def check_regions(
    volumes: Mapping[str, SeriesVolume], profile: Profile, confirmed: Sequence[str]
) -> tuple[Notice, ...]:
    """Attributes that name another region, as notices for the result.

    Parameters
    ----------
    volumes:
        By role, with their headers.
    confirmed:
        Codes of contradictions that a person has confirmed.

    Raises
    ------
    SeriesRefusedError
        ``role-mismatch``: something does that nobody has confirmed, and the profile wants the
        job to fail then.
    """
    expected = regions_of_body_part(profile.body_part_examined)
    named = {role: regions_of(volume.headers[0]) for role, volume in volumes.items()}
    notes = region_notes(named, expected)
    is_confirmed = set(region_codes(named, expected)) <= set(confirmed)
    if notes and profile.role_checks == "fail" and not is_confirmed:
        raise SeriesRefusedError(
            " ".join(note.text for note in notes),
            code="role-mismatch",
            remedy="Submit the right series; or confirm at the site that these are right.",
        )
    return notes
