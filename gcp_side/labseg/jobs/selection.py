"""Which series of Orthanc a job takes, checked before anything is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gcp_side.labseg.conf import Conf
from gcp_side.labseg.errors import SubmissionRefusedError
from gcp_side.labseg.jobs.agents import offered_roles, snapshot
from gcp_side.labseg.orthanc.client import Orthanc
from segrelay.errors import OtherStudyError, SeriesRefusedError
from segrelay.manifest import is_orthanc_id
from segrelay.orthanc import SeriesInfo
from segrelay.system.nearest import did_you_mean


@dataclass(frozen=True)
class Selection:
    """The input of a job, as Orthanc has it now."""

    roles: tuple[str, ...]
    series: tuple[SeriesInfo, ...]
    """In channel order, one for each role."""

    @property
    def study_id(self) -> str:
        """Orthanc's id of their study."""
        return self.series[0].study_id

    @property
    def study_instance_uid(self) -> str:
        """UID of their study."""
        return self.series[0].study_instance_uid


def roles_of(profile: str, conf: Conf, given: Sequence[str] | None) -> tuple[str, ...]:
    """The roles of the series, in the order in which series are given.

    Raises
    ------
    SubmissionRefusedError
        ``profile-unknown``: no roles were given, it is not configured, and no living agent
        offers it.
    StoreUnavailableError
        It is not configured, and the agents' offers cannot be read.
    """
    if given is not None:
        return tuple(given)
    if profile in conf.profiles:
        return conf.profiles[profile]
    roles = offered_roles(profile, snapshot())
    if roles is None:
        raise SubmissionRefusedError(
            f"The profile {profile!r} is not configured here, and no agent online offers it"
            + (did_you_mean(profile, conf.profiles) or "."),
            code="profile-unknown",
            remedy=f"Use one of {', '.join(conf.profiles)}, or name the roles.",
        )
    return roles


def check_series_ids(series_ids: Sequence[str], roles: Sequence[str]) -> None:
    """Check form and number before Orthanc is asked.

    Raises
    ------
    SubmissionRefusedError
        ``series-id``, ``series-twice`` or ``series-count``.
    """
    for position, series_id in enumerate(series_ids, start=1):
        if not is_orthanc_id(series_id):
            raise SubmissionRefusedError(
                f"Series {position} is not an Orthanc id.",
                code="series-id",
                remedy="Copy the id from Orthanc: five groups of eight hexadecimal digits.",
            )
    if len(set(series_ids)) != len(series_ids):
        raise SubmissionRefusedError("The same series is named twice.", code="series-twice")
    if len(series_ids) != len(roles):
        raise SubmissionRefusedError(
            f"{len(series_ids)} series were given; {len(roles)} are needed.",
            code="series-count",
            remedy=f"Give one series for each of: {', '.join(roles)}.",
        )


def select(series_ids: Sequence[str], roles: Sequence[str], orthanc: Orthanc) -> Selection:
    """Look the series up and check that together they can make a job.

    Raises
    ------
    SubmissionRefusedError
        As :func:`check_series_ids`, or ``series-missing``, ``not-mr``, ``series-empty``.
    OtherStudyError
    OrthancUnavailableError, OrthancRefusedError, FixConfigurationError
        Orthanc could not be asked.
    """
    check_series_ids(series_ids, roles)
    found = tuple(_look_up(series_id, orthanc) for series_id in series_ids)
    for role, info in zip(roles, found, strict=True):
        _check_usable(role, info)
    for role, info in zip(roles, found, strict=True):
        if info.study_id != found[0].study_id:
            raise OtherStudyError.of(f"The series for {role}")
    return Selection(roles=tuple(roles), series=found)


def _look_up(series_id: str, orthanc: Orthanc) -> SeriesInfo:
    try:
        return orthanc.series(series_id)
    except SeriesRefusedError as error:
        raise SubmissionRefusedError(error.message, code=error.code, remedy=error.remedy) from None


def _check_usable(role: str, info: SeriesInfo) -> None:
    if info.modality != "MR":
        raise SubmissionRefusedError(
            f"The series for {role} has modality {info.modality or 'none'}, not MR.",
            code="not-mr",
            remedy="Choose an MR series.",
        )
    if info.instances < 1:
        raise SubmissionRefusedError(
            f"The series for {role} has no instances.",
            code="series-empty",
            remedy="Wait until the scanner has sent it.",
        )
