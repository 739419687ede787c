"""The queue that the hospital's site keeps: token, certificate, and calls that wait for jobs."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy

from lab_side.doctor.certificate import judge_certificate
from lab_side.doctor.finding import Finding, failed
from segrelay.bucket.site import SiteBucket
from segrelay.errors import SegRelayError
from segrelay.manifest import utc_now

TIMEOUT_S = 10.0
"""Seconds to connect."""

HELD_S = 1.0
"""Seconds for which the site is asked to hold a call."""


def examine_site(bucket: SiteBucket, agent: str) -> Iterator[Finding]:
    """Check what only a queue at the site has, once it is reached."""
    yield check_token(bucket, agent)
    if bucket.describe().startswith("https:"):
        yield check_certificate(bucket.describe(), bucket.ca_file)
    yield check_waiting(bucket)


def check_token(bucket: SiteBucket, agent: str) -> Finding:
    """Check whether the token is this agent's: with another one it sends no heartbeat."""
    check = "token for the queue"
    try:
        bucket.verify_agent(agent)
    except SegRelayError as error:
        return failed(check, error)
    return Finding.ok(check, f"it is that of {agent}, which may send its heartbeat")


def check_certificate(address: str, ca_file: Path | None) -> Finding:
    """Check how long the certificate of the site is still valid.

    ``ca_file``: what is trusted instead of what the environment names.
    """
    check = "certificate of the site"
    if select_proxy(address, get_environ_proxies(address)) is not None:
        return Finding.not_known(check, "not asked for over a proxy; it is valid now")
    parts = urlsplit(address)
    place = parts.hostname or "", parts.port or 443
    return judge_certificate(
        check,
        place,
        partial(_context, ca_file),
        utc_now(),
        timeout=TIMEOUT_S,
        warned_as="bucket-certificate",
    )


def check_waiting(bucket: SiteBucket) -> Finding:
    """Check whether the site holds a call until there is a job."""
    check = "waiting for jobs"
    try:
        change, _ = bucket.wait("", 0)
        _, is_held = bucket.wait(change, HELD_S)
    except SegRelayError as error:
        return failed(check, error)
    if is_held:
        return Finding.ok(check, "the site holds a call, so a job is seen at once")
    return Finding.ok(
        check,
        "the site holds no further call now: an agent that has none held looks every few seconds "
        "(QUEUE_WAITING_CALLS at the site)",
    )


def _context(ca_file: Path | None) -> ssl.SSLContext:
    """What the queue's client trusts."""
    named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    bundle = str(ca_file or named or DEFAULT_CA_BUNDLE_PATH)
    is_folder = os.path.isdir(bundle)
    return ssl.create_default_context(
        cafile=None if is_folder else bundle, capath=bundle if is_folder else None
    )
