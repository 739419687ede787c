"""Which instances each series of a download holds, before its first file and after its last."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from segrelay.errors import SeriesRefusedError, TransientError
from segrelay.orthanc.answers import InstanceInfo
from segrelay.orthanc.client import OrthancClient

Choose = Callable[[str, list[InstanceInfo]], list[InstanceInfo]]
"""From the id of a series and all of its instances to those that are fetched, at least one."""


class Inventory:
    """The inventories of one download, a request for each series; thread-safe.

    Parameters
    ----------
    expected:
        The number of instances that the site saw, by series.
    choose:
        Which instances of a series are fetched; all unless given.
    """

    def __init__(
        self,
        client: OrthancClient,
        series_ids: Sequence[str],
        expected: Mapping[str, int | None],
        choose: Choose | None = None,
    ) -> None:
        self.series_ids = tuple(dict.fromkeys(series_ids))
        self._client = client
        self._expected = expected
        self._choose = choose
        self._found: dict[str, list[InstanceInfo]] = {}
        self._wanted: dict[str, list[InstanceInfo]] = {}
        self._missing: dict[str, int] = {}
        self._unsure = set(self.series_ids)
        self._lock = threading.Lock()

    def instances(self, series_id: str) -> list[InstanceInfo]:
        """Those of the first inventory that are fetched."""
        return self._wanted[series_id]

    def first(self, series_id: str) -> list[InstanceInfo]:
        """Take the inventory before anything is fetched; returns what is to be fetched of it.

        Raises
        ------
        SeriesRefusedError
            ``series-missing``; ``series-incomplete``: another number than expected.

        And as ``choose`` and the client.
        """
        found, expected = self._client.inventory([series_id]), self._expected.get(series_id)
        if expected not in (None, len(found)):
            # Asked again, and in another way.
            found = self._client.inventory([series_id])
            self._client.confirm_inventory(series_id, len(found))
        _check_count(series_id, len(found), expected)
        wanted = found if self._choose is None else self._choose(series_id, found)
        with self._lock:
            self._found[series_id] = found
            self._wanted[series_id] = wanted
            self._missing[series_id] = len(wanted)
        return wanted

    def all_bytes(self, series_id: str) -> int:
        """Bytes of every file of the first inventory, wanted or not."""
        with self._lock:
            return sum(item.size_bytes for item in self._found[series_id])

    def arrived(self, item: InstanceInfo) -> bool:
        """Count an instance as there; true when it was the last one of its series."""
        with self._lock:
            self._missing[item.series_id] -= 1
            return self._missing[item.series_id] == 0

    def second(self, series_id: str) -> None:
        """Take it again once all of a series is there.

        Raises
        ------
        TransientError
            ``series-changing``: an instance was added, deleted or replaced meanwhile.

        And as the client.
        """
        if set(self._client.inventory([series_id])) != set(self._found[series_id]):
            raise TransientError("The series changed during the download.", code="series-changing")
        with self._lock:
            self._unsure.discard(series_id)

    def check_all_done(self) -> None:
        """Raise TransientError, ``series-changing``, where a series has no second inventory."""
        if self._unsure:
            raise TransientError("Files changed during the download.", code="series-changing")


def _check_count(series_id: str, found: int, expected: int | None) -> None:
    if expected is not None and found != expected:
        raise SeriesRefusedError(
            f"Series {series_id} has {found} instances in Orthanc; "
            f"{expected} when it was submitted.",
            code="series-incomplete",
            remedy="Wait until the scanner has sent everything, then submit again.",
        )
