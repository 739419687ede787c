"""Segmentation by hand: series of another body region need ``--confirm``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from lab_side.agent.by_hand.manual import with_confirmation
from lab_side.cli import _parser, exit_code
from lab_side.settings.config import PACKAGED_PROFILES
from segrelay.errors import ManifestRejectedError
from segrelay.manifest import parse_job_manifest
from segrelay.orthanc import InstanceInfo, OrthancClient
from segrelay.profiles import load_profile
from tests.support.jobs import make_manifest, orthanc_id

DEMO = load_profile(PACKAGED_PROFILES / "demo")


@dataclass
class Client:
    """Four series of two instances each, whose first instances have these tags."""

    tags_of: dict[str, str]

    def inventory(self, series_ids: list[str]) -> list[InstanceInfo]:
        return [
            InstanceInfo(
                orthanc_id=f"{series_id}-{number}",
                series_id=series_id,
                sop_instance_uid=f"1.{number}",
                size_bytes=1,
                file_uuid="",
            )
            for series_id in series_ids
            for number in range(2)
        ]

    def tags(self, instance_id: str) -> dict[str, Any]:
        assert instance_id.endswith("-0")
        return dict(self.tags_of)


def client(**tags: str) -> OrthancClient:
    return cast(OrthancClient, Client(tags))


@pytest.mark.parametrize("tags", [{}, {"BodyPartExamined": "BREAST"}, {"BodyPartExamined": ""}])
def test_an_ordinary_study_asks_nothing(tags: dict[str, str]) -> None:
    manifest = make_manifest()
    assert with_confirmation(manifest, client(**tags), DEMO, confirm=False) == manifest
    assert with_confirmation(manifest, client(**tags), DEMO, confirm=True) == manifest


def test_another_region_is_refused_with_its_attribute() -> None:
    with pytest.raises(ManifestRejectedError) as caught:
        with_confirmation(make_manifest(), client(BodyPartExamined="BRAIN"), DEMO, confirm=False)
    assert caught.value.code == "confirmation-needed"
    assert caught.value.message == (
        "The series contradict the profile demo: ATTENTION: Body Part Examined of dce-0, dce-1, "
        "dce-2, dce-3 says brain, but the profile is for breast."
    )
    assert "--confirm" in caught.value.remedy
    assert exit_code(caught.value) == 2


def test_with_a_yes_the_job_keeps_it() -> None:
    orthanc = client(BodyPartExamined="BRAIN", StudyDescription="Hirn")
    manifest = with_confirmation(make_manifest(), orthanc, DEMO, confirm=True)
    assert manifest.confirmed == ("body-part", "description-region")
    assert parse_job_manifest(manifest.to_json()) == manifest


def test_the_option() -> None:
    options = _parser().parse_args(["segment", "--confirm", "--series-ids", orthanc_id(1)])
    assert options.confirm
    assert not _parser().parse_args(["segment", "--series-ids", orthanc_id(1)]).confirm
