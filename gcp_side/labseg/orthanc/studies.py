"""The studies of Orthanc, newest first, and their series as the page shows them.

Orthanc lists ids in no useful order and knows no order by date, so the index entries of all
studies are held in this process: an id is never given to another study. They name patients:
they stay in memory, out of Django's cache, which other machines may hold.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gcp_side.labseg.orthanc.client import Orthanc, SeriesEntry, StudyEntry
from segrelay.dicom.values import WrongForm, numbers_of
from segrelay.errors import OrthancNotFoundError

ENTRIES_KEPT_SECONDS = 600.0
"""Then all are read again: a study's description may have been corrected in Orthanc."""

SERIES_SHOWN = 200
"""Series of one study; more is no MRI study."""


@dataclass(frozen=True, kw_only=True)
class StudyPage:
    """One page of the list."""

    count: int
    """Studies that fit the search."""
    studies: tuple[StudyEntry, ...]
    series: dict[str, list[SeriesEntry]]
    """By Orthanc id of the study."""


class Catalogue:
    """The index entries of Orthanc's studies; thread-safe."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._entries: dict[str, StudyEntry] = {}
        self._read_at = monotonic()

    def page(self, orthanc: Orthanc, *, text: str, number: int, size: int) -> StudyPage:
        """Page ``number`` (from 1) of the studies that contain every word of ``text``.

        Raises
        ------
        OrthancUnavailableError, OrthancRefusedError, FixConfigurationError
        """
        words = text.casefold().split()
        found = [entry for entry in self._all(orthanc) if _fits(entry, words)]
        found.sort(key=lambda entry: (entry.date, entry.time, entry.orthanc_id), reverse=True)
        shown = found[(number - 1) * size : number * size]
        series: dict[str, list[SeriesEntry]] = {entry.orthanc_id: [] for entry in shown}
        if shown:
            for item in orthanc.series_of(list(series)):
                series.setdefault(item.study_id, []).append(item)
        return StudyPage(count=len(found), studies=tuple(shown), series=series)

    def _all(self, orthanc: Orthanc) -> list[StudyEntry]:
        """Every study: one short request, and one for those that are new."""
        ids = orthanc.study_ids()
        with self._lock:
            now = self._monotonic()
            if now - self._read_at > ENTRIES_KEPT_SECONDS:
                self._entries, self._read_at = {}, now
            known = self._entries
        new = [study_id for study_id in ids if study_id not in known]
        read = {entry.orthanc_id: entry for entry in orthanc.studies(new)} if new else {}
        entries = {
            study_id: entry
            for study_id in ids
            if (entry := known.get(study_id) or read.get(study_id)) is not None
        }
        with self._lock:
            self._entries = entries
        return list(entries.values())


def one_study(study_id: str, orthanc: Orthanc) -> tuple[StudyEntry, list[SeriesEntry]]:
    """A study and all of its series, by Series Number.

    Raises
    ------
    OrthancRefusedError
        ``orthanc-not-found``: there is no such study.
    OrthancUnavailableError, FixConfigurationError
    """
    # Orthanc answers for a series' id with the study above it.
    found = [entry for entry in orthanc.studies([study_id]) if entry.orthanc_id == study_id]
    if not found:
        raise OrthancNotFoundError(
            "Orthanc has no such study.",
            remedy="It may have been deleted: look in Orthanc.",
        )
    return found[0], in_order(orthanc.series_of([study_id]))


def in_order(series: Sequence[SeriesEntry]) -> list[SeriesEntry]:
    """By Series Number; those without one last."""
    numbered = [(series_number(item), item) for item in series]
    numbered.sort(key=lambda both: (both[0] is None, both[0] or 0, both[1].orthanc_id))
    return [item for _, item in numbered]


def series_number(series: SeriesEntry) -> int | None:
    """Series Number; None where it is missing or no number."""
    numbers = numbers_of(series.number, "SeriesNumber")
    return None if isinstance(numbers, WrongForm) or not numbers else int(numbers[0])


def _fits(entry: StudyEntry, words: Sequence[str]) -> bool:
    # A name is written FAMILY^GIVEN in DICOM, and with a space by people.
    text = " ".join(
        (entry.patient_name, entry.patient_id, entry.date, entry.description)
    ).casefold()
    return all(word in text or word in text.replace("^", " ") for word in words)
