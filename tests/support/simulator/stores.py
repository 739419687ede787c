"""Stores of the model: a directory, and the strict fake of the cloud without sockets."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import requests
from google.cloud import storage  # type: ignore[import-untyped]
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.exceptions import ChunkedEncodingError
from urllib3 import HTTPResponse

from infra.fake_gcs.api import Api
from infra.fake_gcs.faults import Fault, FaultKind, Faults
from infra.fake_gcs.http import Service
from infra.fake_gcs.messages import Request
from infra.fake_gcs.objects import StoredObject
from infra.fake_gcs.preconditions import NO_CONDITIONS, Conditions
from infra.fake_gcs.store import Place, Store
from segrelay.bucket import Bucket, ObjectInfo
from segrelay.bucket.gcs import GcsBucket
from segrelay.bucket.local import LocalBucket
from segrelay.errors import ObjectNotFoundError
from tests.support.buckets.gcs import BUCKET, make_client
from tests.support.simulator.clock import Clock
from tests.support.simulator.weather import Weather

URL = "http://127.0.0.1:9"
"""Nothing listens there: a request that escaped would fail."""

BROKEN_REQUESTS = (
    FaultKind.DROP_BEFORE,
    FaultKind.DROP_AFTER,
    FaultKind.STATUS,
    FaultKind.STATUS_AFTER,
    FaultKind.CUT,
)

Moved = Callable[[str, str, int], None]
"""Explanation of every move that was made: source, destination, generation of what was moved."""


class ModelStore(Protocol):
    """A store, and a look at it from outside that nobody notices."""

    steps_of_a_call: int
    """Of an actor: one before the call, and one for each request where there are requests."""

    def open(self, who: str) -> Bucket:
        """A bucket for one process: an agent's, or that of ``names.SITE``."""
        ...

    def peek(self, name: str) -> bytes | None:
        """An object's content, None when there is none."""
        ...

    def names(self, prefix: str) -> list[str]:
        """The names of all objects below a folder."""
        ...


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a history gives to its store."""

    folder: Path
    """Empty, or not there yet."""
    clock: Clock
    moved: Moved
    pause: Callable[[], None]
    """Called before each request that others can see."""
    weather: Weather


MakeStore = Callable[[Surroundings], ModelStore]
"""Makes a history's store, which is empty."""


class TimedDirectory(LocalBucket):
    """The directory, with the model's clock in place of the machine's."""

    def __init__(self, root: Path, clock: Clock, moved: Moved) -> None:
        super().__init__(root)
        self.clock = clock
        self._moved = moved
        self._writes = 0

    def move(self, source: str, destination: str, *, generation: int) -> ObjectInfo:
        live = self.stat(source)
        info = super().move(source, destination, generation=generation)
        self._moved(source, destination, live.generation)
        return info

    @contextlib.contextmanager
    def _aside(self, data: bytes) -> Iterator[str]:
        with super()._aside(data) as path:
            # A generation is the time of the write, in nanoseconds: all writes must differ.
            self._writes += 1
            written = int(self.clock.now().timestamp()) * 10**9 + self._writes
            os.utime(path, ns=(written, written))
            yield path


class DirectoryStore:
    """A directory."""

    steps_of_a_call = 1

    def __init__(self, root: Path, clock: Clock, moved: Moved) -> None:
        self._root = root
        self._bucket = TimedDirectory(root, clock, moved)

    def open(self, who: str) -> Bucket:
        """The one bucket: it keeps nothing of its users."""
        return self._bucket

    def peek(self, name: str) -> bytes | None:
        """As the protocol."""
        try:
            return self._bucket.read(name, limit=2**24)
        except ObjectNotFoundError:
            return None

    def names(self, prefix: str) -> list[str]:
        """As the protocol."""
        return [info.name for info in self._bucket.list(prefix)]


class _WatchedStore(Store):
    """The fake's store, telling of moves."""

    def __init__(self, clock: Clock, moved: Moved) -> None:
        super().__init__([BUCKET], now=clock.now)
        self._moved = moved

    def move(
        self,
        source: Place,
        name: str,
        conditions: Conditions = NO_CONDITIONS,
        source_conditions: Conditions = NO_CONDITIONS,
    ) -> StoredObject:
        live = {item.name: item for item in self.objects(source.bucket)}.get(source.name)
        written = super().move(source, name, conditions, source_conditions)
        if live is not None:
            self._moved(source.name, name, live.generation)
        return written


class _InProcess(BaseAdapter):
    """Hands a request of the client to the fake; every request is a step of its own."""

    def __init__(self, service: Service, pause: Callable[[], None], weather: Weather) -> None:
        super().__init__()
        self._service = service
        self._pause = pause
        self._weather = weather
        self._http = HTTPAdapter()

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        self._pause()
        if self._weather.strikes():
            kind = self._weather.chance.choice(BROKEN_REQUESTS)
            self._service.faults.add(Fault(kind=kind))
        answer, fault = self._service.answer(_understood(request))
        self._service.faults.clear()
        if answer is None:
            raise requests.ConnectionError("dropped", request=request)
        if fault is not None and fault.kind is FaultKind.CUT:
            raise ChunkedEncodingError("cut", request=request)
        raw = HTTPResponse(
            body=io.BytesIO(answer.body),
            headers=answer.headers,
            status=answer.status,
            preload_content=False,
            request_method=request.method,
        )
        response: requests.Response = self._http.build_response(request, raw)
        return response

    def close(self) -> None:
        """Nothing is open."""


class CloudStore:
    """The strict fake behind Google's client: its retries and preconditions, no sockets."""

    steps_of_a_call = 2

    def __init__(
        self, clock: Clock, moved: Moved, *, pause: Callable[[], None], weather: Weather
    ) -> None:
        self._store = _WatchedStore(clock, moved)
        self._adapter = _InProcess(Service(Api(self._store), Faults()), pause, weather)

    def open(self, who: str) -> Bucket:
        """As the protocol."""
        client = _client()
        bucket = GcsBucket(client, BUCKET, "", first_pause=0.0)
        client._http.mount(client.api_endpoint, self._adapter)
        return bucket

    def put(self, name: str, data: bytes) -> None:
        """Put an object there as anybody with another client might.

        Raises
        ------
        ApiError
            Not even the cloud takes this name.
        """
        self._store.put(Place(BUCKET, name), data, {})

    def peek(self, name: str) -> bytes | None:
        """As the protocol."""
        found = (item.data for item in self._store.objects(BUCKET) if item.name == name)
        return next(found, None)

    def names(self, prefix: str) -> list[str]:
        """As the protocol."""
        return [i.name for i in self._store.objects(BUCKET) if i.name.startswith(prefix)]


_clients: list[storage.Client] = []


def _client() -> storage.Client:
    """One client for all histories: making one costs as much as a short history."""
    if not _clients:
        _clients.append(make_client(URL))
    return _clients[0]


def _understood(request: requests.PreparedRequest) -> Request:
    parts = urlsplit(request.url or "")
    body: Any = request.body or b""
    if not isinstance(body, bytes | str):
        body = body.read()
    return Request(
        method=request.method or "",
        path=parts.path,
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        headers={name.lower(): _text(value) for name, value in request.headers.items()},
        body=body if isinstance(body, bytes) else body.encode(),
        origin=URL,
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def in_directory(around: Surroundings) -> ModelStore:
    """An empty directory."""
    return DirectoryStore(around.folder / "queue", around.clock, around.moved)


def in_cloud(around: Surroundings) -> ModelStore:
    """An empty bucket in the cloud."""
    return CloudStore(around.clock, around.moved, pause=around.pause, weather=around.weather)
