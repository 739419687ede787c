"""Google Cloud Storage as bucket: every change is one request with its preconditions.

The client repeats a request whose answer was lost, and then a change that it made itself
looks like another writer's. Three answers to that, by operation:

``create``, ``take_over``   each call writes a random nonce beside the content; when the store
                        says that the object exists already, the nonce says whose it is
``beat``                a PATCH keeps the generation that it asks for: repeating it is harmless
``move``, ``delete``    a repetition finds no source (ObjectNotFoundError): the caller reads
                        at the destination, or has nothing left to do

Only ``objects.move`` renames in one step. The client's ``rename_blob`` copies and deletes,
so several agents could each own a copy of one job.
Source: https://cloud.google.com/storage/docs/json_api/v1/objects/move and
https://cloud.google.com/storage/docs/retry-strategy
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import urllib3
from google.api_core import exceptions as api
from google.api_core.retry import Retry
from google.auth import exceptions as auth
from google.auth.transport.requests import AuthorizedSession
from google.cloud import storage  # type: ignore[import-untyped]
from google.cloud.storage.exceptions import (  # type: ignore[import-untyped]
    DataCorruption,
    InvalidResponse,
)

from segrelay import names, retry
from segrelay.bucket import ObjectInfo
from segrelay.bucket.gcs_answers import check_content, check_page, is_stores_own, not_the_store
from segrelay.errors import (
    FixConfigurationError,
    LimitReachedError,
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectRefusedError,
    PreconditionFailedError,
    SegRelayError,
    StoreUnavailableError,
)
from segrelay.http.deadline_http import DeadlineAdapter
from segrelay.http.loopback import is_loopback
from segrelay.http.no_netrc import ignore_netrc
from segrelay.http.proxy_environment import (
    check_surroundings,
    lasting_fault,
    proxy_refused,
    silent_proxy,
)
from segrelay.parsing.text_files import why_not_utf_8
from segrelay.system.system_limits import raise_if_limit, reached_limit
from segrelay.transient import PATIENCE, AnswerHistory, OwnRefusalError

REQUEST_TIMEOUT = (5.0, 15.0)
"""Seconds to connect, and to wait for the next bytes of an answer."""

ANSWER_LIMIT = 25.0
"""Seconds for an answer's body, however small the pieces in which it comes."""

SIGN_IN_PAUSE = 10.0
"""Seconds between two readings of the credentials."""

_KEY_FILE = "GOOGLE_APPLICATION_CREDENTIALS"
_EMULATOR = "STORAGE_EMULATOR_HOST"
_ENDPOINT = "https://storage.googleapis.com"
_NO_BUCKET_LOOKUP = "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"
_WRITE_KEY = "segrelay-write"
"""Metadata key of the nonce that says which call wrote an object."""

_LIST_FIELDS = "kind,items(name,generation,updated,size,metadata),nextPageToken"
_CONNECTION_ERRORS = (OSError, HTTPException, urllib3.exceptions.HTTPError, DataCorruption)
"""``requests`` derives its errors from OSError."""

_GZIP = b"\x1f\x8b"
"""How a gzip file begins (RFC 1952), and no JSON document."""

_FORBIDDEN = "bucket-forbidden"
_ABSENCE = "say that an object is absent"
_OR_ABSENT = "may not exist"
"""In the store's 403 of an object that is absent, or that the account may not read."""

_RATE_REASONS = {"rateLimitExceeded", "userRateLimitExceeded"}
_RETENTION_REASON, _HOLD_REASON = "retentionPolicyNotMet", "objectUnderActiveHold"
_RIGHTS = {
    "list": "storage.objects.list",
    "read": "storage.objects.get",
    "create": "storage.objects.create",
    "write over": "storage.objects.create and storage.objects.delete",
    "move": "storage.objects.move on the source and storage.objects.create on the destination",
    "delete": "storage.objects.delete",
    "update": "storage.objects.update",
}
"""What each operation needs. https://cloud.google.com/storage/docs/access-control/iam-json"""

logger = logging.getLogger("segrelay.bucket")


