"""The OpenAPI description is valid, complete, and true of the answers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from django.core.cache import caches
from drf_spectacular.drainage import GENERATOR_STATS, reset_generator_stats
from drf_spectacular.validation import validate_schema
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from pydicom.dataset import Dataset
from rest_framework.test import APIClient

from gcp_side.labseg.urls import urlpatterns
from tests.support.dicom.dicom_series import make_affine
from tests.support.paths import ROOT
from tests.unit.gcp_side.fakes import (
    FOUR,
    OFFER,
    REPORT,
    ROLES,
    SEG_ID,
    STUDY_ID,
    FakeAgent,
    FakeOrthanc,
    Grid,
    MadeFrame,
    as_file,
    seg_dataset,
    series_id,
)
from tests.unit.gcp_side.image_series import store_images, write_images

pytestmark = pytest.mark.django_db(transaction=True)

PREFIX = "/api/mri/segmentation"

IMAGES = {
    "series/{series_id}/geometry/": "application/json",
    "series/{series_id}/volume/": "application/octet-stream",
    "series/{series_id}/slices/{index}/": "application/octet-stream",
    "instances/{seg_instance_id}/overlay/": "application/json",
    "instances/{seg_instance_id}/labels/": "application/octet-stream",
    "instances/{seg_instance_id}/overlay/{index}.png": "image/png",
}
"""By address: the media type of the answer."""


@pytest.fixture
def schema(client: APIClient, orthanc: FakeOrthanc) -> Any:
    answer: Any = client.get(f"{PREFIX}/schema/")
    assert answer.status_code == 200
    return json.loads(answer.content)


def test_it_is_valid_and_tells_of_every_endpoint(schema: Any) -> None:
    validate_schema(schema)  # type: ignore[no-untyped-call]
    assert schema["openapi"].startswith("3.1")
    operations = [operation for path in schema["paths"].values() for operation in path]
    # All but the addresses of the description and of the agents' queue.
    assert len(operations) == len(list(_addresses(urlpatterns))) - 2
    assert all(path.startswith(f"{PREFIX}/") for path in schema["paths"])


def _addresses(patterns: Iterable[Any]) -> Iterator[Any]:
    for one in patterns:
        yield from _addresses(one.url_patterns) if hasattr(one, "url_patterns") else [one]


def test_nothing_about_it_is_guessed(client: APIClient, orthanc: FakeOrthanc) -> None:
    """The package warns of what it cannot find out, and then writes something."""
    reset_generator_stats()
    assert client.get(f"{PREFIX}/schema/").status_code == 200
    assert not GENERATOR_STATS._warn_cache
    assert not GENERATOR_STATS._error_cache


def test_every_image_endpoint_is_described(schema: Any) -> None:
    for address, media in IMAGES.items():
        told = schema["paths"][f"{PREFIX}/{address}"]["get"]
        assert told["description"]
        ok = told["responses"]["200"]
        assert list(ok["content"]) == [media]
        if media == "application/octet-stream":
            assert "304" in told["responses"]
            assert "ETag" in ok["headers"]
        names = {item["name"] for item in told["parameters"] if item["in"] == "path"}
        assert names == set(re.findall(r"{(\w+)}", address))
        for item in told["parameters"]:
            assert item.get("description") or item["in"] == "path"


def check(schema: Any, address: str, method: str, answer: Any) -> None:
    """Hold an answer against what the description says of it."""
    told = schema["paths"][f"{PREFIX}/{address}"][method]["responses"]
    code = str(answer.status_code)
    found = told.get(code) or told[f"{code[0]}XX"]
    shape = found["content"]["application/json"]["schema"]
    Draft202012Validator(shape | {"components": schema["components"]}).validate(answer.json())


def test_the_answers_are_as_described(
    client: APIClient, schema: Any, orthanc: FakeOrthanc, agent: FakeAgent
) -> None:
    agent.heartbeat(offers=(OFFER, OFFER.model_copy(update={"name": "demo"})))
    ids = {"sequence_series_ids": list(FOUR)}
    first: Any = client.post(f"{PREFIX}/series/{FOUR[0]}/segment/", ids, format="json")
    check(schema, "series/{series_id}/segment/", "post", first)
    agent.finish(agent.claim()[0], report=REPORT)
    agent.heartbeat(offers=(OFFER, OFFER.model_copy(update={"name": "demo"})))
    request_id = first.json()["request_id"]
    by_role = {"series": dict(zip(ROLES, FOUR, strict=True))}
    study: Any = client.post(f"{PREFIX}/studies/{STUDY_ID}/segment/", by_role, format="json")
    check(schema, "studies/{study_id}/segment/", "post", study)
    again = study.json()["request_id"]
    grid = Grid(slices=3, rows=2, columns=3)
    frame = MadeFrame(segment=1, index=1, mask=np.ones((2, 3), bool))
    orthanc.slices = grid.places([0, 1, 2])
    orthanc.files = grid.files() | {SEG_ID: as_file(seg_dataset(grid, [frame]))}
    asked = {
        "status/{request_id}/": f"status/{request_id}/",
        "requests/": "requests/",
        "requests/{request_id}/events/": f"requests/{request_id}/events/",
        "studies/": "studies/",
        "studies/{study_id}/": f"studies/{STUDY_ID}/",
        "agents/": "agents/",
        "profiles/": "profiles/",
        "health/": "health/",
        "instances/{seg_instance_id}/frames/": f"instances/{SEG_ID}/frames/",
    }
    for address, path in asked.items():
        got: Any = client.get(f"{PREFIX}/{path}")
        assert got.status_code == 200
        check(schema, address, "get", got)
    for verb, code in (("cancel", 200), ("retry", 202)):
        done: Any = client.post(f"{PREFIX}/requests/{again}/{verb}/", {}, format="json")
        assert done.status_code == code
        check(schema, f"requests/{{request_id}}/{verb}/", "post", done)


def test_the_images_answers_are_as_described(
    client: APIClient, schema: Any, orthanc: FakeOrthanc
) -> None:
    store_images(orthanc, write_images(np.ones((3, 2, 3), np.uint16), make_affine()), range(3))
    grid = Grid(slices=3, rows=2, columns=3)
    empty = MadeFrame(segment=1, index=1, mask=np.zeros((2, 3), bool))
    full = MadeFrame(segment=1, index=1, mask=np.ones((2, 3), bool))
    for frame in (empty, full):
        seg = seg_dataset(grid, [frame], sources=False, positions=False)
        place, source = orthanc.slices[series_id(0)][1], Dataset()
        source.ReferencedSOPInstanceUID = place.sop_instance_uid
        derivation = Dataset()
        derivation.SourceImageSequence = [source]
        seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence = [derivation]
        del seg.SharedFunctionalGroupsSequence
        orthanc.files[SEG_ID] = as_file(seg)
        caches["segmentations"].clear()
        for address, media in IMAGES.items():
            path = address.format(series_id=series_id(0), seg_instance_id=SEG_ID, index=1)
            got: Any = client.get(f"{PREFIX}/{path}")
            assert got.status_code == 200
            assert got["Content-Type"] == media
            if media == "application/json":
                check(schema, address, "get", got)


def test_refusals_are_as_described(client: APIClient, schema: Any) -> None:
    check(schema, "requests/", "get", client.get(f"{PREFIX}/requests/?state=x"))
    check(schema, "status/{request_id}/", "get", client.get(f"{PREFIX}/status/x/"))
    check(schema, "agents/", "get", APIClient().get(f"{PREFIX}/agents/"))


@pytest.mark.process
def test_the_app_works_without_the_package_that_describes_it() -> None:
    """It is optional: nothing but the description needs it."""
    code = (
        "import sys; sys.modules['drf_spectacular'] = None\n"
        "from importlib import util; find = util.find_spec\n"
        "util.find_spec = lambda name, *a: None if name == 'drf_spectacular' else find(name, *a)\n"
        "import django; django.setup()\n"
        "from django.urls import reverse, NoReverseMatch\n"
        "reverse('labseg:agents')\n"
        "try: reverse('labseg:schema')\n"
        "except NoReverseMatch: pass\n"
        "else: raise SystemExit('a description without its package')\n"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=ROOT,
        env={"DJANGO_SETTINGS_MODULE": "gcp_side.site.settings", "SEGRELAY_DEBUG": "1"},
    )
