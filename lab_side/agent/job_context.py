"""One job's data on its way through the stages."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lab_side.worker.protocol import SeriesFiles
from segrelay.manifest import JobManifest
from segrelay.profiles import Profile
from segrelay.queue import Claim


@dataclass(kw_only=True)
class JobContext:
    """A job that is being worked on, or a segmentation by hand (then without claim)."""

    manifest: JobManifest
    profile: Profile
    model_sha256: str
    """Of the weights that the worker has loaded for the profile."""
    agent: str
    claim: Claim | None
    folder: Path
    """This attempt's downloads and output."""
    job_key: str
    """What the SEG's UIDs are made from."""
    series: dict[str, SeriesFiles] = field(default_factory=dict)
    """By role; filled by the fetch stage."""
    stage_seconds: dict[str, float] = field(default_factory=dict)

    @property
    def job_id(self) -> str:
        """The job's ULID."""
        return self.manifest.job_id

    @property
    def attempt(self) -> int:
        """1 for the first claim; 1 by hand."""
        return 1 if self.claim is None else self.claim.attempt
