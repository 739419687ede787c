"""The queue that the hospital's site keeps in its database, as an agent reaches it over HTTPS.

Each operation is one request (:mod:`segrelay.bucket.site_messages`), repeated while the site does
not answer. A write whose answer was lost is known again by its nonce; a deletion that is repeated
finds no object (ObjectNotFoundError), and there is nothing left to do.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple, NoReturn

import requests
from pydantic import ValidationError

from segrelay import names, retry
from segrelay.bucket import ObjectInfo
from segrelay.bucket import site_messages as messages
from segrelay.bucket.repeat import LaterError, repeat
from segrelay.errors import (
    FixConfigurationError,
    ObjectExistsError,
    ObjectNotFoundError,
    PreconditionFailedError,
    QueueConflictError,
    StoreUnavailableError,
)
from segrelay.http.deadline_http import DeadlineAdapter
from segrelay.http.no_netrc import ignore_netrc
from segrelay.http.proxy_environment import (
    check_certificates,
    check_surroundings,
    lasting_fault,
    proxy_refused,
    silent_proxy,
)
from segrelay.system.system_limits import reached_limit
from segrelay.transient import PATIENCE, AnswerHistory, OwnRefusalError

REQUEST_TIMEOUT = (5.0, 15.0)
"""Seconds to connect, and to wait for the next bytes of an answer."""

ANSWER_LIMIT = 25.0
"""Seconds for an answer's body, however small the pieces in which it comes."""

_PASSING = (408, 425, 429)
"""With every 5xx: statuses after which the same request may succeed."""

_CONFLICTS = {
    "not-found": ObjectNotFoundError,
    "exists": ObjectExistsError,
    "precondition-failed": PreconditionFailedError,
}

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")

TokenSource = Callable[[], str]
"""Reads the agent's token; empty where there is none."""


class Renewal(NamedTuple):
    """A heartbeat that a waiting call has renewed."""

    updated: datetime
    """The store's clock at the renewal."""
    held: timedelta
    """From then to the site's answer."""


