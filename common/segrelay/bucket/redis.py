"""The queue in a Redis or Valkey.

Each operation is one script (:mod:`segrelay.bucket.redis_scripts`), repeated while the server does
not answer. A write whose answer was lost is known again by the generation that it brought along; a
deletion that is repeated finds no object (ObjectNotFoundError), and there is nothing left to do.
Nothing is ever popped: what was not acknowledged by its own name is where it was.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import redis
from redis import exceptions as redis_errors
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.retry import Retry

from segrelay import names, retry
from segrelay.bucket import MovedObject, ObjectInfo, ServerRemark
from segrelay.bucket.address import RedisAddress
from segrelay.bucket.lifetimes import LIFETIMES, PRUNE_EVERY
from segrelay.bucket.redis_answers import WRONG_TYPE, code_of, explain
from segrelay.bucket.redis_scripts import (
    CREATE,
    CREATE_AND_MOVE,
    DELETE,
    EXISTS,
    IS_PRUNING_DUE,
    LIST,
    MOVE,
    MOVE_AND_READ,
    NOT_FOUND,
    OK,
    OTHER_GENERATION,
    PRUNE,
    READ,
    REFRESH,
    REPLACE,
    STAT,
    TAKE_OVER,
    Keys,
    Script,
)
from segrelay.bucket.redis_server import examine
from segrelay.bucket.repeat import Answer, repeat
from segrelay.errors import (
    FixConfigurationError,
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectRefusedError,
    PreconditionFailedError,
    SegRelayError,
    StoreUnavailableError,
)
from segrelay.http.proxy_environment import check_authorities, check_certificates
from segrelay.transient import PATIENCE, AnswerHistory, OwnRefusalError

CONNECT_TIMEOUT = 5.0
ANSWER_TIMEOUT = 10.0
"""Seconds to connect, and to wait for the next bytes of an answer."""

PAGE = 1000
"""Objects that one script lists: other users of the Redis wait for it, some milliseconds."""

_BEGIN = datetime.fromtimestamp(0, UTC)
"""From which the server's times are counted."""

PONG_TIMEOUT = 5.0
"""Seconds for the answer to a PING."""

PasswordSource = Callable[[], str]
"""Reads the password; empty where there is none."""

Values = Sequence[str | bytes | int]

logger = logging.getLogger(__name__)


