"""Wrong passwords are counted, and beyond a rate an address waits before one is looked at.

Counted by account and address together, and by address alone. An account is never locked as such:
its owner comes in from another address, whatever strangers try. The counts are in the database,
so that all processes of a site share them.

============================  =============================================================
``GuardedBasicAuthentication``  Basic, as the endpoints of this app use it
``GuessGuard``                first of ``AUTHENTICATION_BACKENDS``: every other way in that calls
                              ``django.contrib.auth.authenticate``, such as the admin's login
``GuessGuardMiddleware``      beside it: answers 429, and forgets right passwords
============================  =============================================================
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import ceil
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.signals import user_login_failed
from django.db import connections, router, transaction
from django.db.models import F
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext, override
from rest_framework.authentication import BasicAuthentication
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request

from gcp_side.labseg.api.throttles import address_of
from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.models import GuessCount
from gcp_side.labseg.pages.languages import page_language
from gcp_side.labseg.pages.rendering import render_page

logger = logging.getLogger(__name__)

PERIOD_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

IPV6_NETWORK = 64
"""Bits of an IPv6 address that name a network; its owner has all its addresses."""

_OPEN_TRIES = "_labseg_open_tries"
"""Attribute of a request: tries that are counted, and not yet known to be wrong."""

_WRONG_TRIES = "_labseg_wrong_tries"
"""Attribute of a request: wrong passwords whose count is not yet committed."""

_counted_already: ContextVar[bool] = ContextVar("labseg_counted_already", default=False)


class TooManyAttemptsError(Throttled):
    """There were too many wrong passwords."""

    def __init__(self, seconds: int) -> None:
        super().__init__(wait=seconds, detail=gettext("There were too many wrong passwords."))
        self.seconds = seconds
        """How long to wait."""

    @property
    def sentence(self) -> str:
        """What happened and how long to wait, in the active language."""
        wait = gettext("Try again in %(minutes)s min.") % {"minutes": ceil(self.seconds / 60)}
        return f"{gettext('There were too many wrong passwords.')} {wait}"


class GuardedBasicAuthentication(BasicAuthentication):
    """As the framework's, while the wrong passwords stay below the rates of the settings."""

    def authenticate_credentials(
        self,
        userid: str,
        password: str,
        request: Request | None = None,
    ) -> tuple[Any, None]:
        """The user of this name and password.

        Raises
        ------
        TooManyAttemptsError
        AuthenticationFailed
        """
        counters = _counters(userid, "" if request is None else address_of(request))
        if wait := max(counter.wait for counter in counters):
            raise TooManyAttemptsError(wait)
        try:
            if "\0" in userid:
                # PostgreSQL looks no such name up: it answers with an error.
                raise AuthenticationFailed
            # Right passwords come with every request: only wrong ones are written down.
            with _already_counted():
                return super().authenticate_credentials(userid, password, request)
        except AuthenticationFailed:
            for counter in counters:
                counter.add()
            logger.warning("wrong name or password refused (Basic authentication)")
            raise


class GuessGuard(ModelBackend):
    """An authentication backend that lets nobody in, and stops those who guess.

    Every try is counted before the backends behind it look at the password, so that many tries
    at once are no more than the rate allows; :class:`GuessGuardMiddleware` takes back what was
    no wrong password. Calls without a request, by programs, are not counted.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> None:
        """None: the next backend decides.

        Raises
        ------
        TooManyAttemptsError
        """
        if request is None or _counted_already.get():
            return
        account = username or kwargs.get(get_user_model().USERNAME_FIELD) or ""
        counters = _counters(str(account), address_of(request))
        _take(counters)
        _open_tries(request).append(counters)

    async def aauthenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> None:
        """As :meth:`authenticate`."""
        await sync_to_async(self.authenticate)(request, username, password, **kwargs)


class GuessGuardMiddleware:
    """Answers 429 where :class:`GuessGuard` stopped a try, and forgets those with a right password.

    The middleware of Django; an error of the REST framework's own views is answered there.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The answer of what is behind."""
        answer = self._get_response(request)
        take_back_right_passwords(request)
        _count_again(request)
        return answer

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """A page for browsers, with ``Retry-After`` (RFC 9110 10.2.3)."""
        if not isinstance(exception, TooManyAttemptsError):
            return None
        shown = {"sentence": exception.sentence}
        with override(page_language()):
            answer = render_page(request, "labseg/too_many_guesses.html", shown, status=429)
        answer["Retry-After"] = str(exception.seconds)
        answer["Cache-Control"] = "no-store"
        return answer


