"""A server before a real one whose mood changes at random: what proxies and login pages do.

It is good for some seconds, then bad for some, in one way: pages, refusals, another service's
JSON, resets, cuts, slowness, or all of them in turn. Where it guards with bearer tokens, a new
one is asked for from time to time, as such tokens live for an hour.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from infra.fake_gcs import Fault, FaultKind
from infra.fake_gcs.messages import Answer, Request
from tests.support.servers.fault_proxy import FaultProxy, fault_proxy

PAGE = b"<!DOCTYPE html><html><title>Sign in</title><p>Please sign in.</html>"
_HTML = {"Content-Type": "text/html; charset=utf-8"}
_JSON = {"Content-Type": "application/json"}

PAGES = (Answer(headers=_HTML, body=PAGE), Answer(body=PAGE), Answer())
REFUSALS = tuple(
    Answer(status=status, headers=_HTML, body=PAGE)
    for status in (302, 303, 400, 401, 403, 404, 405, 407, 410, 413, 418, 451, 499, 502, 503, 526)
)
ODD_JSON = tuple(
    Answer(headers=_JSON, body=body)
    for body in (b'{"error": "login required"}', b"null", b"[", b"7", b'{"items": 7}')
)

GOOD_S, BAD_S = (1.0, 5.0), (0.2, 2.5)
"""Seconds of a good and of a bad time; a bad one is shorter than the tests' lease."""

SLOW_S = (0.05, 0.6)


@dataclass
class MoodyFront:
    """Answers in the place of a server, or lets it answer; thread-safe."""

    proxy: FaultProxy
    chance: random.Random
    new_token: Callable[[str], None] | None = None
    """Explanation the token that is asked for from now on; None: none is."""
    counts: Counter[str] = field(default_factory=Counter)
    """Answers by what was answered."""
    is_calm: bool = False
    """Good for the rest of its life."""
    _mood: str = "good"
    _until: float = 0.0
    _token: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: Request) -> Answer | None:
        """As :attr:`FaultProxy.instead`."""
        with self._lock:
            mood, chance = self._mood_now(), self.chance.random()
            one = self._one_of(mood)
            pause = self.chance.uniform(*SLOW_S)
        # Most, not all: some requests of one job get through.
        if mood == "good" or chance > 0.9:
            return self._guarded(request)
        self.counts[mood] += 1
        if mood == "slow":
            time.sleep(pause)
        elif one is not None:
            return one
        else:
            kind = FaultKind.RESET if mood == "reset" else FaultKind.CUT
            self.proxy.faults.add(Fault(kind=kind))
        return self._guarded(request)

    def _guarded(self, request: Request) -> Answer | None:
        if self._token and request.headers.get("authorization") != f"Bearer {self._token}":
            self.counts["old token"] += 1
            return Answer(status=401, body=b"expired")
        self.counts["good"] += 1
        return None

    def _one_of(self, mood: str) -> Answer | None:
        answers = {"page": PAGES, "refusal": REFUSALS, "odd JSON": ODD_JSON}.get(mood)
        return None if answers is None else self.chance.choice(answers)

    def _mood_now(self) -> str:
        now = time.monotonic()
        if self.is_calm:
            return "good"
        if now >= self._until:
            is_good = self._mood != "good"
            bad = ("page", "refusal", "odd JSON", "reset", "cut", "slow")
            self._mood = "good" if is_good else self.chance.choice(bad)
            self._until = now + self.chance.uniform(*(GOOD_S if is_good else BAD_S))
            if is_good and self.new_token is not None:
                self.renew()
        return self._mood

    def renew(self) -> None:
        """From now on another token is asked for."""
        if self.new_token is not None:
            self._token = f"token-{self.chance.getrandbits(64):016x}"
            self.new_token(self._token)


@contextlib.contextmanager
def moody_front(
    target: str, seed: int, *, new_token: Callable[[str], None] | None = None
) -> Iterator[MoodyFront]:
    """A front before ``target``, which ends with the block."""
    with fault_proxy(target) as proxy:
        front = MoodyFront(proxy, random.Random(seed), new_token=new_token)
        front.renew()
        proxy.instead = front.answer
        yield front
