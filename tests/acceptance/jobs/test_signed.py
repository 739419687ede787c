"""The real agent with keys: it runs what its site signed, and signs what it answers."""

from __future__ import annotations

import json

from segrelay import names
from segrelay.bucket.sealed import SealedBucket
from segrelay.queue import JobState, SiteQueue
from segrelay.signing import SigningKey, Trust
from tests.support.lab.lab import Lab


def test_only_signed_jobs_run_and_their_results_are_signed(lab: Lab) -> None:
    site_key, agent_key = SigningKey.new(), SigningKey.new()
    trust = Trust.of(jobs=[site_key.public], results=[agent_key.public, site_key.public])
    site = SiteQueue(SealedBucket(lab.bucket, site_key, trust))
    forged, signed = lab.submit(), site.submit(lab.manifest())
    lab.start_agent(SEGRELAY_SIGNING_KEY=agent_key.text, SEGRELAY_SITE_KEYS=site_key.public.text)
    lab.wait_for(lambda: site.find(signed).state is JobState.SUCCEEDED, "the signed job is done")
    lab.wait_for(lambda: site.find(forged).state is JobState.REJECTED, "the other is set aside")
    rejection = site.find(forged).rejection
    assert rejection is not None
    assert rejection.code == "unsigned"
    result = names.result_object(signed.job_id)
    envelope = json.loads(lab.bucket.read(result, limit=100_000))
    assert envelope["key"] == agent_key.public.key_id
    assert len(lab.stored_segs()) == 1
    assert agent_key.text not in lab.logs[-1].read_text()
