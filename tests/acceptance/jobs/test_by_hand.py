"""``lab-agent segment``: no queue; the SEG is never lost, and never stored twice."""

from __future__ import annotations

import json

from infra.fake_gcs import Fault, FaultKind
from tests.support.lab.lab import DEADLINE, PATIENT_NAME, Lab
from tests.support.servers.fault_proxy import fault_proxy

NOT_NOW = 75


def test_segment_twice_is_one_seg(lab: Lab) -> None:
    first = lab.run_agent("segment", "--json", "--series-ids", *lab.study.series_ids)
    assert first.returncode == 0, first.stderr
    result = json.loads(first.stdout)
    assert result["already_stored"] is False
    again = lab.run_agent("segment", "--series-ids", *lab.study.series_ids)
    assert again.returncode == 0, again.stderr
    assert f"SEG instance: {result['seg']['orthanc_id']}" in again.stdout
    assert "Tumour:" in again.stdout
    assert "ml" in again.stdout
    assert "earlier run" in again.stdout
    assert [item["ID"] for item in lab.stored_segs()] == [result["seg"]["orthanc_id"]]
    assert PATIENT_NAME.split("^")[0] not in first.stdout + first.stderr + again.stderr


def test_orthanc_away_at_the_upload_keeps_the_seg_and_once_sends_it(lab: Lab) -> None:
    with fault_proxy(lab.orthanc.url) as line:
        line.faults.add(
            Fault(
                kind=FaultKind.DROP_BEFORE, operation="POST", name_contains="/instances", times=99
            )
        )
        away = lab.run_agent(
            "segment", "--series-ids", *lab.study.series_ids, SEGRELAY_ORTHANC_URL=line.url
        )
    assert away.returncode == NOT_NOW, away.stderr
    assert "The SEG is kept in" in away.stderr
    assert lab.stored_segs() == []
    assert lab.start_agent("once").wait(timeout=DEADLINE) == 0
    assert len(lab.stored_segs()) == 1
    assert list((lab.home / "outbox").iterdir()) == []
