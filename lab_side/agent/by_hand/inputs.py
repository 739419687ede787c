"""The inputs of a job by hand: a series or a volume for each role, or volumes of fewer series."""

from __future__ import annotations

from collections.abc import Sequence

from lab_side.agent.by_hand.series_ids import check_number
from segrelay.errors import ManifestRejectedError
from segrelay.manifest import SeriesInput, SeriesPart
from segrelay.orthanc import OrthancClient
from segrelay.parts import PartDoubt, Split, split_series
from segrelay.parts.named import named_parts, volumes_in_order
from segrelay.parts.volume_ids import VolumeId, volume_id_of

_Volume = tuple[str, SeriesPart | None]
"""Orthanc's id of a series, and which of its volumes; None: the whole series."""


def inputs_of(
    client: OrthancClient, series_ids: Sequence[str], roles: Sequence[str]
) -> tuple[SeriesInput, ...]:
    """The input for each role, in their order.

    Of fewer series than roles the volumes are taken, series by series as they are given, in each
    in the order of time; the first where there are more than roles.

    Parameters
    ----------
    series_ids:
        Orthanc ids of series, or names of their volumes; checked before.

    Raises
    ------
    ManifestRejectedError
        ``series-count``: there are too many series, one that comes after enough volumes, or too
        few volumes; ``part-needed``: a series holds several stacks, as of both
        breasts, or phases whose order is doubtful; ``no-such-part``.
    SeriesRefusedError
        As :func:`split_series`.

    And as the client.
    """
    given = [volume for text in series_ids if (volume := volume_id_of(text)) is not None]
    is_each_its_own = len(given) >= len(roles)
    if is_each_its_own:
        check_number(series_ids, roles)
    splits: dict[str, Split] = {}
    volumes: list[_Volume] = []
    for volume in given:
        series_id = volume.series_id
        if len(volumes) >= len(roles):
            raise _unused(volume, volumes[: len(roles)])
        if is_each_its_own and volume.part is None:
            volumes.append((series_id, None))
            continue
        if series_id not in splits:
            splits[series_id] = _split(client, series_id)
        if volume.part is not None:
            volumes.append((series_id, _named(volume, splits[series_id])))
        else:
            _check_order(series_id, splits[series_id])
            volumes += volumes_in_order([(series_id, splits[series_id])], _several_stacks)
    if len(volumes) < len(roles):
        raise ManifestRejectedError(
            f"The profile needs {len(roles)} series, {len(series_ids)} given; volumes in them: "
            f"{len(volumes)}.",
            code="series-count",
            remedy=f"Give one series for each of these, in this order: {' '.join(roles)}; or one "
            "that holds all phases.",
        )
    return tuple(
        SeriesInput(role=role, orthanc_id=series_id, part=part)
        for role, (series_id, part) in zip(roles, volumes, strict=False)
    )


def _split(client: OrthancClient, series_id: str) -> Split:
    instances = [item.orthanc_id for item in client.inventory([series_id])]
    return split_series(client.series_images(series_id, instances))


def _named(volume: VolumeId, split: Split) -> SeriesPart | None:
    parts = named_parts(split)
    if volume.part is not None and volume.part < len(parts):
        return parts[volume.part]
    raise ManifestRejectedError(
        f"The series has no volume {volume}.",
        code="no-such-part",
        remedy=f"It has {volume.series_id}:0 to {volume.series_id}:{len(parts) - 1}.",
    )


def _check_order(series_id: str, split: Split) -> None:
    if split.doubt is PartDoubt.OTHER_ORDER:
        raise ManifestRejectedError(
            f"The instance numbers of series {series_id} count its phases in another order than "
            f"{(split.key or '').replace('-', ' ')}, and nothing else in it says which is right.",
            code="part-needed",
            remedy=f"Name a volume for each role, {_names(series_id, split)}, or choose them on "
            "the site's page of the study.",
        )


def _several_stacks(series_id: str, split: Split) -> ManifestRejectedError:
    return ManifestRejectedError(
        f"Series {series_id} holds {split.stacks} stacks of slices, not phases alone.",
        code="part-needed",
        remedy=f"Name a volume for each role, {_names(series_id, split)}, or choose them on the "
        "site's page of the study.",
    )


def _names(series_id: str, split: Split) -> str:
    """The names of the volumes, and in what order they come."""
    last, phases = len(split.parts) - 1, len(split.parts) // split.stacks
    by = f" by {split.key.replace('-', ' ')}" if split.key and phases > 1 else " of their places"
    stacks = f", {phases} of each stack in turn" if split.stacks > 1 and phases > 1 else ""
    return f"{series_id}:0 to {series_id}:{last} (in the order{by}{stacks})"


def _unused(volume: VolumeId, used: Sequence[_Volume]) -> ManifestRejectedError:
    names = " ".join(
        str(VolumeId(series_id, None if part is None else part.index)) for series_id, part in used
    )
    return ManifestRejectedError(
        f"Series {volume} is not used: the volumes before it are enough for all roles ({names}).",
        code="series-count",
        remedy="Give the series in the order of time, those alone that are meant; or name the "
        "volumes, as they are named here.",
    )
