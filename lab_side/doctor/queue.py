"""The queue: where it is, whether this account reaches it, whether it keeps its promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lab_side.doctor.finding import Finding, failed
from segrelay import names
from segrelay.bucket import Bucket, CheckedServer
from segrelay.errors import SegRelayError
from segrelay.queue.selftest import verify_store
from segrelay.queue.view import scan

if TYPE_CHECKING:
    from google.cloud import storage  # type: ignore[import-untyped]

EMULATOR = "STORAGE_EMULATOR_HOST"

_NAMED = 5
"""Odd objects that are named."""


def check_emulator(environment: Mapping[str, str]) -> Finding:
    """Check whether the environment sends the queue to another server than Google's."""
    check = "emulator variable"
    address = environment.get(EMULATOR)
    if address is None:
        return Finding.ok(check, f"{EMULATOR} is not set")
    host = urlsplit(address).hostname or "?"
    return Finding.warning(
        check,
        f"{EMULATOR} is set: the queue is at {host}, not at Google",
        f"Unset {EMULATOR}, unless this is a test.",
    )


def check_reached(bucket: Bucket) -> Finding:
    """Check whether the store answers this account; one listing."""
    check = "queue reached"
    try:
        bucket.list(names.PROBE)
    except SegRelayError as error:
        return failed(check, error)
    return Finding.ok(check, bucket.describe())


def check_unusable(bucket: Bucket) -> Finding:
    """Check whether anything lies in the live queue that agents pass over."""
    check = "unusable objects"
    try:
        view = scan(bucket)
    except SegRelayError as error:
        return failed(check, error)
    unusable = [item.in_words for item in view.unusable]
    if not unusable:
        return Finding.ok(check, "everything in the queue is its own")
    more = f" and {len(unusable) - _NAMED} more" if len(unusable) > _NAMED else ""
    return Finding.warning(
        check,
        f"agents pass over {'; '.join(unusable[:_NAMED])}{more}",
        "Remove what is not the queue's; correct the permissions of what is.",
    )


def check_account(client: storage.Client) -> Finding:
    """Report the account that sends the requests."""
    credentials = client._credentials
    name = getattr(credentials, "service_account_email", None)
    kind = type(credentials).__module__.removeprefix("google.")
    return Finding.ok("signed in", f"as {name}" if name else f"with {kind}")


def check_promises(bucket: Bucket) -> Iterator[Finding]:
    """Check whether the store refuses what would let two agents own one job, and keeps all else."""
    check = "self-test"
    try:
        remarks = verify_store(bucket)
    except SegRelayError as error:
        yield failed(check, error)
        return
    yield Finding.ok(check, "double creations, stale moves and stale heartbeats are refused")
    if isinstance(bucket, CheckedServer) and not remarks:
        yield Finding.ok("queue server", "it keeps what it acknowledges, and removes nothing")
    for remark in remarks:
        yield Finding.warning("queue server", remark.text, remark.remedy)
