"""``lab-agent`` in this process, and an agent that seems to run as this process."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab_side import cli
from lab_side.agent.health.identity import is_dead, this_process
from segrelay.bucket import Bucket
from segrelay.errors import ManifestRejectedError
from segrelay.queue import AgentQueue, Heartbeat, HeartbeatJob, Lease, scan
from segrelay.stages import Stage


class Cli:
    """The command line, in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str, code: int = 0) -> str:
        ended = cli.run(arguments)
        self.said = self._capsys.readouterr()
        assert ended == code, self.said.err
        return self.said.out

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", code=code))


class Running:
    """An agent that runs as this process, under the id that the operator uses too."""

    def __init__(self, bucket: Bucket, agent: str = "lab-1") -> None:
        self.bucket = bucket
        self.identity = this_process()
        self.lease = Lease(bucket, agent, self.identity, is_dead=is_dead)
        self.lease.take(self.heartbeat())
        self.queue = AgentQueue(bucket, agent, now=self.lease.now)

    def claim(self) -> None:
        claim = self.queue.claim(scan(self.bucket).pending[0])
        assert claim is not None
        job = HeartbeatJob(
            job_id=claim.job_id,
            attempt=claim.attempt,
            stage=Stage.FETCH,
            percent=40,
            done=248,
            total=620,
        )
        self.lease.renew(self.heartbeat(job))

    def stop(self) -> None:
        self.lease.renew(self.heartbeat().model_copy(update={"state": "stopped"}))

    def reject(self) -> None:
        claim = self.queue.claim(scan(self.bucket).pending[0])
        assert claim is not None
        self.queue.reject(
            claim,
            ManifestRejectedError("Too\x1b[2J new.", code="schema-newer", remedy="Update."),
        )

    def heartbeat(self, *jobs: HeartbeatJob) -> Heartbeat:
        return Heartbeat(
            identity=self.identity,
            state="listening",
            version="1",
            profiles=("demo",),
            device="NVIDIA H200",
            jobs=jobs,
        )
