"""What a Redis refuses, and what is wrong on the way to it, as errors of the bucket protocol.

Source: https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors and the error
replies in ``src/server.c`` of Redis 7.
"""

from __future__ import annotations

import re
import ssl

from redis import exceptions as redis_errors

from segrelay.errors import FixConfigurationError, SegRelayError, StoreUnavailableError
from segrelay.http.certificate_fault import certificate_fault
from segrelay.system.causes import causes
from segrelay.system.system_limits import reached_limit

WRONG_TYPE = "WRONGTYPE"
"""A key holds another kind of value than the command is for."""

_CLUSTER = ("MOVED", "ASK", "CROSSSLOT", "TRYAGAIN")
_FULL = ("OOM", "MISCONF")

_ITS_LOG = "look at the log of the Redis"
_OTHER_SERVER = (
    "name the server that takes writes in the queue's address: of a replica its master, after a "
    "failover the new one"
)
_PASSING = {
    "LOADING": ("is loading its data", _ITS_LOG),
    "READONLY": ("is a replica, which takes no writes", _OTHER_SERVER),
    "CLUSTERDOWN": ("belongs to a cluster that is down", _ITS_LOG),
    "MASTERDOWN": ("is a replica that has lost its master", _OTHER_SERVER),
    "NOREPLICAS": (
        "has too few replicas to take writes",
        "start its replicas, or lower min-replicas-to-write",
    ),
    "BUSY": (
        "is running a script",
        "end the script (redis-cli SCRIPT KILL), which is not the queue's",
    ),
    "MAXCLIENTS": (
        "has as many connections as it may have",
        "raise maxclients of the Redis",
    ),
}
"""First words of refusals after which the same request may succeed: what is wrong, and what to do
if it lasts."""


_NO_RIGHT = ("The user executing the script can't", "ACL failure in script")
"""Words of a refusal within a script: of Redis 7.0, and of 7.2 and Valkey."""


_COMMAND = re.compile(r"permissions to run the '([a-z|]{1,40})' command")
"""How a Redis names what a user may not do (redis/src/acl.c)."""


def code_of(error: BaseException) -> str:
    """Return the first word of an error reply, in capitals; empty of anything else."""
    if not isinstance(error, redis_errors.RedisError):
        return ""
    text = str(error)
    if any(words in text for words in _NO_RIGHT):
        return "NOPERM"
    if error.status_code:
        return error.status_code
    if text.lower().startswith("max number of clients reached"):
        return "MAXCLIENTS"
    word = text.partition(" ")[0]
    return word if word.isupper() else ""


def explain(error: Exception, address: str) -> SegRelayError:
    """Return what an error of the client means.

    Parameters
    ----------
    address:
        Of the queue, as it may be shown.

    Returns
    -------
    StoreUnavailableError where the same request may succeed; FixConfigurationError where an
    operator must change something.
    """
    limit = reached_limit(error)
    if limit is not None:
        return StoreUnavailableError(limit.message, code="limit-reached", remedy=limit.remedy)
    refused = _refusal(error, code_of(error), address)
    if refused is not None:
        return refused
    if isinstance(error, redis_errors.InvalidResponse):
        return _not_redis(address)
    tls = _tls_fault(error, address)
    if tls is not None:
        return tls
    if isinstance(error, redis_errors.ConnectionError | redis_errors.TimeoutError | OSError):
        return StoreUnavailableError(
            f"The Redis did not answer ({type(error).__name__}).",
            remedy="Nothing: it is tried again automatically. If it lasts, check host and port of "
            "the queue's address, and that it is rediss:// exactly where the Redis speaks TLS.",
        )
    # In the server's own words, which may hold a value.
    return FixConfigurationError(
        f"The Redis refused a request ({code_of(error) or type(error).__name__}).",
        code="bucket-refused",
        remedy="Use Redis 7.0 or newer, or Valkey, and give the queue's user the commands that "
        "infra/OPERATIONS.md names.",
    )


def _refusal(error: Exception, code: str, address: str) -> SegRelayError | None:
    """A refusal that the server has a word for."""
    is_login = code in ("NOAUTH", "WRONGPASS") or isinstance(
        error, redis_errors.AuthenticationError | redis_errors.AuthenticationWrongNumberOfArgsError
    )
    if is_login:
        return FixConfigurationError(
            "The Redis refuses the user or the password, or asks for one and got none.",
            code="bucket-credentials",
            remedy="Name the user in the address (rediss://USER@…), and store the password: "
            "lab-agent setup, or SEGRELAY_REDIS_PASSWORD; at the site "
            'SEGRELAY["REDIS_PASSWORD"].',
        )
    if code == "NOPERM":
        found = _COMMAND.search(str(error))
        what = "a command or a key" if found is None else f"the command {found[1]}"
        return FixConfigurationError(
            f"The user of the Redis may not do this: {what} is not allowed to it.",
            code="bucket-forbidden",
            remedy="Give it the commands and the prefix of the queue, as infra/OPERATIONS.md shows "
            "(ACL SETUSER).",
        )
    if code == "DENIED":
        return FixConfigurationError(
            "The Redis is in protected mode: without a password it answers its own computer alone.",
            code="bucket-forbidden",
            remedy="Set a user with a password in the Redis (ACL SETUSER), then name it in the "
            "address.",
        )
    if code in _FULL:
        return StoreUnavailableError(
            "The Redis takes no writes: its memory or its disk is full.",
            code="store-full",
            remedy="Raise maxmemory, or free space on the disk of the Redis (redis-cli INFO "
            "persistence); it is retried automatically.",
        )
    if code in _CLUSTER:
        return cluster_refused()
    if "DB index is out of range" in str(error) or "SELECT is not allowed" in str(error):
        return FixConfigurationError(
            f"The Redis has no database of this number ({address}).",
            code="bucket-missing",
            remedy="Write a database that it has: 0, or less than its setting databases.",
        )
    if code in _PASSING:
        words, remedy = _PASSING[code]
        return StoreUnavailableError(
            f"The Redis {words}.", remedy=f"It is tried again automatically. If it lasts, {remedy}."
        )
    return None


def cluster_refused() -> FixConfigurationError:
    """A cluster spreads keys over computers, and no script can change keys on two of them."""
    return FixConfigurationError(
        "The queue cannot be in a Redis Cluster: every step changes several keys at once.",
        code="bucket-refused",
        remedy="Use one Redis (with replicas, if you like) that is no cluster: cluster-enabled no.",
    )


def _not_redis(address: str) -> FixConfigurationError:
    return FixConfigurationError(
        f"Another server answers where a Redis should ({address}).",
        code="bucket-refused",
        remedy="Check host and port; where the Redis speaks TLS, write rediss://, else redis://.",
    )


def _tls_fault(error: Exception, address: str) -> SegRelayError | None:
    for cause in causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return certificate_fault(cause, "the Redis")
        if isinstance(cause, ssl.SSLError) and cause.reason in (
            "WRONG_VERSION_NUMBER",
            "RECORD_LAYER_FAILURE",
        ):
            return _not_redis(address)
        if isinstance(cause, ssl.SSLError) and "CERTIFICATE_REQUIRED" in (cause.reason or ""):
            return FixConfigurationError(
                "The Redis asks for a client's certificate.",
                code="bucket-certificate",
                remedy="Set tls-auth-clients no in the Redis: its users have passwords.",
            )
    return None
