"""An agent's token allows what a service account of an agent may do in a bucket."""

from __future__ import annotations

import json
import re

import pytest

from gcp_side.labseg.queue.rights import Right, why_not_allowed
from segrelay import names
from segrelay.bucket.lifetimes import LIFETIMES
from tests.support.paths import ROOT

GCS = ROOT / "infra" / "gcs"
_OBJECTS = re.compile(r'objects/@ROOT@([^\\"]+)')

PREFIXES = sorted(
    {
        names.PENDING,
        names.CLAIMED,
        names.AGENTS,
        names.PROBE,
        names.ATTEMPTS,
        names.PROGRESS,
        names.RESULTS,
        names.DONE,
        names.FAILED,
        names.REJECTED,
    }
)


def granted(right: Right) -> set[str]:
    """The prefixes for which the condition of a bucket's role grants a right."""
    (path,) = GCS.glob(f"conditions/*agent-{right}.json")
    expression = json.loads(path.read_text(encoding="utf-8"))["expression"]
    found = set(_OBJECTS.findall(expression))
    return {prefix for prefix in PREFIXES if any(prefix.startswith(one) for one in found)}


@pytest.mark.parametrize("right", Right)
def test_rights_are_those_of_the_bucket(right: Right) -> None:
    own = {prefix: f"{prefix}lab/x.json" for prefix in PREFIXES}
    own[names.AGENTS] = names.agent_object("lab")
    allowed = {p for p in PREFIXES if not why_not_allowed("lab", right, own[p])}
    assert allowed == granted(right)


@pytest.mark.parametrize(
    ("right", "name"),
    [
        (Right.CREATE, f"{names.CLAIMED}other/5-x.json"),
        (Right.CREATE, f"{names.CLAIMED}lab-2/5-x.json"),
        (Right.CREATE, names.agent_object("other")),
        (Right.UPDATE, names.agent_object("lab-2")),
        (Right.READ, "v2/jobs/pending/x.json"),
        (Right.READ, ""),
        (Right.DELETE, names.result_object("x")),
        (Right.MOVE, names.result_object("x")),
    ],
)
def test_what_no_token_allows(right: Right, name: str) -> None:
    assert why_not_allowed("lab", right, name)


def test_what_is_removed_is_what_a_buckets_lifecycle_removes() -> None:
    rules = json.loads((GCS / "lifecycle.json").read_text(encoding="utf-8"))["rule"]
    in_a_bucket = {
        prefix.removeprefix("@ROOT@"): rule["condition"]["age"]
        for rule in rules
        for prefix in rule["condition"].get("matchesPrefix", [])
    }
    assert {prefix: age.days for prefix, age in LIFETIMES.items()} == in_a_bucket
