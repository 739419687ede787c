"""The OpenAPI description is valid, complete, and true of the answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drf_spectacular.validation import validate_schema
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from rest_framework.test import APIClient

from gcp_side.labseg.openapi import ENDPOINTS
from tests.unit.gcp_side.fakes import (
    FOUR,
    OFFER,
    ROLES,
    SEG_ID,
    STUDY_ID,
    FakeAgent,
    FakeOrthanc,
    Grid,
    MadeFrame,
    as_file,
    radiologist,
    seg_dataset,
)

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = "/api/mri/segmentation"


@pytest.fixture
def client() -> APIClient:
    client = APIClient()
    client.force_authenticate(radiologist())
    return client


@pytest.fixture
def schema(client: APIClient, orthanc: FakeOrthanc) -> Any:
    answer: Any = client.get(f"{ROOT}/schema/")
    assert answer.status_code == 200
    return json.loads(answer.content)


def test_it_is_valid_and_tells_of_every_endpoint(schema: Any) -> None:
    validate_schema(schema)  # type: ignore[no-untyped-call]
    assert schema["openapi"].startswith("3.1")
    operations = [operation for path in schema["paths"].values() for operation in path]
    # Two addresses lead to one view.
    assert len(operations) == len(ENDPOINTS) + 1
    assert all(path.startswith(f"{ROOT}/") for path in schema["paths"])


def check(schema: Any, address: str, method: str, answer: Any) -> None:
    """Hold an answer against what the description says of it."""
    told = schema["paths"][f"{ROOT}/{address}"][method]["responses"]
    code = str(answer.status_code)
    found = told.get(code) or told[f"{code[0]}XX"]
    shape = found["content"]["application/json"]["schema"]
    Draft202012Validator(shape | {"components": schema["components"]}).validate(answer.json())


def test_the_answers_are_as_described(
    client: APIClient, schema: Any, orthanc: FakeOrthanc, agent: FakeAgent
) -> None:
    agent.beat(offers=(OFFER, OFFER.model_copy(update={"name": "demo"})))
    ids = {"sequence_series_ids": list(FOUR)}
    first: Any = client.post(f"{ROOT}/series/{FOUR[0]}/segment/", ids, format="json")
    check(schema, "series/{series_id}/segment/", "post", first)
    agent.finish(agent.claim()[0])
    agent.beat(offers=(OFFER, OFFER.model_copy(update={"name": "demo"})))
    request_id = first.json()["request_id"]
    by_role = {"series": dict(zip(ROLES, FOUR, strict=True))}
    study: Any = client.post(f"{ROOT}/studies/{STUDY_ID}/segment/", by_role, format="json")
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
        got: Any = client.get(f"{ROOT}/{path}")
        assert got.status_code == 200
        check(schema, address, "get", got)
    for verb, code in (("cancel", 200), ("retry", 202)):
        done: Any = client.post(f"{ROOT}/requests/{again}/{verb}/", {}, format="json")
        assert done.status_code == code
        check(schema, f"requests/{{request_id}}/{verb}/", "post", done)


def test_refusals_are_as_described(client: APIClient, schema: Any) -> None:
    check(schema, "requests/", "get", client.get(f"{ROOT}/requests/?state=x"))
    check(schema, "status/{request_id}/", "get", client.get(f"{ROOT}/status/x/"))
    check(schema, "agents/", "get", APIClient().get(f"{ROOT}/agents/"))


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
        cwd=Path(__file__).resolve().parents[3],
        env={"DJANGO_SETTINGS_MODULE": "gcp_side.site.settings", "SEGRELAY_DEBUG": "1"},
    )
