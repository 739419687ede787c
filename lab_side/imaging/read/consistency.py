"""Whether the series of one case belong together."""

from __future__ import annotations

from collections.abc import Mapping

from lab_side.imaging.read.series import SeriesVolume
from segrelay.errors import OtherStudyError, SeriesRefusedError


def check_together(volumes: Mapping[str, SeriesVolume], *, is_registered: bool = False) -> None:
    """Check that all roles are different volumes of one patient, study and frame of reference.

    Series of different frames of reference cannot be laid on each other by their headers
    (PS3.3 C.7.4.1.1.1), so they are refused rather than guessed; ``is_registered``: they will
    be laid on each other by what they show.

    Raises
    ------
    SeriesRefusedError
        ``same-series``, ``other-patient``, ``other-study``, ``frame-of-reference`` or
        ``no-frame-of-reference``: one has a frame of its own alone, and is not the only one.
    """
    roles = list(volumes)
    _check_own_frames(volumes)
    first = volumes[roles[0]]
    for index, role in enumerate(roles):
        volume = volumes[role]
        for earlier in roles[:index]:
            other = volumes[earlier]
            if (other.series_uid, other.part) == (volume.series_uid, volume.part):
                raise SeriesRefusedError(
                    f"{earlier} and {role} are the same series.", code="same-series"
                )
        if volume.patient_id != first.patient_id:
            raise SeriesRefusedError(
                f"{role} is of another patient than {roles[0]}.", code="other-patient"
            )
        if volume.study_uid != first.study_uid:
            raise OtherStudyError.of(role)
        if volume.frame_of_reference_uid != first.frame_of_reference_uid and not is_registered:
            raise SeriesRefusedError(
                f"{role} is of another frame of reference than {roles[0]}.",
                code="frame-of-reference",
            )


def _check_own_frames(volumes: Mapping[str, SeriesVolume]) -> None:
    if len({volume.series_uid for volume in volumes.values()}) == 1:
        return
    for role, volume in volumes.items():
        if volume.has_own_frame:
            raise SeriesRefusedError(
                f"The series of {role} has no Frame of Reference UID: nothing says where it lies "
                "beside the other series.",
                code="no-frame-of-reference",
                remedy="Send it again with the UID that the scanner gave.",
            )
