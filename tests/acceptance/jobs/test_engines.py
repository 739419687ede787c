"""A whole job by OpenVINO, and one with test-time flips, through the real agent."""

from __future__ import annotations

import json

import pytest

from infra.gates.gate import check_seg, masks_by_dcmqi, read_grid
from infra.phantom import REFERENCE_PHASE
from segrelay.manifest import Provenance
from segrelay.names import JobName
from tests.acceptance.jobs.test_enhanced import phases, stored_seg
from tests.support.lab.lab import DEADLINE, Lab
from tests.support.networks.tiny_profile import write_tiny_profile

FLIPS = ((0,), (1,), (0, 1))


@pytest.mark.long
def test_a_job_by_openvino_and_one_with_flips(lab: Lab) -> None:
    profile = write_tiny_profile(lab.folder / "profiles", "flipped") / "profile.json"
    document = json.loads(profile.read_text())
    document["inference"]["flips"] = FLIPS
    profile.write_text(json.dumps(document))
    (lab.folder / "openvino.toml").write_text('cpu_engine = "openvino"\n')

    by_torch, flipped = lab.submit(), lab.submit(profile="flipped")
    run_to_the_end(lab, "once", SEGRELAY_PROFILES="tiny,flipped")
    by_openvino = lab.submit()
    run_to_the_end(lab, "--config", str(lab.folder / "openvino.toml"), "--log", "json", "once")

    assert provenance_of(lab, by_torch).device == "cpu"
    assert provenance_of(lab, by_openvino).device.startswith("cpu, OpenVINO ")
    assert provenance_of(lab, by_torch).flips == ()
    assert provenance_of(lab, flipped).flips == FLIPS
    files = phases(lab.folder / "study")
    reference = files[REFERENCE_PHASE]
    others = [path for paths in files for path in paths]
    expected = masks_by_dcmqi(stored_seg(lab, by_torch), read_grid(reference))
    assert any(mask.any() for mask in expected.values())
    same = check_seg(
        stored_seg(lab, by_openvino), reference, other_sources=others, expected=expected
    )
    assert same.ok, same
    mirrored = stored_seg(lab, flipped)
    found = masks_by_dcmqi(mirrored, read_grid(reference))
    assert any((found[number] != mask).any() for number, mask in expected.items())
    gate = check_seg(mirrored, reference, other_sources=others, expected=found)
    assert gate.ok, gate


def run_to_the_end(lab: Lab, *arguments: str, **changes: str) -> None:
    agent = lab.start_agent(*arguments, **changes)
    assert agent.wait(timeout=DEADLINE) == 0, lab.logs[-1].read_text()


def provenance_of(lab: Lab, name: JobName) -> Provenance:
    result = lab.where(name).result
    assert result is not None
    assert result.provenance is not None, result
    return result.provenance