class RedisBucket:
    """The bucket protocol over the keys of :mod:`segrelay.bucket.redis_scripts`; thread-safe.

    Parameters
    ----------
    address:
        Where the Redis is.
    password:
        Reads the password of the address's user; called for each connection.
    patience:
        How long refusals are transient, once the Redis has answered correctly.
    deadline:
        Seconds for all tries of one operation.
    first_pause:
        Seconds before the second try; doubles with every further one.
    ca_file:
        Certificates to trust instead of the public authorities, PEM.
    """

    content_is_proven = True
    """An answer holds its length."""

    def __init__(
        self,
        address: RedisAddress,
        password: PasswordSource = str,
        *,
        patience: timedelta = PATIENCE,
        deadline: float = retry.STORE_REQUEST.deadline,
        first_pause: float = retry.STORE_REQUEST.first,
        ca_file: Path | None = None,
    ) -> None:
        self.address = address
        self.ca_file = ca_file
        self._keys = Keys(address.prefix)
        self._client = _new_client(address, password, ca_file)
        self._pauses = retry.RetryPolicy(
            first=first_pause,
            longest=retry.STORE_REQUEST.longest,
            jitter=0.2,
            deadline=deadline,
        )
        self._history = AnswerHistory(StoreUnavailableError, patience=patience)
        self._pruned_at = -PRUNE_EVERY

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def describe(self) -> str:
        """Return the address without its user."""
        return self.address.url

    def list(self, prefix: str) -> list[ObjectInfo]:
        """See the protocol; brings the metadata of heartbeat objects along."""
        begin, end = _range_of(prefix)
        found: list[ObjectInfo] = []
        while True:
            page = self._ask(
                "list", LIST, [self._keys.names], [self._keys.objects, begin, end, PAGE]
            )
            found += [_entry(item) for item in page]
            if len(page) < PAGE:
                self._prune_if_due()
                return found
            begin = b"(" + page[-1][0]

    def stat(self, name: str) -> ObjectInfo:
        """See the protocol."""
        return self._object("stat", STAT, name, [self._key(name)], [])

    def read_heartbeat(self, name: str) -> ObjectInfo:
        """See the protocol."""
        answer = self._ask("stat", STAT, [self._key(name)], [])
        if answer[0] == NOT_FOUND or answer[4] is None:
            raise ObjectNotFoundError(f"There is no heartbeat object {name}.")
        return self._info(name, answer)

    def read(self, name: str, *, limit: int) -> bytes:
        """See the protocol."""
        answer = self._ask("read", READ, [self._key(name)], [limit + 1])
        if answer[0] == NOT_FOUND:
            raise _absent(name)
        return bytes(answer[1])

    def create(self, name: str, data: bytes) -> ObjectInfo:
        """See the protocol; a creation whose answer was lost is answered when it is repeated."""
        values: Values = [name, _new_generation(), data, self._channel(name)]
        return self._object("create", CREATE, name, [self._keys.names, self._key(name)], values)

    def replace(self, name: str, data: bytes) -> ObjectInfo:
        """See the protocol."""
        values: Values = [name, _new_generation(), data, self._channel(name)]
        return self._object("replace", REPLACE, name, [self._keys.names, self._key(name)], values)

    def move(self, source: str, destination: str, *, generation: int) -> ObjectInfo:
        """See the protocol; a move whose answer was lost is answered when it is repeated.

        The object gets a new generation with its new name.
        """
        keys = [self._keys.names, self._key(source), self._key(destination)]
        channel = self._channel(destination)
        values: Values = [source, destination, generation, _new_generation(), channel]
        return self._object("move", MOVE, destination, keys, values, source=source)

    def create_unless(self, name: str, data: bytes, *, other: str) -> ObjectInfo | None:
        """See the joined operations."""
        values: Values = [name, _new_generation(), data, self._channel(name)]
        keys = [self._keys.names, self._key(name), self._key(other)]
        answer = self._ask("create-unless", CREATE, keys, values)
        return self._info(name, answer) if answer[0] == OK else None

    def move_and_read(
        self, source: str, destination: str, *, generation: int, limit: int, other: str
    ) -> MovedObject | None:
        """See the joined operations; publishes no arrival, as it moves nothing into the queue."""
        keys = [self._keys.names, self._key(source), self._key(destination), self._key(other)]
        values: Values = [source, destination, generation, _new_generation(), limit + 1]
        answer = self._ask("move-and-read", MOVE_AND_READ, keys, values)
        if answer[0] != OK:
            return None
        return MovedObject(data=bytes(answer[1]), has_other=bool(answer[2]))

    def create_and_move(
        self, name: str, data: bytes, *, source: str, destination: str, other: str
    ) -> bool:
        """See the joined operations; publishes no arrival, as it moves nothing into the queue."""
        moved = [self._key(source), self._key(destination)]
        keys = [self._keys.names, *moved, self._key(name), self._key(other)]
        generations = [_new_generation(), _new_generation()]
        values: Values = [source, destination, "", generations[0], name, generations[1], data]
        answer = self._ask("create-and-move", CREATE_AND_MOVE, keys, values)
        return bool(answer[0] == OK)

    def delete(self, name: str, *, generation: int) -> None:
        """See the protocol; a deletion whose answer was lost raises ObjectNotFoundError."""
        keys = [self._keys.names, self._key(name)]
        _check_refusals(self._ask("delete", DELETE, keys, [name, generation]), name, name)

    def take_over(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        """See the protocol; one whose answer was lost is answered when it is repeated."""
        values: Values = [name, generation, _new_generation(), json.dumps(dict(metadata))]
        keys = [self._keys.names, self._key(name)]
        return self._object("take-over", TAKE_OVER, name, keys, values)

    def refresh(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        """See the protocol."""
        values: Values = [generation, json.dumps(dict(metadata))]
        return self._object("refresh", REFRESH, name, [self._key(name)], values)

    def check_server(self) -> Sequence[ServerRemark]:
        """Check whether the Redis keeps what it acknowledges; returns what an operator should know.

        Raises
        ------
        FixConfigurationError
            ``store-evicts``, ``store-not-durable``, or ``bucket-refused`` of a cluster.
        StoreUnavailableError
            No answer.
        """
        with self._history.judging("info"):
            return self._try_again("info", lambda: examine(self._client, self.address))

    @contextlib.contextmanager
    def arrivals(self) -> Iterator[Arrivals]:
        """Listen for what becomes pending, on a connection of its own.

        Raises
        ------
        SegRelayError
            The Redis does not answer, or does not let this user listen; from the block too.
        """
        pubsub = self._client.pubsub()
        try:
            with self._named_errors("subscribe"):
                pubsub.subscribe(self._keys.pending)
                yield Arrivals(pubsub)
        finally:
            pubsub.close()

    def prune(self) -> int:
        """Remove objects that are older than their lifetimes, in pages; returns how many.

        Raises
        ------
        SegRelayError
            The Redis does not answer or refuses; it is asked once.
        """
        removed = 0
        for prefix, age in LIFETIMES.items():
            removed += self._prune(prefix, age)
        return removed

    def _prune(self, prefix: str, age: timedelta) -> int:
        begin, end = _range_of(prefix)
        removed = 0
        while True:
            values: Values = [
                self._keys.objects,
                begin,
                end,
                PAGE,
                age // timedelta(microseconds=1),
            ]
            with self._named_errors("prune"):
                last, count = self._run(PRUNE, [self._keys.names], values)
            removed += int(count)
            if last is None:
                return removed
            begin = b"(" + last

    def _prune_if_due(self) -> None:
        """Prune once an hour, in one of the processes that use this queue."""
        now = time.monotonic()
        if now - self._pruned_at < PRUNE_EVERY:
            return
        self._pruned_at = now
        try:
            with self._named_errors("prune"):
                is_due = self._run(IS_PRUNING_DUE, [self._keys.pruned], [int(PRUNE_EVERY * 1e6)])
            if is_due:
                self.prune()
        except SegRelayError as error:
            # What is listed does not depend on it; the listing says what is wrong with the server.
            logger.warning("old objects not removed: %s", error.message)

    def _key(self, name: str) -> str:
        """The key of an object; raises ObjectNotFoundError where no object can have the name."""
        if not names.can_be_stored(name):
            raise ObjectNotFoundError(f"{names.as_shown(name)!r} cannot name an object.")
        return self._keys.object(name)

    def _channel(self, name: str) -> str:
        return self._keys.pending if name.startswith(names.PENDING) else ""

    def _object(
        self,
        operation: str,
        script: Script,
        name: str,
        keys: Sequence[str],
        values: Values,
        source: str = "",
    ) -> ObjectInfo:
        answer = self._ask(operation, script, keys, values)
        _check_refusals(answer, name, source or name)
        return self._info(name, answer)

    def _info(self, name: str, answer: Sequence[Any]) -> ObjectInfo:
        info = _entry([name.encode(), *answer[1:]])
        if info.problem:
            raise _foreign_key(self._keys.object(name))
        return info

    def _ask(
        self,
        operation: str,
        script: Script,
        keys: Sequence[str],
        values: Values,
    ) -> Any:
        """Run a script until there is an answer or the deadline has passed."""
        with self._history.judging(operation):
            return self._try_again(operation, lambda: self._run(script, keys, values))

    def _try_again(self, operation: str, request: Callable[[], Answer]) -> Answer:
        def once() -> Answer:
            with self._named_errors(operation):
                return request()

        return repeat(once, self._pauses)

    def _run(self, script: Script, keys: Sequence[str], values: Values) -> Any:
        arguments = [*keys, *values]
        try:
            try:
                return self._client.evalsha(script.sha, len(keys), *arguments)
            except redis_errors.NoScriptError:
                return self._client.eval(script.text, len(keys), *arguments)
        except redis_errors.ResponseError as error:
            if WRONG_TYPE in str(error):
                raise self._wrong_type(keys) from error
            raise

    @contextlib.contextmanager
    def _named_errors(self, operation: str) -> Iterator[None]:
        try:
            yield
        except (redis_errors.RedisError, OSError) as error:
            found = explain(error, self.address.url)
            is_right = found.code == "bucket-forbidden" and code_of(error) == "NOPERM"
            if is_right and not self._history.has_succeeded(operation):
                found = OwnRefusalError(found.message, code=found.code, remedy=found.remedy)
            raise found from error

    def _wrong_type(self, keys: Sequence[str]) -> SegRelayError:
        """Name the key of the queue that holds what is not the queue's."""
        key = keys[0]
        # The user may not be allowed to ask.
        with contextlib.suppress(redis_errors.RedisError):
            for key in keys:
                kind = self._client.type(key)
                if kind not in (b"none", b"zset" if key == self._keys.names else b"hash"):
                    break
        return _foreign_key(key)


class Arrivals:
    """A subscription to what becomes pending."""

    def __init__(self, pubsub: redis.client.PubSub) -> None:
        self._pubsub = pubsub

    def begin(self) -> None:
        """Wait until the Redis has confirmed the subscription.

        Raises
        ------
        StoreUnavailableError
            It does not.
        """
        if self._pubsub.get_message(timeout=PONG_TIMEOUT) is None:
            raise StoreUnavailableError("The Redis did not answer (no subscription).")

    def wait(self, seconds: float) -> bool:
        """Wait for an arrival; returns whether there was one.

        Raises
        ------
        StoreUnavailableError
            The connection is dead.
        """
        message = self._pubsub.get_message(timeout=seconds)
        if message is not None:
            return bool(message["type"] == "message")
        # A dead connection is as silent as an idle queue.
        self._pubsub.ping()
        message = self._pubsub.get_message(timeout=PONG_TIMEOUT)
        if message is None:
            raise StoreUnavailableError("The Redis did not answer (no PONG).")
        return bool(message["type"] == "message")


class _Login(CredentialProvider):
    """User and password, read for each connection."""

    def __init__(self, user: str, password: PasswordSource) -> None:
        self._user = user or "default"
        self._password = password

    def get_credentials(self) -> tuple[str, str]:
        return self._user, self._password()


def open_redis_bucket(
    address: RedisAddress,
    password: PasswordSource,
    *,
    patience: timedelta = PATIENCE,
    ca_file: Path | None = None,
    deadline: float = retry.STORE_REQUEST.deadline,
) -> RedisBucket:
    """Return the queue in a Redis; asks it nothing. The parameters are the class's.

    Raises
    ------
    FixConfigurationError
        The address names a user and there is no password, or ``ca_file`` or the environment
        leads to certificates that cannot be used.
    """
    if address.is_encrypted:
        check_authorities(os.environ)
        if ca_file is not None:
            check_certificates(str(ca_file), "queue_ca_file")
    if address.user and not password():
        raise FixConfigurationError(
            f"There is no password for the user {address.user} of the Redis.",
            code="bucket-credentials",
            remedy="Store it: lab-agent setup, or SEGRELAY_REDIS_PASSWORD; at the site "
            'SEGRELAY["REDIS_PASSWORD"].',
        )
    return RedisBucket(address, password, patience=patience, ca_file=ca_file, deadline=deadline)


def _new_client(
    address: RedisAddress, password: PasswordSource, ca_file: Path | None
) -> redis.Redis:
    has_login = bool(address.user or password())
    environment = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    authorities = environment if ca_file is None else str(ca_file)
    return redis.Redis(
        host=address.host,
        port=address.port,
        db=address.database,
        credential_provider=_Login(address.user, password) if has_login else None,
        ssl=address.is_encrypted,
        ssl_ca_certs=authorities if address.is_encrypted else None,
        socket_connect_timeout=CONNECT_TIMEOUT,
        socket_timeout=ANSWER_TIMEOUT,
        socket_keepalive=True,
        # Each repetition is this module's, with one deadline for all.
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        client_name="segrelay",
        # It would need one more command that the user may send.
        driver_info=None,
    )


def _range_of(prefix: str) -> tuple[bytes, bytes]:
    """The first and last name that start with a prefix, as ``ZRANGEBYLEX`` takes them."""
    text = prefix.encode(errors="surrogatepass")
    # No UTF-8 holds the byte 255.
    return (b"[" + text, b"[" + text + b"\xff") if text else (b"-", b"+")


def _entry(item: Sequence[Any]) -> ObjectInfo:
    """An object of a listing: name, generation, updated, bytes, metadata."""
    name = bytes(item[0]).decode(errors="surrogateescape")
    try:
        _, generation, updated, size, metadata = item
        return ObjectInfo(
            name=name,
            generation=int(generation),
            updated=_BEGIN + timedelta(microseconds=int(updated)),
            size=int(size),
            metadata={} if metadata is None else dict(json.loads(metadata)),
        )
    except (ValueError, TypeError, OverflowError, RecursionError):
        return ObjectInfo(
            name=name,
            generation=0,
            updated=_BEGIN,
            size=0,
            problem="is missing, or holds what is not the queue's",
        )


def _check_refusals(answer: Sequence[Any], name: str, source: str) -> None:
    """Raise what the script has refused."""
    if answer[0] == NOT_FOUND:
        raise _absent(source)
    if answer[0] == EXISTS:
        raise ObjectExistsError(f"The object {names.as_shown(name)} exists already.")
    if answer[0] == OTHER_GENERATION:
        raise PreconditionFailedError(f"The object {names.as_shown(source)} is another generation.")


def _foreign_key(key: str) -> ObjectRefusedError:
    shown = names.as_shown(key)
    return ObjectRefusedError(
        f"The key {shown} of the Redis holds what is not the queue's.",
        remedy=f"Look at it (redis-cli TYPE {shown}), then rename or delete it, and let nothing "
        "else use the queue's prefix; it is tried again automatically.",
    )


def _absent(name: str) -> ObjectNotFoundError:
    return ObjectNotFoundError(f"There is no object {names.as_shown(name)}.")


def _new_generation() -> int:
    """Return a number that no write had before and none will have: 62 random bits, never 0."""
    return secrets.randbits(62) | 1
