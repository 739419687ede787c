"""Which series of Orthanc a job takes, checked before anything is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gcp_side.labseg.conf import Conf
from gcp_side.labseg.errors import NoSuchVolumeError, SubmissionRefusedError
from gcp_side.labseg.jobs.agents import offered_roles, snapshot
from gcp_side.labseg.orthanc.client import Orthanc
from gcp_side.labseg.orthanc.parts import WHOLE, SeriesParts, read_parts
from segrelay.errors import OtherStudyError, SeriesRefusedError
from segrelay.manifest import SeriesPart
from segrelay.orthanc import SeriesInfo
from segrelay.parts import Split
from segrelay.parts.named import named_parts, volumes_in_order
from segrelay.parts.volume_ids import VolumeId, names_series, volume_id_of
from segrelay.system.nearest import did_you_mean


@dataclass(frozen=True)
class Selection:
    """The input of a job, as Orthanc has it now."""

    roles: tuple[str, ...]
    series: tuple[SeriesInfo, ...]
    """In channel order, one for each role."""
    parts: tuple[SeriesPart | None, ...]
    """Which volume of each; None: the whole series is one."""

    @property
    def volume_ids(self) -> tuple[str, ...]:
        """Names of the volumes, in channel order."""
        return tuple(
            str(VolumeId(info.orthanc_id, None if part is None else part.index))
            for info, part in zip(self.series, self.parts, strict=True)
        )

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


def check_volume_ids(volume_ids: Sequence[str], roles: Sequence[str]) -> tuple[VolumeId, ...]:
    """Check form and number before Orthanc is asked; fewer than roles may hold several volumes.

    Raises
    ------
    SubmissionRefusedError
        ``series-id``, ``volume-id``, ``series-twice`` or ``series-count``.
    """
    found = []
    for position, text in enumerate(volume_ids, start=1):
        volume = volume_id_of(text)
        if volume is None and names_series(text):
            raise SubmissionRefusedError(
                f"Series {position} does not name a volume: behind the colon belongs its number, "
                "from 0.",
                code="volume-id",
                remedy="Take the names of the volumes from the series' parts, as the study's "
                "address answers them.",
            )
        if volume is None:
            raise SubmissionRefusedError(
                f"Series {position} is not an Orthanc id.",
                code="series-id",
                remedy="Copy the id from Orthanc: five groups of eight hexadecimal digits.",
            )
        found.append(volume)
    if len(set(found)) != len(found):
        raise _twice()
    is_short = len(found) < len(roles) and all(volume.part is None for volume in found)
    if len(found) != len(roles) and not (found and is_short):
        raise _wrong_count(len(found), roles)
    return tuple(found)


def select(volume_ids: Sequence[str], roles: Sequence[str], orthanc: Orthanc) -> Selection:
    """Look the series up and check that together they can make a job.

    Parameters
    ----------
    volume_ids:
        A series or a volume of one (``VolumeId``) for each role; or fewer series, whose volumes
        are taken in the order of time.

    Raises
    ------
    SubmissionRefusedError
        As :func:`check_volume_ids`, or ``series-missing``, ``not-mr``, ``series-empty``,
        ``part-needed``: a series holds several volumes and none is named; ``no-such-part``; the
        code of a series that cannot be split; ``series-count``: they hold too few volumes, or one
        of them comes after enough.
    OtherStudyError
    OrthancUnavailableError, OrthancRefusedError, FixConfigurationError
        Orthanc could not be asked.
    """
    given = check_volume_ids(volume_ids, roles)
    found = {one: _look_up(one, orthanc) for one in dict.fromkeys(v.series_id for v in given)}
    named = {volume.series_id: role for volume, role in zip(given, roles, strict=False)}
    first = found[given[0].series_id]
    for series_id, info in found.items():
        _check_usable(named[series_id], info)
    for series_id, info in found.items():
        if info.study_id != first.study_id:
            raise OtherStudyError.of(f"The series for {named[series_id]}")
    entries = orthanc.series_of([first.study_id])
    parts = read_parts([entry for entry in entries if entry.orthanc_id in found], orthanc)
    if len(given) < len(roles):
        given = _first_volumes(given, parts, roles)
    chosen = [_named(volume, role, parts) for volume, role in zip(given, roles, strict=True)]
    if len({volume for volume, _ in chosen}) < len(chosen):
        raise _twice()
    return Selection(
        roles=tuple(roles),
        series=tuple(found[volume.series_id] for volume, _ in chosen),
        parts=tuple(part for _, part in chosen),
    )


def _first_volumes(
    given: Sequence[VolumeId], parts: Mapping[str, SeriesParts], roles: Sequence[str]
) -> tuple[VolumeId, ...]:
    """A volume for each role, of fewer series than roles; each series has one at least."""
    held = [(one.series_id, parts.get(one.series_id, WHOLE)) for one in given]
    for _, found in held:
        if found.code:
            raise _not_split(found)
    volumes = volumes_in_order([(one, found.split) for one, found in held], _several_stacks)
    if len(volumes) < len(roles):
        raise SubmissionRefusedError(
            f"{len(roles)} volumes are needed; the given series hold {len(volumes)}.",
            code="series-count",
            remedy=f"Give one series for each of: {', '.join(roles)}; or one that holds all.",
        )
    taken = [
        VolumeId(one, None if part is None else part.index) for one, part in volumes[: len(roles)]
    ]
    unused = [one.series_id for one in given if one.series_id not in {v.series_id for v in taken}]
    if unused:
        raise SubmissionRefusedError(
            f"Series {unused[0]} is not used: the volumes of those before it are enough.",
            code="series-count",
            remedy="Give the series in the order of time, those alone that are meant; or name a "
            "volume for each role.",
        )
    return tuple(taken)


def _several_stacks(series_id: str, split: Split) -> SubmissionRefusedError:
    return SubmissionRefusedError(
        f"The series holds {split.stacks} stacks of slices, not phases alone.",
        code="part-needed",
        remedy=f"Name each: {series_id}:0 to {series_id}:{len(split.parts) - 1}.",
    )


def _named(
    volume: VolumeId, role: str, parts: Mapping[str, SeriesParts]
) -> tuple[VolumeId, SeriesPart | None]:
    """A volume with its part as a manifest names it; None for a series that is one as a whole."""
    held = parts.get(volume.series_id, WHOLE)
    if held.code:
        raise _not_split(held)
    if held.split is None:
        if volume.part is not None:
            raise NoSuchVolumeError(f"The series for {role} has no volume of this number.")
        return volume, None
    if held.count == 1 and volume.part is None:
        volume = VolumeId(volume.series_id, 0)
    if volume.part is None:
        raise SubmissionRefusedError(
            f"The series for {role} holds {held.count} volumes.",
            code="part-needed",
            remedy=f"Name one of them: {volume.series_id}:0 to …:{held.count - 1}.",
        )
    if volume.part >= held.count:
        raise NoSuchVolumeError(f"The series for {role} has no volume of this number.")
    return volume, named_parts(held.split)[volume.part]


def _not_split(held: SeriesParts) -> SubmissionRefusedError:
    return SubmissionRefusedError(held.message, code=held.code, remedy=held.remedy)


def _twice() -> SubmissionRefusedError:
    return SubmissionRefusedError("The same series or volume is named twice.", code="series-twice")


def _wrong_count(count: int, roles: Sequence[str]) -> SubmissionRefusedError:
    return SubmissionRefusedError(
        f"{count} series were given; {len(roles)} are needed.",
        code="series-count",
        remedy=f"Give one series for each of: {', '.join(roles)}.",
    )


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
