"""The calls that SegRelay makes to Orthanc."""

from __future__ import annotations

import contextlib
import gzip
import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.errors import OrthancRefusedError, SeriesRefusedError
from common.manifest import is_orthanc_id
from common.orthanc.settings import OrthancSettings
from common.orthanc.transport import OrthancTransport

GZIP_LEVEL = 6
"""A SEG is mostly zeros: 828 KB become 26 KB in milliseconds."""


@dataclass(frozen=True, kw_only=True)
class SeriesInfo:
    """What Orthanc knows of a series without opening its files."""

    orthanc_id: str
    study_id: str
    """Orthanc's id of its study."""
    study_instance_uid: str
    series_instance_uid: str
    modality: str
    description: str
    number: str
    """Series Number, as text: it may be missing or odd."""
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
    """Another one when the instance was replaced; empty where Orthanc does not tell."""


@dataclass(frozen=True, kw_only=True)
class UploadReply:
    """What Orthanc answered to an upload."""

    orthanc_id: str
    orthanc_series_id: str
    already_stored: bool
    """An instance of this SOP Instance UID was there; its bytes stay, whatever was sent."""


class OrthancClient:
    """An Orthanc server; thread-safe.

    Every call may raise OrthancUnavailableError (retry later), FixConfigurationError
    (credentials, TLS) and OrthancRefusedError (not found, refused).
    """

    def __init__(self, settings: OrthancSettings) -> None:
        self.transport = OrthancTransport(settings)

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()

    def system(self) -> dict[str, Any]:
        """``GET /system``: name, version and settings of the server."""
        answer = self.transport.call_json("GET", "/system")
        if not isinstance(answer, dict) or "ApiVersion" not in answer:
            raise OrthancRefusedError(
                "The address answers, but it is not an Orthanc.",
                code="orthanc-answer",
                remedy="Check the Orthanc address.",
            )
        return answer

    def series(self, orthanc_id: str) -> SeriesInfo:
        """One series; raises as :meth:`series_list`."""
        return self.series_list([orthanc_id])[0]

    def series_list(self, series_ids: Sequence[str]) -> list[SeriesInfo]:
        """Some series, in this order, in two requests.

        Raises
        ------
        SeriesRefusedError
            ``series-missing``: Orthanc has no series of this id.
        """
        found = {item["ID"]: item for item in self._bulk(series_ids, kind="Series")}
        _check_present(series_ids, found)
        studies = {item["ParentStudy"] for item in found.values()}
        uids = {
            study["ID"]: study["MainDicomTags"].get("StudyInstanceUID", "")
            for study in self._bulk(sorted(studies), kind="Study")
        }
        return [_series_info(item, uids) for item in (found[one] for one in series_ids)]

    def study_series(self, study_id: str) -> list[SeriesInfo]:
        """Every series of a study."""
        _check_id(study_id)
        study = self.transport.call_json("GET", f"/studies/{study_id}")
        answers = self.transport.call_json("GET", f"/studies/{study_id}/series")
        uids = {study_id: study["MainDicomTags"].get("StudyInstanceUID", "")}
        return [_series_info(answer, uids) for answer in answers]

    def inventory(self, series_ids: Sequence[str]) -> list[InstanceInfo]:
        """Every instance of these series, in one request.

        Raises
        ------
        SeriesRefusedError
            ``series-missing``: Orthanc has no such series, or it is empty.
        """
        found = [_instance_info(item) for item in self._bulk(series_ids, level="Instance")]
        _check_present(series_ids, {item.series_id for item in found})
        return found

    def _bulk(
        self, ids: Sequence[str], *, level: str | None = None, kind: str = "Instance"
    ) -> list[dict[str, Any]]:
        """``POST /tools/bulk-content``; what is not there, or of another kind, is left out."""
        for orthanc_id in ids:
            _check_id(orthanc_id)
        body: dict[str, Any] = {"Resources": list(ids), "Metadata": False}
        if level is not None:
            body["Level"] = level
        answer = self.transport.call_json("POST", "/tools/bulk-content", body=body)
        return [item for item in answer if item["Type"] == kind]

    def instance_file(self, orthanc_id: str) -> bytes:
        """The DICOM file of an instance, byte for byte; deflated on the way where Orthanc does.

        For single files, SEGs mostly, which are nearly all zeros.
        """
        _check_id(orthanc_id)
        return self.transport.call(
            "GET", f"/instances/{orthanc_id}/file", headers={"Accept-Encoding": "gzip"}
        )

    @contextlib.contextmanager
    def instance_pieces(self, orthanc_id: str) -> Iterator[Iterator[bytes]]:
        """The DICOM file of an instance, piece by piece."""
        _check_id(orthanc_id)
        with self.transport.stream("GET", f"/instances/{orthanc_id}/file") as response:
            yield self.transport.pieces(response)

    def instance_md5(self, orthanc_id: str) -> str:
        """MD5 of an instance's file, in hexadecimal, as Orthanc computed it when it came."""
        _check_id(orthanc_id)
        return self.transport.call("GET", f"/instances/{orthanc_id}/attachments/dicom/md5").decode()

    @contextlib.contextmanager
    def archive(self, instance_ids: Sequence[str]) -> Iterator[Iterator[bytes]]:
        """A ZIP archive of these instances, piece by piece; its end may be missing silently."""
        for orthanc_id in instance_ids:
            _check_id(orthanc_id)
        body = json.dumps({"Synchronous": True, "Resources": list(instance_ids)}).encode()
        with self.transport.stream("POST", "/tools/create-archive", data=body) as response:
            yield self.transport.pieces(response)

    def upload(self, data: bytes) -> UploadReply:
        """Store one DICOM file (gzip on the way only: the stored bytes are ``data``)."""
        answer = self.transport.call(
            "POST",
            "/instances",
            data=gzip.compress(data, GZIP_LEVEL, mtime=0),
            headers={"Content-Encoding": "gzip", "Content-Type": "application/dicom"},
        )
        return _upload_reply(answer)

    def find_instance(self, sop_instance_uid: str) -> list[str]:
        """Orthanc ids of the instances with this SOP Instance UID (``/tools/lookup``)."""
        answer = self.transport.call("POST", "/tools/lookup", data=sop_instance_uid.encode())
        return [item["ID"] for item in json.loads(answer) if item["Type"] == "Instance"]

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
            raise SeriesRefusedError(
                f"Orthanc has no series {series_id}.",
                code="series-missing",
                remedy="It may have been deleted: look in Orthanc, then submit again.",
            )


