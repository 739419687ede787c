"""The model's fourth store: the site's real queue in its real database, at the model's time.

Agents reach it by the real client and the real endpoint, without sockets: each request is a step
of its own, and the request or its answer may get lost, on the way or at a proxy. The hospital's
side uses the tables directly. One thread is the server: connections to a database belong to
threads.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import pytest
import requests
from django.db import connections
from django.db.models import Value
from rest_framework.test import APIRequestFactory

from gcp_side.labseg.api.queue import view
from gcp_side.labseg.queue import store as store_module
from gcp_side.labseg.queue.rows import AgentToken, QueueChange, QueueObject
from gcp_side.labseg.queue.store import DatabaseBucket
from gcp_side.labseg.queue.tokens import add_token
from segrelay.bucket import Bucket
from segrelay.bucket.site import SiteBucket
from segrelay.errors import ObjectNotFoundError, StoreUnavailableError
from segrelay.names import SITE
from tests.support.simulator.stores import ModelStore, Surroundings
from tests.support.simulator.weather import Weather

T = TypeVar("T")

URL = "https://site.example/api/mri/segmentation/queue"
NEVER = float("inf")
"""When a bucket last removed what is too old: the model's time is long ago for the database."""

_endpoint = view.QueueOperation.as_view()
_requests = APIRequestFactory()


class _WatchedDatabase(DatabaseBucket):
    """Remembers the moves that were made: source, destination, generation of what was moved."""

    def __init__(self) -> None:
        super().__init__()
        self._pruned_at = NEVER
        self.moves: list[tuple[str, str, int]] = []

    def move(self, source: str, destination: str, *, generation: int, nonce: str = "") -> Any:
        live = QueueObject.objects.filter(name=source).values_list("generation", flat=True).first()
        info = super().move(source, destination, generation=generation, nonce=nonce)
        if live is not None:
            self.moves.append((source, destination, live))
        return info


class _OnServer:
    """The tables as the hospital's side uses them: calls run in the server's thread."""

    def __init__(self, store: SiteStore, bucket: DatabaseBucket) -> None:
        self._store = store
        self._bucket = bucket

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._bucket, name)
        return lambda *arguments, **options: self._store.run(lambda: method(*arguments, **options))


class _StagedSite(SiteBucket):
    """One agent's way to the site."""

    def __init__(
        self, token: str, store: SiteStore, pause: Callable[[], None], weather: Weather
    ) -> None:
        super().__init__(URL, lambda: token, first_pause=0.0)
        self._store = store
        self._pause = pause
        self._weather = weather

    def _send(self, operation: str, body: bytes, timeout: tuple[float, float]) -> requests.Response:
        self._pause()
        is_lost = self._weather.strikes()
        if is_lost and self._weather.chance.random() < 0.5:
            return self._lose()
        answer = self._store.answer(operation, body, self._token)
        return self._lose() if is_lost else answer

    def _lose(self) -> requests.Response:
        """The connection breaks, or the proxy before the site answers in its place."""
        if self._weather.chance.random() < 0.5:
            raise StoreUnavailableError("no answer")
        return _response(502, b"<html>Bad Gateway</html>")


class SiteServer:
    """The thread in which the site runs, and the patches that give it the model's time."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self._pool = ThreadPoolExecutor(max_workers=1)
        self.run(lambda: None)

    def run(self, call: Callable[[], T]) -> T:
        """Make a call in the server's thread."""
        return self._pool.submit(call).result()

    def close(self) -> None:
        """End the thread with its connections."""
        self.run(connections.close_all)
        self._pool.shutdown()

    def make(self, around: Surroundings) -> ModelStore:
        """An empty queue at this site."""
        bucket = _WatchedDatabase()
        self._patch.setattr(store_module, "Now", lambda: Value(around.clock.now()))
        self._patch.setattr(view, "own_bucket", lambda: bucket)
        return SiteStore(self, bucket, around)


class SiteStore:
    """A queue that nobody else uses; emptied first."""

    steps_of_a_call = 2

    def __init__(self, server: SiteServer, bucket: _WatchedDatabase, around: Surroundings) -> None:
        self._server = server
        self._bucket = bucket
        self._around = around
        self._tokens: dict[str, str] = {}
        for rows in (QueueObject, QueueChange, AgentToken):
            server.run(rows.objects.all().delete)

    def open(self, who: str) -> Bucket:
        """As the protocol."""
        if who == SITE:
            return cast(Bucket, _OnServer(self, self._bucket))
        if who not in self._tokens:
            self._tokens[who] = self._server.run(lambda: add_token(who))
        return _StagedSite(self._tokens[who], self, self._around.pause, self._around.weather)

    def run(self, call: Callable[[], T]) -> T:
        """Make a call at the site, then report the moves that it made."""
        try:
            return self._server.run(call)
        finally:
            moves, self._bucket.moves = self._bucket.moves, []
            for source, destination, generation in moves:
                self._around.moved(source, destination, generation)

    def answer(self, operation: str, body: bytes, token: str) -> requests.Response:
        """Let the endpoint answer a request."""
        request = _requests.generic(
            "POST",
            f"/queue/{operation}/",
            body.decode(),
            "application/json",
            headers={"Authorization": f"Bearer {token}"},
        )
        answer = self.run(lambda: _endpoint(request, operation=operation).render())
        return _response(answer.status_code, answer.content)

    def peek(self, name: str) -> bytes | None:
        """As the protocol."""
        try:
            return self._server.run(lambda: self._bucket.read(name, limit=2**24))
        except ObjectNotFoundError:
            return None

    def names(self, prefix: str) -> list[str]:
        """As the protocol."""
        return [info.name for info in self._server.run(lambda: self._bucket.list(prefix))]


def _response(status: int, content: bytes) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response._content = content
    return response
