"""SEGs in an outbox, for tests."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

from lab_side.agent.delivery.outbox import SEG_FILE, Draft, Outbox, OutboxEntry
from tests.support.jobs import NOW, PROVENANCE

SEG = b"seg"


def make_entry(
    outbox: Outbox,
    folder: Path,
    *,
    job_id: str = "job",
    claim: str | None = None,
    written_at: datetime = NOW,
) -> OutboxEntry:
    """Put a SEG into the outbox; ``folder`` is where it was made, and goes with it."""
    folder.mkdir()
    (folder / SEG_FILE).write_bytes(SEG)
    draft = Draft(
        job_id=job_id,
        claim=claim,
        agent="lab-1",
        job_key=job_id,
        sop_instance_uid="2.25.1",
        series_instance_uid="2.25.2",
        sha256=hashlib.sha256(SEG).hexdigest(),
        size_bytes=len(SEG),
        frames=1,
        measurements=(),
        provenance=PROVENANCE,
        warnings=(),
        written_at=written_at,
    )
    return outbox.add(folder, draft)
