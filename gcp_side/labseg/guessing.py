"""Basic authentication that slows down whoever guesses passwords.

Wrong passwords are counted by account and address together, and by address alone; beyond a rate
the address is told to wait, before the password is looked at. An account is never locked as such:
its owner comes in from another address, whatever strangers try.
"""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass
from typing import Any

from django.core.cache import cache
from django.utils.translation import gettext
from rest_framework.authentication import BasicAuthentication
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request

from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.throttles import address_of

log = logging.getLogger(__name__)

PERIOD_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


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
        Throttled
            There were too many wrong ones; it says how long to wait.
        AuthenticationFailed
        """
        counters = _counters(userid, "" if request is None else address_of(request))
        wait = max(counter.wait for counter in counters)
        if wait:
            raise Throttled(wait=wait, detail=gettext("There were too many wrong passwords."))
        try:
            return super().authenticate_credentials(userid, password, request)
        except AuthenticationFailed:
            for counter in counters:
                counter.add()
            log.warning("a wrong name or password, Basic authentication")
            raise


@dataclass(frozen=True)
class _Counter:
    """Wrong passwords in the window of time that goes on."""

    key: str
    limit: int
    seconds: int
    """Length of the window."""

    @property
    def wait(self) -> int:
        """Seconds until the next try may be made; 0 for now."""
        if cache.get(self._name, 0) < self.limit:
            return 0
        return self.seconds - int(time.time()) % self.seconds

    def add(self) -> None:
        """One more."""
        name = self._name
        # Single steps of the cache: nothing is lost where many guess at once.
        if cache.add(name, 1, timeout=self.seconds):
            return
        try:
            cache.incr(name)
        except ValueError:
            cache.set(name, 1, timeout=self.seconds)

    @property
    def _name(self) -> str:
        return f"labseg:guesses:{self.key}:{int(time.time()) // self.seconds}"


def _counters(account: str, address: str) -> tuple[_Counter, _Counter]:
    conf = get_conf()
    return (
        _counter(conf.guess_rate, account, address),
        _counter(conf.guess_address_rate, address),
    )


def _counter(rate: str, *whose: str) -> _Counter:
    # A name may hold what no key of a cache may, and now and then it is a password.
    digest = hashlib.sha256("\0".join(whose).encode()).hexdigest()
    limit, _slash, period = rate.partition("/")
    return _Counter(digest, int(limit), PERIOD_SECONDS[period[0]])
