"""Queues in a private Redis."""

from __future__ import annotations

import secrets
from pathlib import Path

import redis

from segrelay.bucket.address import RedisAddress, parse_address
from segrelay.bucket.redis import RedisBucket


def redis_bucket(
    address: str,
    password: str = "",
    *,
    deadline: float = 2.0,
    first_pause: float = 0.02,
    ca_file: Path | None = None,
) -> RedisBucket:
    """A bucket that gives up soon."""
    where = parse_address(address)
    assert isinstance(where, RedisAddress)
    return RedisBucket(
        where, lambda: password, deadline=deadline, first_pause=first_pause, ca_file=ca_file
    )


def fresh_address(address: str) -> str:
    """The address with a prefix that nobody has used."""
    return f"{address.rpartition('/')[0]}/{secrets.token_hex(6)}"


def keys_as_kept(client: redis.Redis) -> dict[object, object]:
    """Every key of a Redis with its value, as it would write it to its disk."""
    return {key: client.dump(key) for key in client.keys("*")}
