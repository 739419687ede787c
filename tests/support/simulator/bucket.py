"""A process's way to the store: every operation is a step, and may go wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from segrelay import names
from segrelay.bucket import Bucket, ObjectInfo
from segrelay.errors import SegRelayError, StoreUnavailableError
from tests.support.simulator.stage import Stage
from tests.support.simulator.watch import Watch
from tests.support.simulator.weather import Weather

T = TypeVar("T")

Beaten = Callable[[bool], None]
"""Explanation of every own heartbeat that reached the store; whether it took the agent id over."""


class StagedBucket:
    """Wraps a bucket for one process."""

    def __init__(
        self, inner: Bucket, stage: Stage, weather: Weather, watch: Watch, beaten: Beaten
    ) -> None:
        self._inner = inner
        self._stage = stage
        self._weather = weather
        self._watch = watch
        self._beaten = beaten

    def describe(self) -> str:
        return self._inner.describe()

    def list(self, prefix: str) -> list[ObjectInfo]:
        return self._run(f"list {prefix}", lambda: self._inner.list(prefix))

    def stat(self, name: str) -> ObjectInfo:
        return self._run(f"stat {name}", lambda: self._inner.stat(name))

    def read_heartbeat(self, name: str) -> ObjectInfo:
        return self._run(f"heartbeat object {name}", lambda: self._inner.read_heartbeat(name))

    def read(self, name: str, *, limit: int) -> bytes:
        return self._run(f"read {name}", lambda: self._inner.read(name, limit=limit))

    def create(self, name: str, data: bytes) -> ObjectInfo:
        return self._write("create", name, lambda: self._inner.create(name, data))

    def replace(self, name: str, data: bytes) -> ObjectInfo:
        return self._write("replace", name, lambda: self._inner.replace(name, data))

    def move(self, source: str, destination: str, *, generation: int) -> ObjectInfo:
        def move() -> ObjectInfo:
            self._watch.asked[source] = generation
            return self._inner.move(source, destination, generation=generation)

        what = f"move {source} to {destination}"
        return self._run(what, move, lost=lambda: self._watch.claim_unknown(destination))

    def delete(self, name: str, *, generation: int) -> None:
        try:
            self._run(f"delete {name}", lambda: self._inner.delete(name, generation=generation))
        finally:
            self._watch.gone(name)

    def take_over(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        return self._heartbeat(
            name,
            lambda: self._inner.take_over(name, metadata, generation=generation),
            took_over=True,
        )

    def refresh(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        return self._heartbeat(
            name,
            lambda: self._inner.refresh(name, metadata, generation=generation),
            took_over=False,
        )

    def _write(self, what: str, name: str, operation: Callable[[], ObjectInfo]) -> ObjectInfo:
        try:
            return self._run(f"{what} {name}", operation)
        finally:
            self._watch.written(name)

    def _heartbeat(
        self, name: str, operation: Callable[[], ObjectInfo], *, took_over: bool
    ) -> ObjectInfo:
        def heartbeat() -> ObjectInfo:
            info = operation()
            if name.startswith(names.AGENTS):
                self._beaten(took_over)
            return info

        return self._run(f"{'take_over' if took_over else 'refresh'} {name}", heartbeat)

    def _run(
        self, what: str, operation: Callable[[], T], lost: Callable[[], None] = lambda: None
    ) -> T:
        self._stage.pause()
        try:
            answer = self._weather.run(operation, StoreUnavailableError, lost=lost)
        except StoreUnavailableError as error:
            self._stage.tell(f"{what}: {error.message}")
            # Below the client's own retry too an answer can stay lost for good.
            lost()
            raise
        except SegRelayError as error:
            self._stage.tell(f"{what}: {type(error).__name__}")
            raise
        self._stage.tell(what)
        return answer
