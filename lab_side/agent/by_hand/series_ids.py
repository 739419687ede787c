"""The ids that somebody has typed for ``lab-agent segment``: what each really is.

Checked before anything is loaded or fetched: first what the text alone says, then what Orthanc
knows of it. An error names the place of the id, its role and what it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from segrelay.dicom.values import is_uid
from segrelay.errors import ManifestRejectedError
from segrelay.manifest import ORTHANC_ID, is_orthanc_id
from segrelay.orthanc import OrthancClient
from segrelay.parts.volume_ids import names_series, volume_id_of

_COPY = "Copy the id from Orthanc's page of the series."


def check_ids(series_ids: Sequence[str], roles: Sequence[str]) -> None:
    """Check what is known without Orthanc: form and repetitions.

    Raises
    ------
    ManifestRejectedError
        ``orthanc-id``
    """
    for place, text in enumerate(series_ids, 1):
        if volume_id_of(text) is None and not is_uid(text):
            raise _wrong(place, text, roles, _what_it_is(text), _remedy(text))
        if text in series_ids[: place - 1]:
            first = series_ids.index(text) + 1
            raise _wrong(
                *(place, text, roles),
                f"is the {_nth(first)} one again",
                "Give another series for each role; one that holds all phases is given once, or "
                "with the number of a volume for each role (ID:0 ID:1 …).",
            )


def check_number(series_ids: Sequence[str], roles: Sequence[str]) -> None:
    """Check that there is one id for each role; what each is, is said before.

    Raises
    ------
    ManifestRejectedError
        ``series-count``
    """
    if len(series_ids) != len(roles):
        raise ManifestRejectedError(
            f"The profile needs {len(roles)} series, {len(series_ids)} given.",
            code="series-count",
            remedy=f"Give one series for each of these, in this order: {' '.join(roles)}.",
        )


def check_in_orthanc(
    client: OrthancClient, series_ids: Sequence[str], roles: Sequence[str]
) -> None:
    """Check that Orthanc has a series under each of these ids.

    Parameters
    ----------
    series_ids:
        Without the numbers of volumes.

    Raises
    ------
    ManifestRejectedError
        ``orthanc-id``: one is a DICOM UID, or the id of a study, patient or instance;
        ``series-missing``: Orthanc has nothing under it.
    """
    uids = [text for text in series_ids if is_uid(text)]
    meant = {uid: client.lookup(uid) for uid in uids}
    kinds = client.kinds([text for text in series_ids if text not in meant])
    for place, text in enumerate(series_ids, 1):
        if text in meant:
            raise _uid_given(place, series_ids, roles, meant)
        kind = kinds.get(text)
        if kind is None:
            error = _wrong(
                *(place, text, roles),
                "is nothing that Orthanc has",
                "It may have been deleted, or be of another Orthanc: look on Orthanc's page.",
            )
            error.code = "series-missing"
            raise error
        if kind != "Series":
            what = f"is the id of {'an' if kind[0] in 'AEIOU' else 'a'} {kind.lower()}"
            raise _wrong(place, text, roles, what, _inside(client, kind, text))


def _uid_given(
    place: int,
    series_ids: Sequence[str],
    roles: Sequence[str],
    meant: dict[str, list[tuple[str, str]]],
) -> ManifestRejectedError:
    """With the whole line as it should be, where Orthanc knows each UID as one series."""
    found = meant[series_ids[place - 1]]
    kinds = {kind for kind, _ in found}
    if kinds != {"Series"} or len(found) != 1:
        what = f"a {found[0][0].lower()}" if found else "nothing that Orthanc has"
        text = f"is a DICOM UID, of {what}"
        return _wrong(place, series_ids[place - 1], roles, text, _COPY)
    right = [
        meant[text][0][1] if [kind for kind, _ in meant.get(text, [])] == ["Series"] else text
        for text in series_ids
    ]
    return _wrong(
        *(place, series_ids[place - 1], roles),
        "is a Series Instance UID, not Orthanc's id of the series",
        f"Give Orthanc's: --series-ids {' '.join(right)}",
    )


def _inside(client: OrthancClient, kind: str, orthanc_id: str) -> str:
    if kind != "Study":
        return _COPY
    series = client.study_series(orthanc_id)
    listed = ", ".join(
        f"{one.orthanc_id} (series number {one.number or '?'}, {one.instances} images)"
        for one in sorted(series, key=lambda one: (len(one.number), one.number))
        if one.modality == "MR"
    )
    return f"Its MR series are: {listed or 'none'}."


def _what_it_is(text: str) -> str:
    return next(_forms(text), "is not an id of Orthanc (five groups of eight hexadecimal digits)")


def _forms(text: str) -> Iterator[str]:
    if names_series(text):
        yield "names no volume: behind the colon belongs its number, from 0"
    if "://" in text or "#" in text or "/" in text:
        yield "is an address or a path, not an id"
    if is_orthanc_id(text.lower()):
        yield "has capital letters"
    if re.fullmatch(r"[0-9a-fA-F]{40}", text):
        yield "lacks the hyphens"
    if "," in text:
        yield "holds a comma; ids are separated by spaces"
    if text != text.strip() or not text:
        yield "is empty or has spaces around it"


def _remedy(text: str) -> str:
    found = [match.group() for match in ORTHANC_ID.finditer(text.lower())]
    if not found and re.fullmatch(r"[0-9a-fA-F]{40}", text):
        found = ["-".join(re.findall("[0-9a-f]{8}", text.lower()))]
    return f"The id in it is {' '.join(found)}. {_COPY}" if found else _COPY


def _wrong(
    place: int, text: str, roles: Sequence[str], what: str, remedy: str
) -> ManifestRejectedError:
    # Only what is an id is repeated: somebody may have pasted a name.
    is_known = volume_id_of(text) is not None or is_uid(text)
    about = [*roles[place - 1 : place], *([text] if is_known else [])]
    return ManifestRejectedError(
        f"The {_nth(place)} series id" + (f" ({', '.join(about)})" if about else "") + f" {what}.",
        code="orthanc-id",
        remedy=remedy,
    )


def _nth(place: int) -> str:
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{place}{ends.get(place if place < 20 else place % 10, 'th')}"
