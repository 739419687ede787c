"""Orthanc in memory: one instance for each SOP Instance UID, the first stored bytes stay."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

from lab_side.worker.protocol import InspectReply, InspectRequest
from segrelay.errors import OrthancNotFoundError, OrthancUnavailableError
from segrelay.orthanc import UploadReply
from tests.support.simulator.stage import Stage
from tests.support.simulator.weather import Weather


def seg_bytes(job_id: str, made_by: str) -> bytes:
    """A SEG of the model: its UID depends on the job alone, its bytes on who made it."""
    return json.dumps({"job": job_id, "uid": uid_of(job_id), "made_by": made_by}).encode()


def uid_of(text: str) -> str:
    """A UID that depends on ``text`` alone."""
    return f"2.25.{int.from_bytes(hashlib.sha256(text.encode()).digest()[:15], 'big')}"


def _orthanc_id(uid: str) -> str:
    digest = hashlib.sha1(uid.encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[start : start + 8] for start in range(0, 40, 8))


class MemoryOrthanc:
    """What the uploader asks of an Orthanc client; every call is a step."""

    def __init__(self, stage: Stage, weather: Weather) -> None:
        self._stage = stage
        self._weather = weather
        self._instances: dict[str, tuple[str, bytes]] = {}
        self.is_away = False
        self.deleted: Callable[[str], None] = lambda _uid: None
        """Explanation the UID of every instance that was deleted."""

    def peek(self, uid: str) -> bytes | None:
        """The bytes of an instance, from outside."""
        return next((data for known, data in self._instances.values() if known == uid), None)

    def check(self, what: str = "check") -> None:
        """Whether it answers; raises OrthancUnavailableError."""
        self._stage.pause()
        self._stage.tell(f"Orthanc: {what}")
        if self.is_away or self._weather.strikes():
            raise OrthancUnavailableError("Orthanc is away.")

    def find_instance(self, uid: str) -> list[str]:
        """``/tools/lookup``"""
        self.check("find instance")
        return [key for key, (known, _) in self._instances.items() if known == uid]

    def instance_file(self, orthanc_id: str) -> bytes:
        """``GET /instances/{id}/file``"""
        self.check("instance file")
        if orthanc_id not in self._instances:
            raise OrthancNotFoundError("There is no such instance.")
        return self._instances[orthanc_id][1]

    def instance_md5(self, orthanc_id: str) -> str:
        """``GET /instances/{id}/attachments/dicom/md5``"""
        return hashlib.md5(self.instance_file(orthanc_id), usedforsecurity=False).hexdigest()

    def upload(self, data: bytes) -> UploadReply:
        """``POST /instances``"""
        self.check("upload")
        return self._weather.run(
            lambda: self._store(data), OrthancUnavailableError, lost=lambda: None
        )

    def delete_instance(self, orthanc_id: str) -> None:
        """``DELETE /instances/{id}``"""
        self.check("delete instance")
        if orthanc_id not in self._instances:
            raise OrthancNotFoundError("There is no such instance.")
        self.deleted(self._instances.pop(orthanc_id)[0])

    def _store(self, data: bytes) -> UploadReply:
        uid = json.loads(data)["uid"]
        orthanc_id = _orthanc_id(uid)
        there = orthanc_id in self._instances
        self._instances.setdefault(orthanc_id, (uid, data))
        return UploadReply(
            orthanc_id=orthanc_id, orthanc_series_id=_orthanc_id(uid + ".1"), already_stored=there
        )


def inspect(request: InspectRequest) -> InspectReply:
    """Open a SEG of the model."""
    document = json.loads(request.path.read_bytes())
    return InspectReply(
        sop_instance_uid=document["uid"],
        series_instance_uid=uid_of(document["uid"]),
        job_key=document["job"],
        frames=1,
        measurements=(),
    )
