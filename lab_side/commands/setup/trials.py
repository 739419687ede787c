"""Trials of the answers of the set-up at the servers that they name; nothing is changed there."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from pydantic import SecretStr

from segrelay import names
from segrelay.bucket import open_bucket
from segrelay.bucket.address import CloudAddress, RedisAddress, SiteAddress, parse_address
from segrelay.errors import SegRelayError, StoreUnavailableError
from segrelay.http.proxy_environment import check_authorities
from segrelay.orthanc import OrthancClient, OrthancSettings

TRIAL_SECONDS = 10.0
"""For a server to answer: the next question waits."""

WRONG_SECRET = ("bucket-credentials", "bucket-forbidden")
"""Codes of a queue that is there, and lets nobody in with this token or password."""


def try_orthanc(
    url: str, *, ca_file: Path | None = None, user: str = "", password: SecretStr | None = None
) -> SegRelayError | None:
    """Ask Orthanc who it is; None where it answers as it should.

    Without ``user``, one that asks for credentials is there, and that is enough.
    """
    settings = OrthancSettings(
        url=url,
        user=user,
        password=password or SecretStr(""),
        ca_file=ca_file,
        connect_timeout=TRIAL_SECONDS,
        read_timeout=TRIAL_SECONDS,
        retries=0,
    )
    try:
        client = OrthancClient(settings)
        try:
            client.system()
        finally:
            client.close()
    except SegRelayError as error:
        if error.code == "orthanc-credentials" and not user:
            return None
        return error
    return None


def try_queue(address: str, *, ca_file: Path | None = None) -> SegRelayError | None:
    """List one folder of the queue; None where that works, or where it is a directory.

    A site or a Redis that asks for a token or a password is there, and that is enough.
    """
    where = parse_address(address)
    if isinstance(where, SiteAddress):
        error = try_site(where.url, ca_file=ca_file)
        return None if error is not None and error.code == "bucket-credentials" else error
    if isinstance(where, RedisAddress):
        error = try_redis(replace(where, user=""), ca_file=ca_file)
        return None if error is not None and error.code in WRONG_SECRET else error
    if not isinstance(where, CloudAddress):
        return None
    try:
        open_bucket(address).list(names.PROBE)
    except SegRelayError as error:
        return error
    return None


def try_site(
    url: str, *, agent: str = "", token: SecretStr | None = None, ca_file: Path | None = None
) -> SegRelayError | None:
    """Ask the site's queue; None where it lets this agent in with its token.

    Parameters
    ----------
    agent:
        Whose token it must be; empty asks without one.
    """
    # Imported here: another queue needs no client of the site's.
    from segrelay.bucket.site import open_site_bucket

    secret = "" if token is None else token.get_secret_value()
    try:
        bucket = open_site_bucket(url, lambda: secret, deadline=TRIAL_SECONDS, ca_file=ca_file)
        try:
            bucket.list(names.PROBE)
            if agent:
                bucket.verify_agent(agent)
        finally:
            bucket.close()
    except StoreUnavailableError as error:
        error.remedy = (
            "Check the address, and what is between this computer and the site (proxy, login page, "
            "firewall)."
        )
        return error
    except SegRelayError as error:
        return error
    return None


def try_redis(
    address: RedisAddress, *, password: SecretStr | None = None, ca_file: Path | None = None
) -> SegRelayError | None:
    """Ask the Redis; None where it lets the address's user in, and keeps what is written to it."""
    # Imported here: the package is an extra.
    from segrelay.bucket.redis import RedisBucket

    secret = "" if password is None else password.get_secret_value()
    try:
        if address.is_encrypted and ca_file is None:
            check_authorities(os.environ)
        bucket = RedisBucket(address, lambda: secret, deadline=TRIAL_SECONDS, ca_file=ca_file)
        try:
            bucket.list(names.PROBE)
            bucket.check_server()
        finally:
            bucket.close()
    except StoreUnavailableError as error:
        error.remedy = (
            "Check host and port, that it is rediss:// exactly where the Redis speaks TLS, and "
            "what is between this computer and the Redis (firewall)."
        )
        return error
    except SegRelayError as error:
        return error
    return None