def take_back_right_passwords(request: HttpRequest) -> None:
    """Count nothing for the tries of a request that turned out to be no wrong passwords."""
    tries = _open_tries(request)
    while tries:
        for counter in tries.pop():
            counter.take_back()


@receiver(user_login_failed, dispatch_uid="labseg-guessing")
def _count_stays(request: HttpRequest | None = None, **_: Any) -> None:
    """A password was wrong: what was counted for it is not taken back."""
    if request is not None and _open_tries(request):
        wrong, counters = _kept(request, _WRONG_TRIES), _open_tries(request).pop()
        wrong.append(counters)
        # What is left of these was counted in a transaction that was taken back.
        transaction.on_commit(lambda: wrong.remove(counters), using=router.db_for_write(GuessCount))
        logger.warning("wrong name or password refused (login)")


def _count_again(request: HttpRequest) -> None:
    """Count wrong passwords whose count was taken back with the request's transaction.

    With ``ATOMIC_REQUESTS`` an endpoint of the REST framework takes back all that it wrote where it
    answers with an error.
    """
    wrong = _kept(request, _WRONG_TRIES)
    if connections[router.db_for_write(GuessCount)].in_atomic_block:
        return
    while wrong:
        for counter in wrong.pop():
            counter.add()


@dataclass(frozen=True)
class _Counter:
    """Wrong passwords in the window of time that goes on."""

    digest: str
    limit: int
    seconds: int
    """Length of the window."""
    window: int
    """Number of the window since 1970."""

    @property
    def wait(self) -> int:
        """Seconds until the next try may be made; 0 for now."""
        kept = GuessCount.objects.filter(pk=self._key).values_list("count", flat=True).first()
        return self.until_over if (kept or 0) >= self.limit else 0

    @property
    def until_over(self) -> int:
        """Seconds until the window ends, at least one."""
        return max(1, self._ends_at - int(time.time()))

    def add(self) -> int:
        """One more; returns how many there are now."""
        row = GuessCount.objects.filter(pk=self._key)
        # A single statement: nothing is lost where many guess at once.
        if not row.update(count=F("count") + 1):
            self._begin()
            row.update(count=F("count") + 1)
        return row.values_list("count", flat=True).first() or 0

    def take_back(self) -> None:
        """One less."""
        GuessCount.objects.filter(pk=self._key, count__gt=0).update(count=F("count") - 1)

    def _begin(self) -> None:
        GuessCount.objects.filter(ends_at__lt=int(time.time())).delete()
        # Another process may be faster.
        GuessCount.objects.bulk_create(
            [GuessCount(pk=self._key, ends_at=self._ends_at)], ignore_conflicts=True
        )

    @property
    def _key(self) -> str:
        return f"{self.digest}:{self.window}"

    @property
    def _ends_at(self) -> int:
        return (self.window + 1) * self.seconds


_Counters = Sequence[_Counter]


def _take(counters: _Counters) -> None:
    """Count a try; raises TooManyAttemptsError, with nothing counted, beyond the rate."""
    over = [counter for counter in counters if counter.add() > counter.limit]
    if over:
        for counter in counters:
            counter.take_back()
        raise TooManyAttemptsError(max(counter.until_over for counter in over))


def _open_tries(request: HttpRequest | Request) -> list[_Counters]:
    return _kept(request, _OPEN_TRIES)


def _kept(request: HttpRequest | Request, name: str) -> list[_Counters]:
    # The REST framework wraps the request that the middleware knows.
    plain = getattr(request, "_request", request)
    if not hasattr(plain, name):
        setattr(plain, name, [])
    tries: list[_Counters] = getattr(plain, name)
    return tries


@contextmanager
def _already_counted() -> Iterator[None]:
    token = _counted_already.set(True)
    try:
        yield
    finally:
        _counted_already.reset(token)


def _counters(account: str, address: str) -> tuple[_Counter, _Counter]:
    conf = get_conf()
    network = _network(address)
    # One name however it is spelled: databases differ in which of them they take for the same.
    name = unicodedata.normalize("NFKC", account).casefold().strip()
    return _counter(conf.guess_rate, name, network), _counter(conf.guess_address_rate, network)


def _network(address: str) -> str:
    """What one guesser has: an IPv4 address, or a network of IPv6; proxies may add a port."""
    host = address.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, IPV6_NETWORK), strict=False))


def _counter(rate: str, *whose: str) -> _Counter:
    # Now and then a password is typed as the name.
    digest = hashlib.sha256("\0".join(whose).encode(errors="replace")).hexdigest()
    limit, _slash, period = rate.partition("/")
    seconds = PERIOD_SECONDS[period[0]]
    return _Counter(digest, int(limit), seconds, int(time.time()) // seconds)
