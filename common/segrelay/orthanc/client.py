"""The calls that SegRelay makes to Orthanc."""

from __future__ import annotations

import contextlib
import functools
import gzip
import json
import re
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from segrelay.dicom.companions import is_companion
from segrelay.dicom.values import is_uid
from segrelay.errors import (
    FixConfigurationError,
    OrthancNotFoundError,
    OrthancRefusedError,
    OrthancUnavailableError,
    SeriesMissingError,
    SeriesRefusedError,
)
from segrelay.manifest import is_orthanc_id
from segrelay.orthanc import answers
from segrelay.orthanc.answers import Entry, InstanceInfo, SeriesInfo, UploadReply
from segrelay.orthanc.failures import unexpected_answer
from segrelay.orthanc.settings import OrthancSettings
from segrelay.orthanc.transport import FILE_LIMIT, TEXT_LIMIT, OrthancTransport
from segrelay.parsing.json_reader import UnreadableJsonError, read_json
from segrelay.parts import PartImage, images_of
from segrelay.transient import AnswerHistory

GZIP_LEVEL = 6
"""A SEG is mostly zeros: 828 KB become 26 KB in milliseconds."""

_MD5 = re.compile(rb"[0-9a-fA-F]{32}")

_Given = ParamSpec("_Given")
_Answer = TypeVar("_Answer")


def _judged(
    call: Callable[Concatenate[OrthancClient, _Given], _Answer],
) -> Callable[Concatenate[OrthancClient, _Given], _Answer]:
    """Let the client's history judge how a call ends; its object is the first argument's text."""

    @functools.wraps(call)
    def judged(client: OrthancClient, /, *given: _Given.args, **named: _Given.kwargs) -> _Answer:
        subject = _subject(given[0]) if given else ""
        with client.history.judging(call.__name__, subject):
            return call(client, *given, **named)

    return judged


def _subject(about: object) -> str:
    if isinstance(about, (list, tuple)):
        return " ".join(map(str, about))
    return about if isinstance(about, str) else ""


def new_history(**options: Any) -> AnswerHistory:
    """A history of Orthanc's answers; ``options`` as AnswerHistory takes them."""
    return AnswerHistory(OrthancUnavailableError, refused=OrthancRefusedError, **options)


