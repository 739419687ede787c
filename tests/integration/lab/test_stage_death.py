"""A bug that one job brings to light costs this job its attempts, and nobody else anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.servers.orthanc import OrthancServer
from lab_side.agent import pipeline
from lab_side.agent.delivery.deliver import Uploader
from segrelay.manifest import ResultStatus, parse_result
from segrelay.ulid import new_ulid
from tests.integration.lab.test_agent_faults import Scene, open_scene
from tests.support.lab.fast_lab import attempts
from tests.support.servers.orthanc import orthanc as orthanc

GOOD, MAX_ATTEMPTS = 3, 2


@pytest.fixture
def poison() -> set[str]:
    """Ids of jobs that bring the bug to light."""
    return set()


def serve(scene: Scene, poison: set[str]) -> None:
    """One poison job with good ones behind it; all of them end, and the agent lives."""
    job_id = new_ulid()
    # Before the agent, which runs already, can claim it.
    poison.add(job_id)
    bad = scene.lab.submit(job_id)
    good = [scene.submit() for _ in range(GOOD)]
    for job in (bad, *good):
        scene.end(job)
    result = parse_result(scene.lab.results().pop(bad.job_id))
    assert result.status is ResultStatus.FAILED
    assert result.failure is not None
    assert "secret" not in result.failure.reason
    records = attempts(scene.lab, bad)
    assert {(item.code, item.counts) for item in records} == {("stage-died", True)}
    assert len(records) == MAX_ATTEMPTS
    for job in good:
        data = scene.lab.results()[job.job_id]
        assert parse_result(data).status is ResultStatus.SUCCEEDED
        assert not any(item.counts for item in attempts(scene.lab, job))


@pytest.mark.parametrize("stage", ["fetch", "infer"])
def test_a_stage_that_dies_settles_its_claim_first(
    stage: str,
    poison: set[str],
    orthanc: OrthancServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = getattr(pipeline, stage)

    def dying(job: Any, *arguments: Any, **named: Any) -> Any:
        if job.job_id in poison:
            raise KeyError("secret")
        return real(job, *arguments, **named)

    monkeypatch.setattr(pipeline, stage, dying)
    monkeypatch.setattr("tests.support.lab.fast_lab.ATTEMPTS", MAX_ATTEMPTS)
    with open_scene(orthanc, tmp_path, monkeypatch) as scene:
        serve(scene, poison)


def test_a_delivery_that_dies_waits_and_lets_the_others_pass(
    poison: set[str], orthanc: OrthancServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Uploader.deliver
    tries = []

    def dying(self: Uploader, entry: Any) -> Any:
        if entry.draft.job_id in poison:
            tries.append(entry)
            if len(tries) < GOOD:
                raise RecursionError
        return real(self, entry)

    monkeypatch.setattr(Uploader, "deliver", dying)
    with open_scene(orthanc, tmp_path, monkeypatch) as scene:
        poison.add(scene.submit().job_id)
        for _ in range(GOOD):
            scene.submit()
        for job in scene.jobs:
            scene.end(job)
        scene.check()
    assert len(tries) == GOOD
