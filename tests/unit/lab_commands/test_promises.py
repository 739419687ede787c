"""The table of the bucket protocol's promises: an honest store keeps all, each lie is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from lab_side.conformance import PROMISES, Outcome, try_promises
from segrelay import names
from segrelay.bucket import ObjectInfo
from segrelay.bucket.local import LocalBucket
from segrelay.errors import (
    ObjectExistsError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreUnavailableError,
)

FOUND = {
    "create": {"create twice", "content of what could not be created"},
    "move onto": {"move onto an object", "both objects of a move that was refused"},
    "move generation": {"move a wrong generation"},
    "move missing": {"move what is not there", "move twice"},
    "move empty": {"content of what was moved"},
    "delete generation": {"delete a wrong generation", "delete what was written again"},
    "delete missing": {"delete what is not there", "delete twice"},
    "stat missing": {"stat what is not there"},
    "read missing": {"read what is not there"},
    "beat missing": {"read a heartbeat that is not there"},
    "take over": {"take over as new what is there", "take over a wrong generation"},
    "refresh generation": {"refresh a wrong generation", "refresh what was taken over"},
    "refresh missing": {"refresh what is not there"},
    "refresh generation changed": {"generation and text of a heartbeat"},
    "list": {"order of a listing"},
}
"""What a store lies about, and the rows that show it at least."""


class Liar(LocalBucket):
    """A directory that breaks one promise."""

    def __init__(self, root: Path, lie: str) -> None:
        super().__init__(root)
        self.lie = lie

    def list(self, prefix: str) -> list[ObjectInfo]:
        found = super().list(prefix)
        return found[::-1] if self.lie == "list" else found

    def stat(self, name: str) -> ObjectInfo:
        try:
            return super().stat(name)
        except ObjectNotFoundError:
            return self._made_up(name, "stat missing")

    def read(self, name: str, *, limit: int) -> bytes:
        try:
            return super().read(name, limit=limit)
        except ObjectNotFoundError:
            self._made_up(name, "read missing")
            return b""

    def read_heartbeat(self, name: str) -> ObjectInfo:
        try:
            return super().read_heartbeat(name)
        except ObjectNotFoundError:
            return self._made_up(name, "beat missing")

    def create(self, name: str, data: bytes) -> ObjectInfo:
        return self.replace(name, data) if self.lie == "create" else super().create(name, data)

    def move(self, source: str, destination: str, *, generation: int) -> ObjectInfo:
        try:
            moved = super().move(source, destination, generation=generation)
        except ObjectExistsError:
            if self.lie != "move onto":
                raise
            super().delete(destination, generation=super().stat(destination).generation)
            return super().move(source, destination, generation=generation)
        except PreconditionFailedError:
            if self.lie != "move generation":
                raise
            true = super().stat(source).generation
            return super().move(source, destination, generation=true)
        except ObjectNotFoundError:
            return self._made_up(destination, "move missing")
        return self.replace(destination, b"") if self.lie == "move empty" else moved

    def delete(self, name: str, *, generation: int) -> None:
        try:
            super().delete(name, generation=generation)
        except PreconditionFailedError:
            if self.lie != "delete generation":
                raise
            super().delete(name, generation=super().stat(name).generation)
        except ObjectNotFoundError:
            self._made_up(name, "delete missing")

    def take_over(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        try:
            return super().take_over(name, metadata, generation=generation)
        except PreconditionFailedError:
            if self.lie != "take over":
                raise
            true = super().read_heartbeat(name).generation
            return super().take_over(name, metadata, generation=true)

    def refresh(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        try:
            seen = super().refresh(name, metadata, generation=generation)
        except PreconditionFailedError:
            if self.lie != "refresh generation":
                raise
            true = super().read_heartbeat(name).generation
            return super().refresh(name, metadata, generation=true)
        except ObjectNotFoundError:
            return self._made_up(name, "refresh missing")
        is_new = self.lie == "refresh generation changed"
        return replace(seen, generation=seen.generation + 1) if is_new else seen

    def _made_up(self, name: str, lie: str) -> ObjectInfo:
        if self.lie != lie:
            raise ObjectNotFoundError(name)
        info = super().replace(f"{names.PROBE}made-up.json", b"")
        return replace(info, name=name)


@pytest.mark.parametrize("lie", FOUND)
def test_each_lie_is_found_by_the_rows_about_it(tmp_path: Path, lie: str) -> None:
    results = list(try_promises(Liar(tmp_path, lie), pause=0))
    assert {r.what for r in results if r.outcome is Outcome.DIFFERS} >= FOUND[lie]


def test_an_honest_store_keeps_every_promise_and_nothing_is_left(tmp_path: Path) -> None:
    results = list(try_promises(LocalBucket(tmp_path)))
    assert {result.outcome for result in results} == {Outcome.OK}
    assert LocalBucket(tmp_path).list("") == []
    assert set().union(*FOUND.values()) == {promise.what for promise in PROMISES}


def test_a_store_that_does_not_answer_proves_nothing(tmp_path: Path) -> None:
    class Away(LocalBucket):
        def create(self, name: str, data: bytes) -> ObjectInfo:
            raise StoreUnavailableError("It is away.")

    results = list(try_promises(Away(tmp_path), PROMISES[:2], pause=0))
    assert [(r.outcome, r.got) for r in results] == [(Outcome.NOT_KNOWN, None)] * 2
