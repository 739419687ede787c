"""The queue in a Redis: its certificate, and whether its user may listen for jobs."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator

from lab_side.doctor.certificate import judge_certificate
from lab_side.doctor.finding import Finding
from segrelay.bucket.redis import CONNECT_TIMEOUT, RedisBucket
from segrelay.errors import SegRelayError
from segrelay.manifest import utc_now


def examine_redis(bucket: RedisBucket) -> Iterator[Finding]:
    """Check what only a queue in a Redis has, once it is reached."""
    if bucket.address.is_encrypted:
        yield check_certificate(bucket)
    yield check_listening(bucket)


def check_listening(bucket: RedisBucket) -> Finding:
    """Check whether an arrival in the queue wakes the agent."""
    check = "waiting for jobs"
    try:
        with bucket.arrivals() as arrivals:
            arrivals.begin()
    except SegRelayError as error:
        return Finding.warning(
            check,
            f"the agent is not notified of a job, and looks every few seconds: {error.message}",
            error.remedy,
            code=error.code,
        )
    return Finding.ok(check, "the Redis notifies the agent, so a job is seen at once")


def check_certificate(bucket: RedisBucket) -> Finding:
    """Check how long the certificate of the Redis is still valid."""
    named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    return judge_certificate(
        "certificate of the Redis",
        (bucket.address.host, bucket.address.port),
        # Without a name: the system's authorities, and those of SSL_CERT_FILE.
        lambda: ssl.create_default_context(cafile=bucket.ca_file or named),
        utc_now(),
        timeout=CONNECT_TIMEOUT,
        warned_as="bucket-certificate",
    )