class GcsBucket:
    """The bucket protocol over ``gs://bucket/prefix``; thread-safe.

    Parameters
    ----------
    client:
        An authorised client.
    bucket:
        The bucket's name.
    prefix:
        The queue's root within the bucket, without slashes at its ends; may be empty.
    deadline:
        Seconds for all tries of one operation.
    first_pause:
        Seconds at most before the second try; doubles with every further one, with jitter.
    answer_limit:
        Seconds for one answer's body.
    patience:
        How long refusals are transient, once the bucket has answered correctly.
    sign_in:
        Makes a client with credentials that are read again, where those in use are refused.
    """

    content_is_proven = True
    """What :meth:`read` returns has been compared with the store's checksum."""

    def __init__(
        self,
        client: storage.Client,
        bucket: str,
        prefix: str,
        *,
        deadline: float = retry.STORE_REQUEST.deadline,
        first_pause: float = retry.STORE_REQUEST.first,
        answer_limit: float = ANSWER_LIMIT,
        patience: timedelta = PATIENCE,
        sign_in: Callable[[], storage.Client] | None = None,
    ) -> None:
        # Or the client looks the bucket up in a thread, for traces that nobody reads; an agent
        # has no right to that.
        os.environ.setdefault(_NO_BUCKET_LOOKUP, "true")
        self._answer_limit = answer_limit
        self._bucket_name = bucket
        self._sign_in = sign_in
        self._signed_in_at = -SIGN_IN_PAUSE
        self._use(client)
        self._address = f"gs://{bucket}/{prefix}".rstrip("/")
        self._root = f"{prefix}/" if prefix else ""
        repeats = Retry(
            predicate=self._is_worth_repeating,
            initial=first_pause,
            maximum=retry.STORE_REQUEST.longest,
            timeout=deadline,
            on_error=_close_response,
        )
        self._patience: dict[str, Any] = {"timeout": REQUEST_TIMEOUT, "retry": repeats}
        self._history = AnswerHistory(StoreUnavailableError, patience=patience)
        self._beacon_keys: dict[str, frozenset[str]] = {}

    @property
    def client(self) -> storage.Client:
        """The client."""
        return self._client

    @property
    def bucket_name(self) -> str:
        """The bucket's name, without the queue's prefix."""
        return self._bucket_name

    @property
    def prefix(self) -> str:
        """The queue's root within the bucket, without slashes at its ends."""
        return self._root.rstrip("/")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def describe(self) -> str:
        """``gs://bucket/prefix``, and the endpoint where it is not Google's own."""
        endpoint = self._client.api_endpoint
        own = f"https://storage.{self._client.universe_domain}"
        return self._address if endpoint == own else f"{self._address} at {endpoint}"

    def list(self, prefix: str) -> list[ObjectInfo]:
        """See the protocol; brings the metadata of heartbeat objects along."""
        with self._errors("list"):
            blobs = self._client.list_blobs(
                self._bucket, prefix=self._root + prefix, fields=_LIST_FIELDS, **self._patience
            )
            found = []
            for page in blobs.pages:
                check_page(page.raw_page)
                found += [self._info(blob) for blob in page]
        return sorted(found, key=lambda info: info.name)

    def stat(self, name: str) -> ObjectInfo:
        """See the protocol."""
        blob = self._blob(name)
        with self._errors("read", name):
            blob.reload(**self._patience)
            return self._info(blob)

    def read_heartbeat(self, name: str) -> ObjectInfo:
        """See the protocol: an object like any other here."""
        return self.stat(name)

    def read(self, name: str, *, limit: int) -> bytes:
        """See the protocol; one ranged GET, and what was stored compressed is inflated."""
        blob = self._blob(name)
        with self._errors("read", name):
            try:
                # Raw: else the client inflates a small object to whatever it holds.
                data: bytes = blob.download_as_bytes(
                    start=0, end=limit, raw_download=True, **self._patience
                )
            except api.RequestRangeNotSatisfiable:
                # An object without bytes has no range.
                blob.reload(**self._patience)
                if self._info(blob).size:
                    raise not_the_store() from None
                return b""
            check_content(blob, data, is_whole=len(data) <= limit)
        return _inflated(data, limit)

    def create(self, name: str, data: bytes) -> ObjectInfo:
        """See the protocol."""
        nonce = secrets.token_hex(16)
        try:
            with self._errors("create", name):
                return self._upload(name, data, {_WRITE_KEY: nonce}, generation=0)
        except api.PreconditionFailed:
            written = self._written_by(nonce, name)
        except (FixConfigurationError, StoreUnavailableError) as error:
            if not self._may_be_in_the_way(error, name):
                raise
            written = self._written_by(nonce, name)
        if written is None:
            raise ObjectExistsError(f"The object {name} exists already.")
        return written

    def replace(self, name: str, data: bytes) -> ObjectInfo:
        """See the protocol."""
        with self._errors("write over", name):
            return self._upload(name, data, {_WRITE_KEY: secrets.token_hex(16)}, generation=None)

    def move(self, source: str, destination: str, *, generation: int) -> ObjectInfo:
        """See the protocol; a won move whose answer was lost raises ObjectNotFoundError."""
        old, new = self._blob(source), self._blob(destination)
        try:
            with self._errors("move", source):
                # With the source's condition alone the client would not repeat a request.
                moved = self._bucket.move_blob(
                    old,
                    new.name,
                    if_generation_match=0,
                    if_source_generation_match=generation,
                    **self._patience,
                )
                return self._info(moved)
        except api.PreconditionFailed:
            self._explain_refused_move(source, destination, generation)
        except (FixConfigurationError, StoreUnavailableError) as error:
            if not self._may_be_in_the_way(error, destination):
                raise
            self._explain_refused_move(source, destination, generation)

    def delete(self, name: str, *, generation: int) -> None:
        """See the protocol; a deletion whose answer was lost raises ObjectNotFoundError."""
        blob = self._blob(name)
        try:
            with self._errors("delete", name):
                blob.delete(if_generation_match=generation, **self._patience)
        except api.PreconditionFailed:
            raise _other_generation(name) from None

    def take_over(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        """See the protocol; an object without content."""
        nonce = secrets.token_hex(16)
        marked = {**metadata, _WRITE_KEY: nonce}
        try:
            with self._errors("write over", name):
                info = self._upload(name, b"", marked, generation=generation)
        except api.PreconditionFailed:
            written = self._written_by(nonce, name)
            if written is None:
                raise _other_generation(name) from None
            info = written
        self._beacon_keys[name] = frozenset(metadata)
        return info

    def refresh(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        """See the protocol; PATCH merges, so keys of the last heartbeat that are gone are unset."""
        blob = self._blob(name)
        gone = self._beacon_keys.get(name, frozenset()) - set(metadata)
        blob.metadata = {**dict.fromkeys(gone), **metadata}
        try:
            with self._errors("update", name):
                blob.patch(if_generation_match=generation, **self._patience)
                info = self._info(blob)
        except api.PreconditionFailed:
            raise _other_generation(name) from None
        self._beacon_keys[name] = frozenset(metadata)
        return info

    def _blob(self, name: str) -> storage.Blob:
        parts = name.split("/")
        if any(part in ("", ".", "..") or "\\" in part for part in parts) or not _is_text(name):
            raise ObjectNotFoundError(f"{name!r} cannot name an object.")
        return self._bucket.blob(self._root + name)

    def _upload(
        self, name: str, data: bytes, metadata: Mapping[str, str], *, generation: int | None
    ) -> ObjectInfo:
        blob = self._blob(name)
        blob.metadata = metadata
        kind = "application/json" if name.endswith(".json") else "application/octet-stream"
        blob.upload_from_string(
            data, content_type=kind, if_generation_match=generation, **self._patience
        )
        return self._info(blob)

    def _written_by(self, nonce: str, name: str) -> ObjectInfo | None:
        """The object, if the call with this nonce wrote it; None if another did."""
        blob = self._blob(name)
        try:
            with self._errors("read", name):
                blob.reload(**self._patience)
                info = self._info(blob)
        except ObjectNotFoundError:
            raise StoreUnavailableError(
                f"The object {name} was there and is gone: whose it was is not known."
            ) from None
        return info if _texts(blob.metadata).get(_WRITE_KEY) == nonce else None

    def _may_be_in_the_way(self, error: SegRelayError, name: str) -> bool:
        """Return whether a refusal for want of rights may mean that the object exists.

        No account may overwrite a result or an archived manifest. The documentation does not
        say whether the store then looks at that right (403) or at the condition (412) first.
        """
        if error.code != _FORBIDDEN:
            return False
        try:
            self.stat(name)
        except ObjectNotFoundError:
            return False
        return True

    def _explain_refused_move(self, source: str, destination: str, generation: int) -> NoReturn:
        """Say which of the two conditions failed, by looking at the source.

        Generations never come back: a source that still has the right one had it when the
        move was refused, so the destination existed. A source that is gone may be a won move
        whose answer was lost, whatever lies at the destination.
        """
        if self.stat(source).generation != generation:
            raise _other_generation(source)
        raise ObjectExistsError(f"The object {destination} exists already.")

    def _info(self, blob: storage.Blob) -> ObjectInfo:
        metadata = _texts(blob.metadata)
        is_beacon = blob.size == 0
        metadata.pop(_WRITE_KEY, None)
        updated: datetime | None = blob.updated
        if updated is None:
            raise not_the_store()
        return ObjectInfo(
            name=blob.name.removeprefix(self._root),
            generation=int(blob.generation),
            updated=updated,
            size=int(blob.size),
            metadata=metadata if is_beacon else {},
        )

    @contextlib.contextmanager
    def _errors(self, operation: str, name: str = "") -> Iterator[None]:
        """Turn the client's exceptions into ours, but for 412 and 416, which callers read.

        No message repeats the client's: it may hold addresses with upload tickets.
        """
        with self._history.judging(operation), self._named(operation, name):
            yield

    @contextlib.contextmanager
    def _named(self, operation: str, name: str) -> Iterator[None]:
        try:
            yield
        except (api.PreconditionFailed, api.RequestRangeNotSatisfiable) as error:
            if not is_stores_own(error):
                raise not_the_store() from None
            raise
        except api.NotFound as error:
            if not is_stores_own(error):
                raise not_the_store() from None
            if not name or "bucket does not exist" in error.message:
                raise self._no_bucket() from error
            self._history.note_success(_ABSENCE)
            raise ObjectNotFoundError(f"There is no object {name}.") from error
        except api.GoogleAPICallError as error:
            _close_response(error)
            raise self._refused(operation, name, error) from error
        except auth.GoogleAuthError as error:
            if reached_limit(error):
                raise self._no_answer(error, error) from None
            raise self._lasting_fault(error) or self._sign_in_failed(error) from None
        except (api.RetryError, *_CONNECTION_ERRORS) as error:
            fault = None if reached_limit(error) else self._lasting_fault(error)
            if fault is not None:
                raise fault from error
            cause = _cause(error)
            if isinstance(cause, ValueError):
                # Not JSON: ``requests`` says so with an error that is both.
                raise not_the_store() from None
            raise self._no_answer(error, cause) from error
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            # What the client makes of JSON that is not the store's.
            raise not_the_store() from None

    def _no_answer(self, error: BaseException, cause: BaseException) -> StoreUnavailableError:
        limit = reached_limit(error)
        if limit is not None:
            return StoreUnavailableError(limit.message, code="limit-reached", remedy=limit.remedy)
        variable = silent_proxy(error, self._client.api_endpoint)
        if not variable:
            return StoreUnavailableError(f"The bucket did not answer ({type(cause).__name__}).")
        return StoreUnavailableError(
            f"The proxy to the bucket ({variable}) did not answer.",
            remedy=f"Check that the proxy runs and that {variable} names it; it is tried again "
            "automatically.",
        )

    def _is_worth_repeating(self, error: BaseException) -> bool:
        """Return whether the same request may succeed a moment later."""
        if not self._history.has_answered and self._lasting_fault(error) is not None:
            return False
        return _will_pass(error)

    def _lasting_fault(self, error: BaseException) -> FixConfigurationError | None:
        return lasting_fault(error, self._client.api_endpoint)

    def _refused(
        self, operation: str, name: str, error: api.GoogleAPICallError
    ) -> StoreUnavailableError | FixConfigurationError:
        status = int(error.code or 0)
        reason = _reason(error)
        if _will_pass(error):
            return StoreUnavailableError(f"The bucket answered {status}.")
        if reason == _HOLD_REASON:
            return ObjectRefusedError(
                f"The bucket does not {operation} {names.as_shown(name)}: an object hold is on it.",
                remedy="Release the hold (gcloud storage objects update --no-event-based-hold "
                "--no-temporary-hold); it is tried again automatically.",
            )
        if reason == _RETENTION_REASON:
            return FixConfigurationError(
                f"{self._address} keeps objects from being moved ({reason}).",
                code="bucket-retention",
                remedy="Remove the retention policy and all holds from the queue's bucket.",
            )
        if status == 401:
            self._sign_in_again()
            return no_credentials()
        if status == 407:
            return proxy_refused(status, self._client.api_endpoint)
        if status == 403:
            return self._forbidden(operation, error)
        return FixConfigurationError(
            f"{self._address} refused to {operation} objects ({status} {reason}).",
            code="bucket-refused",
            remedy="Check the bucket's address and that it is a Google Cloud Storage bucket.",
        )

    def _forbidden(self, operation: str, error: api.GoogleAPICallError) -> FixConfigurationError:
        forbidden = FixConfigurationError(
            f"{self._address} does not let this account {operation} objects.",
            code=_FORBIDDEN,
            remedy=f"Give the service account {_RIGHTS[operation]} under the queue's prefix; "
            "roles/storage.objectUser holds them all.",
        )
        if not self._was_never_allowed(operation, error):
            return forbidden
        return OwnRefusalError(forbidden.message, code=forbidden.code, remedy=forbidden.remedy)

    def _was_never_allowed(self, operation: str, error: api.GoogleAPICallError) -> bool:
        """Return whether the store itself refuses what it has never done for this account."""
        if not is_stores_own(error):
            return False
        # To an account without the right to list, an absent object is a forbidden one.
        asked = _ABSENCE if _OR_ABSENT in error.message else operation
        return not self._history.has_succeeded(asked)

    def _sign_in_failed(
        self, error: auth.GoogleAuthError
    ) -> StoreUnavailableError | FixConfigurationError:
        if _will_pass(error):
            return StoreUnavailableError("Google's sign-in service did not answer.")
        self._sign_in_again()
        return no_credentials()

    def _sign_in_again(self) -> None:
        """Read the credentials again: their file may have been replaced; for the next try."""
        now = time.monotonic()
        if self._sign_in is None or now - self._signed_in_at < SIGN_IN_PAUSE:
            return
        self._signed_in_at = now
        try:
            self._use(self._sign_in())
        except (FixConfigurationError, LimitReachedError) as error:
            logger.warning("credentials not read again: %s", error.message)

    def _use(self, client: storage.Client) -> None:
        client._http.mount(client.api_endpoint, DeadlineAdapter(self._answer_limit))
        _keep_from_netrc(client._http)
        self._client = client
        self._bucket = client.bucket(self._bucket_name)

    def _no_bucket(self) -> FixConfigurationError:
        return FixConfigurationError(
            f"There is no bucket for {self._address}.",
            code="bucket-missing",
            remedy="Correct the address, or create the bucket.",
        )


def open_gcs_bucket(bucket: str, prefix: str, *, patience: timedelta = PATIENCE) -> GcsBucket:
    """The bucket with this computer's own credentials (Application Default Credentials).

    Raises
    ------
    FixConfigurationError
        There are no credentials, or a variable of the environment leads to a foreign server, or
        to a proxy or certificates that cannot be used.
    """
    emulator = os.environ.get(_EMULATOR)
    if emulator is not None:
        _check_emulator(emulator)
    check_surroundings(emulator or _ENDPOINT)
    if emulator is not None:
        logger.warning("Google not called: %s names %s", _EMULATOR, emulator)
    return GcsBucket(_signed_in(), bucket, prefix, patience=patience, sign_in=_signed_in)


def _signed_in() -> storage.Client:
    try:
        client = storage.Client(project=None)
    except (auth.GoogleAuthError, OSError, ValueError) as error:
        raise_if_limit(error)
        # Also a key file that is gone, or half written.
        raise _foreign_key_file() or no_credentials() from None
    _check_endpoint(client.api_endpoint)
    return client


def _keep_from_netrc(session: AuthorizedSession) -> None:
    """Neither the session nor the one that fetches its tokens reads a password from there."""
    ignore_netrc(session)
    signing_in = session._auth_request_session
    if signing_in is not None:
        ignore_netrc(signing_in)


def no_credentials() -> FixConfigurationError:
    """Nobody is signed in."""
    return FixConfigurationError(
        "There are no usable credentials for Google Cloud Storage.",
        code="bucket-credentials",
        remedy="Set GOOGLE_APPLICATION_CREDENTIALS to the service account's key file, or run "
        "gcloud auth application-default login.",
    )


def _foreign_key_file() -> FixConfigurationError | None:
    """Why the service account's key file cannot be read, where its encoding is why."""
    try:
        data = Path(os.environ.get(_KEY_FILE, "")).read_bytes()
    except OSError:
        return None
    why = why_not_utf_8(data, with_mark=False)
    if not why:
        return None
    return FixConfigurationError(
        f"The key file that {_KEY_FILE} names {why}.",
        code="bucket-credentials",
        remedy="Save it as UTF-8 without a byte order mark, or download the key again.",
    )


def _check_emulator(address: str) -> None:
    """Left over from a test, the variable would silently send the queue to another server."""
    parts = urlsplit(address)
    is_http = parts.scheme in ("http", "https") and "@" not in address
    if is_http and is_loopback(parts.hostname):
        return
    raise FixConfigurationError(
        f"{_EMULATOR} is set and is not an http address on this computer.",
        code="bucket-emulator",
        remedy=f"Unset {_EMULATOR}; only http(s)://127.0.0.1:PORT is allowed, for tests.",
    )


def _check_endpoint(endpoint: str) -> None:
    parts = urlsplit(endpoint)
    if "@" in endpoint or (parts.scheme != "https" and not is_loopback(parts.hostname)):
        raise FixConfigurationError(
            "The endpoint of Google Cloud Storage is not an https address without a password.",
            code="bucket-endpoint",
            remedy="Unset API_ENDPOINT_OVERRIDE, or give an https address.",
        )


def _is_text(name: str) -> bool:
    """Return whether the name can be sent: every object's name is UTF-8."""
    return name.encode(errors="replace") == name.encode(errors="surrogatepass")


def _texts(metadata: object) -> dict[str, str]:
    """Keep the pairs of an object's metadata that are text: the store has no others."""
    if not isinstance(metadata, dict):
        return {}
    return {
        key: value
        for key, value in metadata.items()
        if isinstance(key, str) and isinstance(value, str)
    }


def _inflated(data: bytes, limit: int) -> bytes:
    """Inflate the first ``limit + 1`` bytes of what ``gsutil cp -z`` compressed; else unchanged."""
    if not data.startswith(_GZIP):
        return data
    try:
        return zlib.decompressobj(wbits=31).decompress(data, limit + 1)
    except zlib.error:
        return data


def _other_generation(name: str) -> PreconditionFailedError:
    return PreconditionFailedError(f"The object {name} is another generation.")


def _will_pass(error: BaseException) -> bool:
    """Return whether the same request may succeed a moment later."""
    if isinstance(error, auth.GoogleAuthError):
        return isinstance(error, auth.TransportError) or error.retryable
    if isinstance(error, InvalidResponse):
        return _is_passing_status(error.response.status_code)
    if isinstance(error, api.GoogleAPICallError):
        return _is_passing_status(int(error.code or 0)) or _reason(error) in _RATE_REASONS
    return isinstance(error, _CONNECTION_ERRORS)


def _is_passing_status(status: int) -> bool:
    return status in (408, 429) or status >= 500


def _close_response(error: BaseException) -> None:
    """The client leaves the connection of a refused download open."""
    response = getattr(error, "response", None)
    if response is not None:
        response.close()


def _reason(error: api.GoogleAPICallError) -> str:
    """Google's one-word reason; empty where the answer has none."""
    first = next(iter(error.errors), None)
    reason = first.get("reason") if isinstance(first, dict) else None
    return reason if isinstance(reason, str) else ""


def _cause(error: BaseException) -> BaseException:
    """Return what lies behind "the time for retries is over"."""
    return (error.cause or error) if isinstance(error, api.RetryError) else error