class SiteBucket:
    """The bucket protocol over ``https://site.example/…/queue``; thread-safe.

    Parameters
    ----------
    url:
        Where the site offers its queue, without a slash at the end.
    token:
        Reads this agent's token; called again when the site refuses the one in use.
    patience:
        How long refusals are transient, once the site has answered correctly.
    deadline:
        Seconds for all tries of one operation.
    first_pause:
        Seconds before the second try; doubles with every further one.
    ca_file:
        Certificates to trust instead of the public authorities, PEM.
    """

    content_is_proven = True
    """An answer that is cut short is no JSON."""

    def __init__(
        self,
        url: str,
        token: TokenSource,
        *,
        patience: timedelta = PATIENCE,
        deadline: float = retry.STORE_REQUEST.deadline,
        first_pause: float = retry.STORE_REQUEST.first,
        ca_file: Path | None = None,
    ) -> None:
        self._url = url
        self.ca_file = ca_file
        self._read_token = token
        self._token = checked_token(token())
        self._pauses = retry.RetryPolicy(
            first=first_pause,
            longest=retry.STORE_REQUEST.longest,
            jitter=0.2,
            deadline=deadline,
        )
        self._session = _new_session(url)
        self._history = AnswerHistory(StoreUnavailableError, patience=patience)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def describe(self) -> str:
        """Return the address of the site's queue."""
        return self._url

    def list(self, prefix: str) -> list[ObjectInfo]:
        """See the protocol; brings the metadata of heartbeat objects along."""
        answer = self._ask("list", messages.ListRequest(prefix=prefix))
        if answer.objects is None:
            raise self._not_the_site()
        return [item.info() for item in answer.objects]

    def stat(self, name: str) -> ObjectInfo:
        """See the protocol."""
        return self._object("stat", messages.NameRequest(name=_sendable(name)))

    def read_heartbeat(self, name: str) -> ObjectInfo:
        """See the protocol."""
        info = self.stat(name)
        if info.metadata is None:
            raise ObjectNotFoundError(f"There is no heartbeat object {name}.")
        return info

    def read(self, name: str, *, limit: int) -> bytes:
        """See the protocol."""
        request = messages.ReadRequest(name=_sendable(name), limit=limit)
        answer = self._ask("read", request)
        if answer.content is None:
            raise self._not_the_site()
        return answer.content

    def create(self, name: str, data: bytes) -> ObjectInfo:
        """See the protocol."""
        request = messages.CreateRequest(name=_sendable(name), content=data, nonce=_new_nonce())
        return self._object("create", request)

    def replace(self, name: str, data: bytes) -> ObjectInfo:
        """See the protocol."""
        return self._object("replace", messages.ReplaceRequest(name=_sendable(name), content=data))

    def move(self, source: str, destination: str, *, generation: int) -> ObjectInfo:
        """See the protocol; a move whose answer was lost is answered when it is repeated."""
        request = messages.MoveRequest(
            source=_sendable(source),
            destination=_sendable(destination),
            generation=generation,
            nonce=_new_nonce(),
        )
        return self._object("move", request)

    def delete(self, name: str, *, generation: int) -> None:
        """See the protocol; a deletion whose answer was lost raises ObjectNotFoundError."""
        self._ask("delete", messages.DeleteRequest(name=_sendable(name), generation=generation))

    def take_over(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        """See the protocol."""
        request = messages.TakeOverRequest(
            name=_sendable(name),
            metadata=dict(metadata),
            generation=generation,
            nonce=_new_nonce(),
        )
        return self._object("take-over", request)

    def refresh(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        """See the protocol."""
        request = messages.RefreshRequest(
            name=_sendable(name), metadata=dict(metadata), generation=generation
        )
        return self._object("refresh", request)

    def wait(self, change: str, seconds: float) -> tuple[str, bool]:
        """Wait until a job may have become pending; asked once, not repeated.

        Parameters
        ----------
        change:
            What the last call returned; empty at first, and then it does not wait.
        seconds:
            At most :data:`~segrelay.bucket.site_messages.LONGEST_WAIT`.

        Returns
        -------
        What to give next time, and whether the site has kept the call waiting: one without threads
        to spare answers at once.
        """
        return self.wait_alive(change, seconds, None)[:2]

    def wait_alive(
        self, change: str, seconds: float, heartbeat: messages.CarriedHeartbeat | None
    ) -> tuple[str, bool, Renewal | None]:
        """Wait as :meth:`wait`, and renew this agent's heartbeat with the same call.

        Returns
        -------
        As :meth:`wait`, and the renewal; None where the site has renewed nothing.
        """
        request = messages.WaitRequest(change=change, seconds=seconds, heartbeat=heartbeat)
        with self._history.judging("wait"):
            connect, read = REQUEST_TIMEOUT
            answer = self._post("wait", request, (connect, read + seconds))
        if answer.change is None or answer.waited is None:
            raise self._not_the_site()
        renewal = None
        if heartbeat is not None and answer.object is not None and answer.held is not None:
            renewal = Renewal(answer.object.updated, timedelta(seconds=answer.held))
        return answer.change, answer.waited, renewal

    def verify_agent(self, agent: str) -> None:
        """Check that the token is the one of this agent; changes nothing.

        Raises
        ------
        FixConfigurationError
            ``bucket-forbidden``: it is another agent's, which the message names as well.
        StoreUnavailableError
            There is no answer.
        """
        try:
            # No heartbeat has generation 0, so this is refused, one way or the other.
            self.refresh(names.agent_object(agent), {}, generation=0)
        except QueueConflictError:
            return
        except FixConfigurationError as error:
            if error.code != "bucket-forbidden":
                raise
            raise FixConfigurationError(
                f"This agent is {agent}. {error.message}",
                code=error.code,
                remedy=f"Store the token that was made for {agent} here (lab-agent setup), or set "
                "agent_id to the token's agent where no other computer runs it.",
            ) from None

    def _object(self, operation: str, request: messages.Request) -> ObjectInfo:
        answer = self._ask(operation, request)
        if answer.object is None:
            raise self._not_the_site()
        return answer.object.info()

    def _ask(self, operation: str, request: messages.Request) -> messages.Answer:
        """Ask until there is an answer or the deadline has passed."""
        with self._history.judging(operation):
            answer = repeat(lambda: self._post(operation, request, REQUEST_TIMEOUT), self._pauses)
        conflict = _CONFLICTS.get(answer.code)
        if conflict is not None:
            raise conflict(answer.error)
        return answer

    def _post(
        self, operation: str, request: messages.Request, timeout: tuple[float, float]
    ) -> messages.Answer:
        """One request; a refusal that the protocol knows comes as an answer.

        Raises
        ------
        StoreUnavailableError
            There is no answer of the site's; it may come when asked again.
        FixConfigurationError
            The site refuses, or something before it does.
        """
        body = request.model_dump_json().encode()
        response = self._send(operation, body, timeout)
        if response.status_code == 401:
            token = checked_token(self._read_token())
            if token != self._token:
                self._token = token
                response = self._send(operation, body, timeout)
        return self._read(response, operation)

    def _send(self, operation: str, body: bytes, timeout: tuple[float, float]) -> requests.Response:
        with self._no_answer():
            return self._session.post(
                f"{self._url}/{operation}/",
                data=body,
                headers={
                    "Authorization": f"Bearer {self._token}",
                    "Content-Type": "application/json",
                    "Accept": "application/json",
                },
                timeout=timeout,
                allow_redirects=False,
                # Given with each request: a variable would overrule that of the session.
                verify=None if self.ca_file is None else str(self.ca_file),
            )

    @contextlib.contextmanager
    def _no_answer(self) -> Iterator[None]:
        try:
            yield
        except (OSError, requests.RequestException) as error:
            limit = reached_limit(error)
            if limit is not None:
                raise StoreUnavailableError(
                    limit.message, code="limit-reached", remedy=limit.remedy
                ) from None
            fault = lasting_fault(error, self._url)
            if fault is not None:
                raise fault from error
            variable = silent_proxy(error, self._url)
            if variable:
                raise StoreUnavailableError(
                    f"The proxy to the site ({variable}) did not answer.",
                    remedy=f"Check that the proxy runs and that {variable} names it; it is tried "
                    "again automatically.",
                ) from error
            raise StoreUnavailableError(
                f"The site's queue did not answer ({type(error).__name__}).",
                remedy="It is tried again automatically. If it lasts, check the address (https:// "
                "exactly where the site speaks TLS), and that the site can be reached from here.",
            ) from error

    def _read(self, response: requests.Response, operation: str) -> messages.Answer:
        answer = _answer_of(response)
        status = response.status_code
        if answer is not None and (status == 200 or answer.code in messages.REFUSALS):
            return answer
        if status in _PASSING or status >= 500:
            raise LaterError(
                f"The site's queue answered {status}.",
                _seconds(response.headers.get("Retry-After")),
            )
        if answer is not None:
            self._refused(answer, operation)
        if status == 407:
            raise proxy_refused(status, self._url)
        if status == 404:
            raise FixConfigurationError(
                f"There is no queue at {self._url} (404).",
                code="bucket-missing",
                remedy="Check the address with the site's operator: it ends with "
                "…/segmentation/queue, and the site must be of a version that keeps a queue.",
            )
        raise self._not_the_site()

    def _refused(self, answer: messages.Answer, operation: str) -> NoReturn:
        """Raise what the site itself refuses."""
        if answer.code == messages.NO_TOKEN:
            raise FixConfigurationError(
                "The site knows no token of this agent: it has none, or a foreign or revoked one.",
                code="bucket-credentials",
                remedy="Have a token made at the site (manage.py labseg agent-token add), and "
                "store it here: lab-agent setup, or SEGRELAY_QUEUE_TOKEN.",
            )
        if answer.code == messages.NOT_ALLOWED:
            refused = FixConfigurationError(
                f"The site does not let this agent do this ({operation}): {answer.error}",
                code="bucket-forbidden",
                remedy="Give each agent the token that was made for its own agent_id.",
            )
            if self._history.has_succeeded(operation):
                raise refused
            raise OwnRefusalError(refused.message, code=refused.code, remedy=refused.remedy)
        if answer.code == messages.NO_QUEUE:
            raise FixConfigurationError(
                "The site does not keep the queue itself.",
                code="bucket-missing",
                remedy='Use the address that the site uses, or set SEGRELAY["BUCKET"] of the site '
                'to "database:".',
            )
        if answer.code == messages.OTHER_PROTOCOL:
            raise FixConfigurationError(
                "The site is of another version, and does not understand this agent.",
                code="bucket-refused",
                remedy="Update the older of the two: the site, or this agent.",
            )
        raise FixConfigurationError(
            f"The site's queue refused the request ({operation}): {answer.error}",
            code="bucket-refused",
            remedy="Update the site and the agent to the same version.",
        )

    def _not_the_site(self) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"There is a page, or another service's answer, where the queue of the site should "
            f"answer ({self._url}).",
            remedy="Nothing: it is tried again automatically. If it lasts, check the address, and "
            "look at what is between this computer and the site (proxy, login page, firewall).",
        )


def checked_token(text: str) -> str:
    """Return a token, or the empty text, if it can be sent as one.

    Source: RFC 6750 section 2.1

    Raises
    ------
    FixConfigurationError
        ``bucket-credentials``: it holds a space, a line end or a letter that no token has.
    """
    if text and _TOKEN.fullmatch(text) is None:
        raise FixConfigurationError(
            "What is stored as the token of the queue is none: it holds a space, a line end or "
            "another sign that no token has.",
            code="bucket-credentials",
            remedy="Store the token alone, as manage.py labseg agent-token add shows it: it begins "
            "with sgr_ (lab-agent setup asks for it).",
        )
    return text


def open_site_bucket(
    url: str,
    token: TokenSource,
    *,
    patience: timedelta = PATIENCE,
    deadline: float = retry.STORE_REQUEST.deadline,
    ca_file: Path | None = None,
) -> SiteBucket:
    """Return the queue that a site keeps; asks it nothing. The parameters are the class's.

    Raises
    ------
    FixConfigurationError
        The environment leads to a proxy or to certificates that cannot be used.
        ``bucket-credentials``: what is stored cannot be a token.
        ``ca-bundle``: ``ca_file`` holds no certificates.
    """
    check_surroundings(url)
    if ca_file is not None:
        check_certificates(str(ca_file), "queue_ca_file")
    return SiteBucket(url, token, patience=patience, deadline=deadline, ca_file=ca_file)


def _new_session(url: str) -> requests.Session:
    session = requests.Session()
    ignore_netrc(session)
    session.headers["User-Agent"] = "segrelay"
    session.mount(url, DeadlineAdapter(ANSWER_LIMIT))
    return session


def _answer_of(response: requests.Response) -> messages.Answer | None:
    """The site's answer; None where something else has answered."""
    try:
        return messages.Answer.model_validate_json(response.content)
    except (ValidationError, requests.RequestException, OSError):
        return None


def _seconds(text: str | None) -> float:
    """Read Retry-After, within limits; a date counts as nothing."""
    if text is None or not text.isascii() or not text.isdigit():
        return 0.0
    return float(min(int(text[:9]), retry.LONGEST_RETRY_AFTER))


def _sendable(name: str) -> str:
    """Return a name as it is, if it can name an object.

    Raises
    ------
    ObjectNotFoundError
        The site can have none of this name.
    """
    if not names.can_be_stored(name):
        raise ObjectNotFoundError(f"{names.as_shown(name)!r} cannot name an object.")
    return name


def _new_nonce() -> str:
    return secrets.token_hex(16)
