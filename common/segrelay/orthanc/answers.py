"""Orthanc's answers, checked: what leaves this module has the types that it says.

An answer is JSON from another machine. A damaged index, a plug-in or a proxy can leave a field
out, or put an object where a list belongs, for one series alone while all else is well. Each
function takes decoded JSON and returns typed values, or raises :class:`UnexpectedAnswerError`,
which names the field and nothing of its value.

API: https://orthanc.uclouvain.be/api/ (``/tools/bulk-content``, ``/tools/lookup``, ``/studies``,
``/series``, ``/instances``)
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from segrelay.errors import OrthancRefusedError, OrthancUnavailableError, TransientError
from segrelay.manifest import is_orthanc_id
from segrelay.parsing.json_reader import JsonLimits

LIMITS = JsonLimits(
    size_bytes=32 * 1024 * 1024,
    depth=32,
    values=2_000_000,
    text_characters=1024 * 1024,
    allows_nul=True,
)
"""An inventory of 20,000 instances has 500,000 values. Sequences of enhanced images lie in one
another; a text may be a whole lookup table; some Orthancs leave the padding of a UID in."""

SERIES_LIMITS = replace(LIMITS, size_bytes=128 * 1024 * 1024, values=8_000_000)
"""Of the tags of all images of a series: those of 3,000 have some 60 MB."""

TAG_CHARACTERS = 1024
"""Of a tag in Orthanc's index: its longest, Image Comments, is cut; UIDs have 64."""

LARGEST_FILE = 2**40
"""Bytes of one DICOM file: beyond it, the number is no size."""


_FILTERED, _INDEX_FAILED = "FilteredOut", "Failure"
"""What Orthanc says of an instance that its own filter refuses, and of one that its index could
not take: its database is away, mostly."""


class UnexpectedAnswerError(TransientError):
    """Orthanc answered with JSON that is not what it answers to such a request.

    About one series, mostly, while others are answered well: so it does not say that Orthanc is
    away. A job that meets it again and again uses up its attempts.
    """

    code = "orthanc-answer"
    remedy = (
        "Nothing at first: it is tried again automatically. If it lasts, look at the series in "
        "Orthanc (POST /series/…/reconstruct rebuilds its entry), and at what is before Orthanc."
    )


@dataclass(frozen=True, kw_only=True)
class SeriesInfo:
    """A series in Orthanc's index, without opening its files."""

    orthanc_id: str
    study_id: str
    """Orthanc's id of its study."""
    study_instance_uid: str
    series_instance_uid: str
    modality: str
    description: str
    number: str
    """Series Number, as text: it may be missing or malformed."""
    instances: int


@dataclass(frozen=True, kw_only=True)
class InstanceInfo:
    """One instance of an inventory."""

    orthanc_id: str
    series_id: str
    """Orthanc's id of its series."""
    sop_instance_uid: str
    size_bytes: int
    file_uuid: str
    """Another one when the instance was replaced; empty where Orthanc does not say."""


@dataclass(frozen=True, kw_only=True)
class UploadReply:
    """Orthanc's answer to an upload."""

    orthanc_id: str
    orthanc_series_id: str
    already_stored: bool
    """An instance of this SOP Instance UID was there; its bytes stay, whatever was sent."""


@dataclass(frozen=True)
class Entry:
    """One JSON object of an answer, field by field.

    Every method raises :class:`UnexpectedAnswerError` where the field is not of its kind.
    """

    fields: dict[str, Any]
    what: str
    """What it describes: ``a series``."""

    @property
    def orthanc_id(self) -> str:
        """The Orthanc id, ``ID``."""
        return self.id_of("ID")

    def id_of(self, name: str) -> str:
        """A field that is an Orthanc id."""
        value = self.fields.get(name)
        if not isinstance(value, str) or not is_orthanc_id(value):
            raise_unexpected(self.what, f"{name} is no Orthanc id")
        return value

    def ids_of(self, name: str) -> tuple[str, ...]:
        """A field that is a list of different Orthanc ids."""
        return ids(self.fields.get(name), f"{self.what}: {name}")

    def text_of(self, name: str) -> str:
        """A field that is a text; empty where there is none."""
        return _text(self.fields.get(name, ""), self.what, name)

    def size_of(self, name: str) -> int:
        """A field that is a number of bytes."""
        value = self.fields.get(name)
        if isinstance(value, str) and len(value) < 16 and value.isascii() and value.isdigit():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_FILE:
            raise_unexpected(self.what, f"{name} is no number of bytes")
        return value

    def tags(self, name: str = "MainDicomTags") -> Entry:
        """A field that holds tags by keyword."""
        return Entry(_mapping(self.fields.get(name), self.what, name), f"{self.what}: {name}")