class OrthancClient:
    """An Orthanc server; thread-safe.

    Every call may raise OrthancUnavailableError (retry later), FixConfigurationError (credentials,
    TLS, another server: from the start, or for longer than the history's patience) and
    OrthancRefusedError (not found, refused).

    Parameters
    ----------
    settings:
        Where Orthanc is.
    history:
        What this server has answered so far; several clients of one server may share it.
    renew:
        As :class:`~segrelay.orthanc.transport.OrthancTransport` takes it.
    """

    def __init__(
        self,
        settings: OrthancSettings,
        *,
        history: AnswerHistory | None = None,
        renew: Callable[[], OrthancSettings] | None = None,
    ) -> None:
        self.history = new_history() if history is None else history
        self._renew = renew
        self.transport = OrthancTransport(settings, renew=renew)
        self.offers_series_files = True
        """Whether :meth:`series_files` is worth a try."""

    def with_settings(self, **changes: object) -> OrthancClient:
        """Another client of the same server, with the secrets in use now and the same history."""
        renew = self._renew
        return OrthancClient(
            self.transport.settings.model_copy(update=changes),
            history=self.history,
            renew=None if renew is None else lambda: renew().model_copy(update=changes),
        )

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()

    @_judged
    def system(self) -> dict[str, Any]:
        """``GET /system``: name, version and settings of the server."""
        answer = self.transport.call_json("GET", "/system")
        if not isinstance(answer, dict) or "ApiVersion" not in answer:
            raise unexpected_answer(b"{}")
        return answer

    def series(self, orthanc_id: str) -> SeriesInfo:
        """One series; raises as :meth:`series_list`."""
        return self.series_list([orthanc_id])[0]

    @_judged
    def series_list(self, series_ids: Sequence[str]) -> list[SeriesInfo]:
        """Some series, in this order, in two requests.

        Raises
        ------
        SeriesRefusedError
            ``series-missing``: Orthanc has no series of this id.
        """
        found = {item.orthanc_id: item for item in self._resources(series_ids, "Series")}
        for missing in sorted(set(series_ids) - found.keys()):
            self.confirm_inventory(missing, 0)
        if not found.keys() >= set(series_ids):
            found = {item.orthanc_id: item for item in self._resources(series_ids, "Series")}
        _check_present(series_ids, found)
        studies = {item.id_of("ParentStudy") for item in found.values()}
        uids = {
            study.orthanc_id: study.tags().text_of("StudyInstanceUID")
            for study in self._resources(sorted(studies), "Study")
        }
        return [
            answers.series_info(item, uids.get(item.id_of("ParentStudy"), ""))
            for item in (found[one] for one in series_ids)
        ]

    @_judged
    def study_series(self, study_id: str) -> list[SeriesInfo]:
        """Every series of a study."""
        _check_id(study_id)
        study = self.transport.call_json("GET", f"/studies/{study_id}")
        uid = answers.entry(study, "a study").tags().text_of("StudyInstanceUID")
        series = self.transport.call_json("GET", f"/studies/{study_id}/series")
        return [answers.series_info(item, uid) for item in answers.entries(series, "a series")]

    @_judged
    def inventory(self, series_ids: Sequence[str]) -> list[InstanceInfo]:
        """Every instance of these series, in one request.

        Raises
        ------
        SeriesRefusedError
            ``series-missing``: Orthanc has no such series, or it is empty.
        """
        found = answers.inventory(self.bulk(series_ids, level="Instance"), series_ids)
        absent = set(series_ids) - {item.series_id for item in found}
        for missing in sorted(absent):
            self.confirm_inventory(missing, 0)
        if absent:
            found = answers.inventory(self.bulk(series_ids, level="Instance"), series_ids)
        _check_present(series_ids, {item.series_id for item in found})
        return found

    @_judged
    def confirm_inventory(self, series_id: str, instances: int) -> None:
        """Ask for the number of a series' instances in another way (``GET /series/{id}``).

        Before a job ends for what an inventory lacks: a server before Orthanc, or a plug-in, may
        have cut it.

        Raises
        ------
        UnexpectedAnswerError
            It is another number than ``instances``; a series that is not there has none.
        """
        _check_id(series_id)
        try:
            series = answers.entry(
                self.transport.call_json("GET", f"/series/{series_id}"), "a series"
            )
            counted = len(series.ids_of("Instances"))
        except OrthancNotFoundError:
            counted = 0
        except FixConfigurationError:
            # Not every account may ask so; what was said twice by an Orthanc is believed then.
            self.system()
            return
        if counted != instances:
            answers.raise_unexpected("an inventory", "its series has another number of instances")

    @_judged
    def tags(self, instance_id: str) -> dict[str, Any]:
        """The tags of an instance by keyword; values are text, sequences lists of dicts."""
        _check_id(instance_id)
        path = f"/instances/{instance_id}/simplified-tags"
        return answers.entry(self.transport.call_json("GET", path), "tags").fields

    @_judged
    def series_images(self, series_id: str, instances: Collection[str]) -> list[PartImage]:
        """What tells the images of a series apart; objects without images are left out.

        One request, deflated on the way where Orthanc does: it opens every file of the series.

        Raises
        ------
        UnexpectedAnswerError
            The answer is not about these ``instances``: some came or went, or it was cut.
        """
        _check_id(series_id)
        answer = self.transport.call_json(
            "GET",
            f"/series/{series_id}/instances-tags?simplify",
            headers={"Accept-Encoding": "gzip"},
            limits=answers.SERIES_LIMITS,
        )
        found = answers.tags_by_instance(answer)
        if found.keys() != set(instances):
            answers.raise_unexpected("the tags of a series", "it has other instances")
        return [
            image
            for instance, tags in found.items()
            if not is_companion(tags)
            for image in images_of(instance, tags)
        ]

    def _resources(self, ids: Sequence[str], kind: str) -> list[Entry]:
        """Resources that exist among these; absent ones, or those of another kind, are left out."""
        return answers.of_kind(self.bulk(ids), kind)

    def bulk(self, ids: Sequence[str], *, level: str | None = None) -> Any:
        """What ``POST /tools/bulk-content`` has of these resources, or of those below them."""
        for orthanc_id in ids:
            _check_id(orthanc_id)
        body: dict[str, Any] = {"Resources": list(ids), "Metadata": False}
        if level is not None:
            body["Level"] = level
        return self.transport.call_json("POST", "/tools/bulk-content", body=body)

    @_judged
    def instance_file(self, orthanc_id: str, *, limit: int = FILE_LIMIT) -> bytes:
        """The DICOM file of an instance, byte for byte; deflated on the way where Orthanc does.

        For single files, SEGs mostly, which are nearly all zeros. More than ``limit`` bytes are
        an error.
        """
        _check_id(orthanc_id)
        return self.transport.call(
            "GET",
            f"/instances/{orthanc_id}/file",
            headers={"Accept-Encoding": "gzip"},
            limit=limit,
        )

    @contextlib.contextmanager
    def instance_pieces(
        self, orthanc_id: str, *, limit: int = FILE_LIMIT
    ) -> Iterator[Iterator[bytes]]:
        """The DICOM file of an instance, piece by piece; more than ``limit`` bytes are an error."""
        _check_id(orthanc_id)
        with (
            self.history.judging("instance_pieces", orthanc_id),
            self.transport.stream("GET", f"/instances/{orthanc_id}/file") as response,
        ):
            yield self.transport.pieces(response, limit=limit)

    @_judged
    def transfer_syntax(self, orthanc_id: str) -> str:
        """UID of the transfer syntax of an instance, as Orthanc noted it when the file came."""
        _check_id(orthanc_id)
        path = f"/instances/{orthanc_id}/metadata/TransferSyntax"
        return self.transport.call("GET", path, limit=TEXT_LIMIT).decode("ascii", "replace").strip()

    @_judged
    def frame(self, orthanc_id: str, frame: int) -> bytes:
        """Pixel data of one frame from 1, compressed as stored
        (https://orthanc.uclouvain.be/book/users/rest.html#accessing-the-dicom-fields-of-an-instance).
        """
        _check_id(orthanc_id)
        return self.transport.call("GET", f"/instances/{orthanc_id}/frames/{frame - 1}/raw")

    @_judged
    def instance_md5(self, orthanc_id: str) -> str:
        """MD5 of an instance's file, in hexadecimal, as Orthanc computed it when it came."""
        _check_id(orthanc_id)
        path = f"/instances/{orthanc_id}/attachments/dicom/md5"
        answer = self.transport.call("GET", path, limit=TEXT_LIMIT)
        if not _MD5.fullmatch(answer):
            raise unexpected_answer(answer)
        return answer.decode()

    @contextlib.contextmanager
    def archive(
        self, instance_ids: Sequence[str], *, transcode: str | None = None
    ) -> Iterator[Iterator[bytes]]:
        """A ZIP archive of these instances, piece by piece; its end may be missing silently.

        ``transcode`` is the UID of a transfer syntax. An instance that Orthanc cannot bring into
        it comes as it is stored.
        """
        for orthanc_id in instance_ids:
            _check_id(orthanc_id)
        body: dict[str, Any] = {"Synchronous": True, "Resources": list(instance_ids)}
        if transcode is not None:
            body["Transcode"] = transcode
        data = json.dumps(body).encode()
        with (
            self.history.judging("archive"),
            self.transport.stream("POST", "/tools/create-archive", data=data) as response,
        ):
            yield self.transport.pieces(response)

    @contextlib.contextmanager
    def series_files(
        self, series: SeriesInfo, *, limit: int
    ) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Every file of a series as stored, in one answer: its Content-Type, and its pieces.

        A ``multipart/related`` answer, whose end may be missing silently, of Orthanc's plugin for
        DICOMweb (PS3.18, 10.4.1.1.2); more than ``limit`` bytes are an error. Where the plugin is
        missing or closed to this account, :attr:`offers_series_files` is false from then on; the
        history does not judge that, as nothing depends on it.
        """
        study_uid, series_uid = series.study_instance_uid, series.series_instance_uid
        if not (is_uid(study_uid) and is_uid(series_uid)):
            raise OrthancRefusedError("A series has no UID that can be asked for.")
        path = f"/dicom-web/studies/{study_uid}/series/{series_uid}"
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        with contextlib.ExitStack() as stack:
            try:
                response = stack.enter_context(
                    self.transport.stream("GET", path, headers={"Accept": accept})
                )
            except (OrthancRefusedError, FixConfigurationError):
                self.offers_series_files = False
                raise
            kind = response.headers.get("Content-Type", "")
            yield kind, self.transport.pieces(response, limit=limit)

    @_judged
    def upload(self, data: bytes) -> UploadReply:
        """Store one DICOM file (gzip on the way only: the stored bytes are ``data``)."""
        try:
            answer = self.transport.call(
                "POST",
                "/instances",
                data=gzip.compress(data, GZIP_LEVEL, mtime=0),
                headers={"Content-Encoding": "gzip", "Content-Type": "application/dicom"},
                limit=TEXT_LIMIT,
            )
        except OrthancNotFoundError:
            # Every Orthanc takes instances.
            raise unexpected_answer(b"?", status=404) from None
        return _upload_reply(answer)

    @_judged
    def find_instance(self, sop_instance_uid: str) -> list[str]:
        """Orthanc ids of the instances with this SOP Instance UID (``/tools/lookup``)."""
        answer = self.transport.call("POST", "/tools/lookup", data=sop_instance_uid.encode())
        return [item.orthanc_id for item in answers.of_kind(_decoded(answer), "Instance")]

    @_judged
    def kinds(self, ids: Sequence[str]) -> dict[str, str]:
        """Kind of each of these (``Patient``, ``Study``, …), where Orthanc has it."""
        found = answers.entries(self.bulk(ids), "a resource")
        return {item.orthanc_id: item.text_of("Type") for item in found}

    @_judged
    def lookup(self, uid: str) -> list[tuple[str, str]]:
        """Resources with this DICOM UID, as kind and Orthanc id (``/tools/lookup``)."""
        answer = _decoded(self.transport.call("POST", "/tools/lookup", data=uid.encode("ascii")))
        found = answers.entries(answer, "a resource")
        return [(item.text_of("Type"), item.orthanc_id) for item in found]

    @_judged
    def delete_instance(self, orthanc_id: str) -> None:
        """Delete one instance."""
        _check_id(orthanc_id)
        self.transport.call("DELETE", f"/instances/{orthanc_id}")


def _check_id(orthanc_id: str) -> None:
    # An id goes into the path of a request: nothing else may.
    if not is_orthanc_id(orthanc_id):
        raise SeriesRefusedError(
            "An id is not an Orthanc id (five groups of eight hexadecimal digits).",
            code="orthanc-id",
            remedy="Copy the id from Orthanc's page of the series.",
        )


def _check_present(series_ids: Iterable[str], present: Container[str]) -> None:
    for series_id in series_ids:
        if series_id not in present:
            raise SeriesMissingError(f"Orthanc has no series {series_id}.")


def _upload_reply(answer: bytes) -> UploadReply:
    return answers.upload_reply(_decoded(answer))


def _decoded(answer: bytes) -> Any:
    try:
        return read_json(answer, answers.LIMITS)
    except UnreadableJsonError as error:
        if answer.lstrip()[:1] in (b"{", b"["):
            answers.raise_unexpected("an upload or a look-up", f"the document {error}")
        raise unexpected_answer(answer) from None
