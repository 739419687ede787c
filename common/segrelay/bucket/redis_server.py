"""Whether a Redis keeps what is written to it: its eviction, its disk, its kind.

Read from ``INFO``, and from ``CONFIG GET`` where the user may ask for it. A Redis that removes keys
when it is full, or keeps nothing on a disk, loses jobs that were acknowledged: it is refused.
Source: https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/ and
https://redis.io/docs/latest/develop/reference/eviction/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis
from redis import exceptions as redis_errors

from segrelay.bucket import ServerRemark
from segrelay.bucket.address import RedisAddress
from segrelay.bucket.redis_answers import cluster_refused, code_of
from segrelay.errors import FixConfigurationError

OLDEST = (7, 0)
"""Version with which the tests run; an older one words errors of scripts in another way."""

_SAFE_POLICY = "noeviction"


def examine(client: redis.Redis, address: RedisAddress) -> list[ServerRemark]:
    """Check the server's settings; returns what an operator should know.

    Raises
    ------
    FixConfigurationError
        ``store-evicts``, ``store-not-durable``, or ``bucket-refused`` of a cluster and of a Redis
        that is too old.
    redis.RedisError
        No answer.
    """
    try:
        info: Mapping[str, Any] = client.info()
    except redis_errors.ResponseError as error:
        if code_of(error) != "NOPERM":
            raise
        return [
            ServerRemark(
                "whether the Redis keeps its data is not known: its user may not ask INFO",
                "Allow it: ACL SETUSER … +info +config|get.",
            )
        ]
    _check_kind(info)
    if info.get("loading"):
        # For that long a Redis reports appendonly as switched off.
        raise redis_errors.BusyLoadingError("LOADING its settings are not in force yet")
    settings = _settings(client)
    return [*_judge_eviction(info), *_judge_persistence(info, settings, address)]


def _check_kind(info: Mapping[str, Any]) -> None:
    if info.get("redis_mode") == "cluster" or info.get("cluster_enabled") == 1:
        raise cluster_refused()
    version = str(info.get("redis_version", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if len(numbers) == len(OLDEST) and numbers < OLDEST:
        raise FixConfigurationError(
            f"The Redis is of version {version}, which is too old for the queue.",
            code="bucket-refused",
            remedy="Use Redis 7.0 or newer, or Valkey.",
        )


def _settings(client: redis.Redis) -> Mapping[str, str] | None:
    """The settings that ``INFO`` does not show; None where the user may not ask for them."""
    try:
        found: Mapping[str, str] = client.config_get("appendfsync")  # type: ignore[assignment]
    except redis_errors.ResponseError:
        # Forbidden by the access control list, or renamed by a hosting service.
        return None
    return found


def _judge_eviction(info: Mapping[str, Any]) -> list[ServerRemark]:
    policy, limit = str(info.get("maxmemory_policy", _SAFE_POLICY)), info.get("maxmemory", 0)
    if policy == _SAFE_POLICY:
        return []
    if limit and policy.startswith("allkeys"):
        raise FixConfigurationError(
            f"The Redis removes jobs when it is full (maxmemory-policy {policy}).",
            code="store-evicts",
            remedy="Set maxmemory-policy noeviction in the Redis, or use another one for the "
            "queue.",
        )
    return [
        ServerRemark(
            f"maxmemory-policy is {policy}, which removes no key of the queue as it is set now",
            "Set maxmemory-policy noeviction.",
        )
    ]


def _judge_persistence(
    info: Mapping[str, Any], settings: Mapping[str, str] | None, address: RedisAddress
) -> list[ServerRemark]:
    if not info.get("aof_enabled"):
        if not address.allow_loss:
            raise FixConfigurationError(
                "The Redis does not write each change to a disk (appendonly no): when it ends, "
                "jobs and results that it has acknowledged are lost.",
                code="store-not-durable",
                remedy="Set appendonly yes (redis-cli CONFIG SET appendonly yes, and in its "
                "file); or add ?allow_loss=yes to the queue's address.",
            )
        return [
            ServerRemark(
                "the Redis does not write each change to a disk: when it ends, jobs are lost",
                "Set appendonly yes, unless this is a test.",
            )
        ]
    fsync = None if settings is None else settings.get("appendfsync")
    if fsync == "always":
        return []
    if fsync is None:
        return [
            ServerRemark(
                "how soon a change is on the disk of the Redis is not known: its user may not ask "
                "CONFIG GET",
                "Allow it (ACL SETUSER … +config|get), and set appendfsync always.",
            )
        ]
    lost = "the last second" if fsync == "everysec" else "half a minute and more"
    return [
        ServerRemark(
            f"appendfsync is {fsync}: a power failure loses {lost} of acknowledged submits",
            "Set appendfsync always. A job that was lost is called off and submitted again at the "
            "site: manage.py labseg cancel, then labseg retry.",
        )
    ]
