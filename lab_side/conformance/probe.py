"""Run the table on a bucket, in a folder of its own, and clean up whatever happens."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator, Sequence

from google.api_core import exceptions as api
from google.cloud import storage  # type: ignore[import-untyped]

from lab_side.conformance.cases import REFUSALS, Row
from lab_side.conformance.results import Outcome, RowResult
from lab_side.conformance.sandbox import NO_ANSWER, Ground
from segrelay import names

TRIES = 3
"""How often a row is tried while the store is too busy to say anything."""

PAUSE = 2.0
"""Seconds before a row is tried again."""


class Probe:
    """The table on one bucket; made by :func:`open_probe`."""

    def __init__(self, client: storage.Client, bucket: str, root: str, *, pause: float) -> None:
        self._client = client
        self._bucket = bucket
        self._pause = pause
        self._grounds = 0
        self.root = root
        self.left_behind: int | None = 0
        """Objects that could not be deleted; None where even that is not known."""

    def run(self, rows: Sequence[Row] = REFUSALS) -> Iterator[RowResult]:
        """Try every row, each on fresh objects."""
        for row in rows:
            yield self._run(row)

    def clean_up(self) -> None:
        """Delete what the rows left."""
        for _ in range(TRIES):
            try:
                self.left_behind = Ground(self._client, self._bucket, self.root).clean_up()
            except (api.GoogleAPICallError, *NO_ANSWER):
                self.left_behind = None
            if self.left_behind == 0:
                return
            time.sleep(self._pause)

    def _run(self, row: Row) -> RowResult:
        result = self._try(row)
        for _ in range(TRIES - 1):
            if isinstance(result.got, int) and not _will_pass(result.got):
                break
            time.sleep(self._pause)
            result = self._try(row)
        return result

    def _try(self, row: Row) -> RowResult:
        self._grounds += 1
        ground = Ground(self._client, self._bucket, f"{self.root}/{self._grounds:03d}")
        try:
            try:
                ground.prepare()
            except api.GoogleAPICallError as error:
                status = int(error.code or 0)
                return _not_known(row, status, "the objects to try it on cannot be put")
            status = row.try_on(ground)
        except NO_ANSWER as error:
            return _not_known(row, None, f"no answer ({type(error).__name__})")
        finally:
            with contextlib.suppress(api.GoogleAPICallError, *NO_ANSWER):
                ground.clean_up()
        return _judge(row, status)


@contextlib.contextmanager
def open_probe(
    client: storage.Client, bucket: str, prefix: str, *, pause: float = PAUSE
) -> Iterator[Probe]:
    """A probe below ``prefix`` (the queue's root, without slashes at its ends; may be empty).

    Everything happens under ``v1/jobs/.probe/<random>/``, which is empty again afterwards.
    """
    folder = f"{names.PROBE}{secrets.token_hex(16)}"
    probe = Probe(client, bucket, f"{prefix}/{folder}" if prefix else folder, pause=pause)
    try:
        yield probe
    finally:
        probe.clean_up()


def _judge(row: Row, status: int) -> RowResult:
    if status == row.status:
        return RowResult(what=row.what, expected=row.status, got=status, outcome=Outcome.OK)
    if status in (401, 403):
        return _not_known(row, status, "this account may not ask")
    if _will_pass(status):
        return _not_known(row, status, "the store is busy")
    return RowResult(what=row.what, expected=row.status, got=status, outcome=Outcome.DIFFERS)


def _not_known(row: Row, status: int | None, why: str) -> RowResult:
    return RowResult(
        what=row.what, expected=row.status, got=status, outcome=Outcome.NOT_KNOWN, why=why
    )


def _will_pass(status: int) -> bool:
    return status in (408, 429) or status >= 500