def entries(answer: object, what: str) -> list[Entry]:
    """An answer that is a list of objects.

    Parameters
    ----------
    answer:
        Decoded JSON.
    what:
        What each object describes, for the error.
    """
    if not isinstance(answer, list):
        raise_unexpected(what, "there is no list")
    return [entry(item, what) for item in answer]


def entry(answer: object, what: str) -> Entry:
    """An answer that is one object."""
    return Entry(_mapping(answer, what, ""), what)


def ids(answer: object, what: str) -> tuple[str, ...]:
    """An answer that is a list of different Orthanc ids."""
    if not isinstance(answer, list):
        raise_unexpected(what, "there is no list")
    if not all(isinstance(item, str) and is_orthanc_id(item) for item in answer):
        raise_unexpected(what, "an item is no Orthanc id")
    if len(set(answer)) != len(answer):
        raise_unexpected(what, "an id comes twice")
    return tuple(answer)


def of_kind(answer: object, kind: str) -> list[Entry]:
    """Those objects of ``/tools/bulk-content`` and ``/tools/lookup`` that are of one ``Type``."""
    found = entries(answer, f"a resource ({kind})")
    return [item for item in found if item.text_of("Type") == kind]


def series_info(item: Entry, study_instance_uid: str) -> SeriesInfo:
    """A series of Orthanc's index."""
    tags = item.tags()
    return SeriesInfo(
        orthanc_id=item.orthanc_id,
        study_id=item.id_of("ParentStudy"),
        study_instance_uid=study_instance_uid,
        series_instance_uid=tags.text_of("SeriesInstanceUID"),
        modality=tags.text_of("Modality"),
        description=tags.text_of("SeriesDescription"),
        number=tags.text_of("SeriesNumber"),
        instances=len(item.ids_of("Instances")),
    )


def inventory(answer: object, series_ids: Collection[str]) -> list[InstanceInfo]:
    """The instances of these series, each once."""
    found = [_instance_info(item) for item in of_kind(answer, "Instance")]
    if not {item.series_id for item in found} <= set(series_ids):
        raise_unexpected("an inventory", "an instance is of another series")
    if len({item.orthanc_id for item in found}) != len(found):
        raise_unexpected("an inventory", "an instance comes twice")
    return found


def tags_by_instance(answer: object) -> dict[str, dict[str, Any]]:
    """The tags of each instance of a series, by Orthanc id."""
    found = _mapping(answer, "the tags of a series", "")
    ids(list(found), "the tags of a series")
    return {one: _mapping(tags, "the tags of a series", "an item") for one, tags in found.items()}


def upload_reply(answer: object) -> UploadReply:
    """The answer to ``POST /instances``."""
    item = entry(answer, "an upload")
    status = item.text_of("Status")
    if status == _FILTERED:
        raise OrthancRefusedError(
            f"Orthanc does not keep the instance ({status}).",
            remedy="Look at Orthanc's log, and at the filters in its configuration.",
        )
    if status == _INDEX_FAILED:
        raise OrthancUnavailableError(
            f"Orthanc could not store the instance ({status}).",
            remedy="Look at Orthanc's log, and at its database; it is tried again automatically.",
        )
    if status not in ("Success", "AlreadyStored"):
        raise_unexpected("an upload", "Status is neither Success nor AlreadyStored")
    return UploadReply(
        orthanc_id=item.orthanc_id,
        orthanc_series_id=item.id_of("ParentSeries"),
        already_stored=status == "AlreadyStored",
    )


def raise_unexpected(what: str, problem: str) -> NoReturn:
    """Raise :class:`UnexpectedAnswerError`; neither text may hold anything of the answer."""
    raise UnexpectedAnswerError(f"Orthanc's answer is not what it should be ({what}: {problem}).")


def _instance_info(item: Entry) -> InstanceInfo:
    return InstanceInfo(
        orthanc_id=item.orthanc_id,
        series_id=item.id_of("ParentSeries"),
        sop_instance_uid=item.tags().text_of("SOPInstanceUID"),
        size_bytes=item.size_of("FileSize"),
        file_uuid=item.text_of("FileUuid"),
    )


def _mapping(value: object, what: str, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise_unexpected(what, f"{name} is no object" if name else "there is no object")
    return value


def _text(value: object, what: str, name: str) -> str:
    if not isinstance(value, str):
        raise_unexpected(what, f"{name} is no text")
    return value[:TAG_CHARACTERS].replace("\0", "")
