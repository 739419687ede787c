"""The inputs of a job by hand: a series for each role, or the volumes of fewer series."""

from __future__ import annotations

from collections.abc import Sequence

from lab_side.agent.by_hand.series_ids import check_number
from segrelay.errors import ManifestRejectedError
from segrelay.manifest import SeriesInput
from segrelay.orthanc import OrthancClient
from segrelay.parts import PartDoubt, Split, split_series
from segrelay.parts.named import volumes_in_order


def inputs_of(
    client: OrthancClient, series_ids: Sequence[str], roles: Sequence[str]
) -> tuple[SeriesInput, ...]:
    """The input for each role, in their order.

    Of fewer series than roles the volumes are taken, series by series as they are given, in each
    in the order of time; the first where there are more than roles.

    Raises
    ------
    ManifestRejectedError
        ``series-count``: there are too many series, or too few volumes; ``part-needed``: a
        series holds several stacks, as of both breasts, or phases whose order is doubtful.
    SeriesRefusedError
        As :func:`split_series`.

    And as the client.
    """
    if len(series_ids) >= len(roles):
        check_number(series_ids, roles)
        return tuple(
            SeriesInput(role=role, orthanc_id=series_id)
            for role, series_id in zip(roles, series_ids, strict=True)
        )
    splits = [(series_id, _split(client, series_id)) for series_id in series_ids]
    volumes = volumes_in_order(splits, _several_stacks)
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
    split = split_series(client.series_images(series_id, instances))
    if split.doubt is PartDoubt.OTHER_ORDER:
        raise ManifestRejectedError(
            f"The instance numbers of series {series_id} count its phases in another order than "
            f"{(split.key or '').replace('-', ' ')}, and nothing else in it says which is right.",
            code="part-needed",
            remedy="Choose the volumes on the site's page of the study, or store each phase as a "
            "series of its own.",
        )
    return split


def _several_stacks(series_id: str, split: Split) -> ManifestRejectedError:
    return ManifestRejectedError(
        f"Series {series_id} holds {split.stacks} stacks of slices, not phases alone.",
        code="part-needed",
        remedy="Choose the volumes on the site's page of the study, or store each stack as a "
        "series of its own.",
    )
