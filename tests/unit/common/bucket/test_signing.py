"""Signed documents: what is believed, what is not, and that the queue works as before."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segrelay import names
from segrelay.bucket import Bucket
from segrelay.bucket.local import LocalBucket
from segrelay.bucket.sealed import SealedBucket
from segrelay.errors import FixConfigurationError, ManifestRejectedError
from segrelay.manifest import MANIFEST_BYTES_LIMIT, ResultStatus
from segrelay.queue import AgentQueue, JobState, SiteQueue, scan
from segrelay.signing import Kind, PublicKey, SigningKey, Trust, open_envelope, seal
from tests.support.jobs import NOW, make_manifest, make_result
from tests.unit.common.queue import test_queue as transitions

# The tests and fixtures of the unsigned queue; they ask for the fixture ``bucket`` below.
globals().update(
    {
        name: value
        for name, value in vars(transitions).items()
        if (name.startswith("test_") or name in ("site", "lab"))
        # It reads the raw bytes of a rejected manifest, which here are an envelope.
        and name != "test_a_bad_manifest_is_set_aside_unchanged_with_its_reason"
    }
)

KEY = SigningKey.new()
STRANGER = SigningKey.new()
TRUST = Trust.of(jobs=[KEY.public], results=[KEY.public])


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    """Both sides with one key: every transition, signed."""
    return SealedBucket(LocalBucket(tmp_path), KEY, TRUST)


@given(st.text(), st.sampled_from(Kind))
def test_any_text_comes_back_from_its_envelope(text: str, kind: Kind) -> None:
    data = text.encode("utf-8", "surrogatepass")
    if data.decode("utf-8", "ignore") != text:
        return
    sealed = seal(data, kind, KEY)
    assert sealed == seal(data, kind, KEY), "a submit that is repeated must be the same bytes"
    assert open_envelope(sealed, kind, TRUST) == data


@given(st.data())
def test_no_altered_byte_is_believed(data: st.DataObject) -> None:
    sealed = seal(make_manifest().to_json(), Kind.JOB, KEY)
    at = data.draw(st.integers(0, len(sealed) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != sealed[at]))
    altered = sealed[:at] + bytes([byte]) + sealed[at + 1 :]
    opened = None
    with contextlib.suppress(ManifestRejectedError):
        opened = open_envelope(altered, Kind.JOB, TRUST)
    # A blank between two fields says nothing, so not every change is refused.
    assert opened in (None, open_envelope(sealed, Kind.JOB, TRUST))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"{}", "unsigned"),
        (b"not json", "unsigned"),
        (b'{"segrelay_signed": 1}', "unsigned"),
        (seal(b"{}", Kind.JOB, STRANGER), "key-unknown"),
        (seal(b"{}", Kind.RESULT, KEY), "signature-wrong"),
    ],
    ids=["plain", "no-json", "torn", "stranger", "other-kind"],
)
def test_what_nobody_trusted_signed_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(ManifestRejectedError) as caught:
        open_envelope(data, Kind.JOB, TRUST)
    assert caught.value.code == code


def test_a_job_relabelled_as_a_result_is_refused() -> None:
    document = json.loads(seal(b"{}", Kind.JOB, KEY))
    document["kind"] = Kind.RESULT.value
    with pytest.raises(ManifestRejectedError) as caught:
        open_envelope(json.dumps(document).encode(), Kind.RESULT, TRUST)
    assert caught.value.code == "signature-wrong"


def test_a_strangers_signature_under_a_trusted_key_id_is_refused() -> None:
    document = json.loads(seal(b"{}", Kind.JOB, STRANGER))
    document["key"] = KEY.public.key_id
    with pytest.raises(ManifestRejectedError) as caught:
        open_envelope(json.dumps(document).encode(), Kind.JOB, TRUST)
    assert caught.value.code == "signature-wrong"


def test_without_keys_signed_and_unsigned_documents_are_read() -> None:
    assert open_envelope(b"{}", Kind.JOB, Trust()) == b"{}"
    assert open_envelope(seal(b"{}", Kind.JOB, KEY), Kind.JOB, Trust()) == b"{}"


def test_keys_travel_as_text_and_the_secret_one_never_shows() -> None:
    assert SigningKey.from_text(KEY.text) == KEY
    assert PublicKey.from_text(KEY.public.text) == KEY.public
    assert KEY.text not in repr(KEY)
    assert str(KEY.raw) not in repr(KEY)


@pytest.mark.parametrize(
    "text",
    ["", "short", "ä", KEY.text[:-4], KEY.text + KEY.text],
    ids=["empty", "short", "no-ascii", "cut", "doubled"],
)
def test_a_broken_key_is_named_but_not_shown(text: str) -> None:
    with pytest.raises(FixConfigurationError) as caught:
        SigningKey.from_text(text)
    assert caught.value.code == "key-invalid"
    assert not text or text not in caught.value.message + caught.value.remedy


def test_the_manifest_in_the_bucket_is_signed_and_still_readable(tmp_path: Path) -> None:
    store = LocalBucket(tmp_path)
    manifest = make_manifest()
    name = SiteQueue(SealedBucket(store, KEY, Trust())).submit(manifest)
    document = json.loads(store.read(name.pending, limit=MANIFEST_BYTES_LIMIT))
    assert json.loads(document["payload"])["job_id"] == manifest.job_id
    assert document["key"] == KEY.public.key_id


@pytest.mark.parametrize("key", [None, STRANGER])
def test_an_agent_with_the_sites_key_runs_only_what_the_site_signed(
    tmp_path: Path, key: SigningKey | None
) -> None:
    store = LocalBucket(tmp_path)
    forged = make_manifest()
    SiteQueue(SealedBucket(store, key, Trust())).submit(forged)
    agent = SealedBucket(store, None, Trust.of(jobs=[KEY.public]))
    queue = AgentQueue(agent, "lab-1", now=lambda: NOW)
    claim = queue.claim(scan(agent).pending[0])
    assert claim is not None
    with pytest.raises(ManifestRejectedError) as caught:
        queue.open(claim)
    queue.reject(claim, caught.value)
    assert caught.value.code == ("unsigned" if key is None else "key-unknown")
    assert store.list(names.RESULTS) == [], "an unauthenticated manifest never causes a result"
    assert store.list(claim.name.rejected)[0].name == claim.name.rejected


def test_a_site_with_the_agents_key_believes_only_what_an_agent_signed(tmp_path: Path) -> None:
    store, site_key = LocalBucket(tmp_path), SigningKey.new()
    trust = Trust.of(jobs=[site_key.public], results=[KEY.public, site_key.public])
    site = SiteQueue(SealedBucket(store, site_key, trust))
    for writer, state in (
        (KEY, JobState.SUCCEEDED),
        (STRANGER, JobState.RESULT_UNREADABLE),
        (None, JobState.RESULT_UNREADABLE),
    ):
        manifest = make_manifest()
        name = site.submit(manifest)
        result = make_result(manifest.job_id)
        agent = SealedBucket(store, writer, Trust())
        agent.create(names.result_object(manifest.job_id), result.to_json())
        assert site.find(name).state is state


def test_the_sites_own_cancellation_is_believed(tmp_path: Path) -> None:
    site_key = SigningKey.new()
    trust = Trust.of(jobs=[site_key.public], results=[KEY.public, site_key.public])
    site = SiteQueue(SealedBucket(LocalBucket(tmp_path), site_key, trust))
    manifest = make_manifest()
    name = site.submit(manifest)
    assert site.cancel(manifest.job_id, now=NOW).status is ResultStatus.CANCELLED
    assert site.find(name).state is JobState.CANCELLED


def test_a_result_copied_to_another_job_is_not_that_jobs(tmp_path: Path) -> None:
    store = LocalBucket(tmp_path)
    bucket = SealedBucket(store, KEY, TRUST)
    first, second = make_manifest(), make_manifest()
    bucket.create(names.result_object(first.job_id), make_result(first.job_id).to_json())
    sealed = store.read(names.result_object(first.job_id), limit=100_000)
    store.create(names.result_object(second.job_id), sealed)
    name = SiteQueue(bucket).submit(second)
    assert SiteQueue(bucket).find(name).state is JobState.RESULT_UNREADABLE