def _series_info(answer: dict[str, Any], study_instance_uids: Mapping[str, str]) -> SeriesInfo:
    tags = answer["MainDicomTags"]
    return SeriesInfo(
        orthanc_id=answer["ID"],
        study_id=answer["ParentStudy"],
        study_instance_uid=study_instance_uids.get(answer["ParentStudy"], ""),
        series_instance_uid=tags.get("SeriesInstanceUID", ""),
        modality=tags.get("Modality", ""),
        description=tags.get("SeriesDescription", ""),
        number=tags.get("SeriesNumber", ""),
        instances=len(answer["Instances"]),
    )


def _instance_info(item: dict[str, Any]) -> InstanceInfo:
    return InstanceInfo(
        orthanc_id=item["ID"],
        series_id=item["ParentSeries"],
        sop_instance_uid=item["MainDicomTags"].get("SOPInstanceUID", ""),
        size_bytes=int(item["FileSize"]),
        file_uuid=item.get("FileUuid", ""),
    )


def _upload_reply(answer: bytes) -> UploadReply:
    try:
        reply = json.loads(answer)
        status = reply["Status"]
        if status not in ("Success", "AlreadyStored"):
            raise ValueError(status)
        return UploadReply(
            orthanc_id=reply["ID"],
            orthanc_series_id=reply["ParentSeries"],
            already_stored=status == "AlreadyStored",
        )
    except (ValueError, KeyError, TypeError):
        raise OrthancRefusedError(
            "The answer to the upload is not an Orthanc's.",
            code="orthanc-answer",
            remedy="Check what stands between the agent and Orthanc (proxy, address).",
        ) from None
