"""An Orthanc that answers what the doctor asks, and can be wrong in one respect."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import time
from dataclasses import dataclass, field
from typing import Any

from infra.fake_gcs.faults import Fault
from infra.fake_gcs.messages import Answer, Request
from tests.support.jobs import orthanc_id
from tests.support.servers.fake_orthanc import part10

USER, PASSWORD = "lab", "hunter2-of-orthanc"
SERIES, IMAGE = orthanc_id(1), orthanc_id(2)
STORED = orthanc_id(3)


@dataclass
class AnsweringOrthanc:
    """One MR series of one image, and what is stored."""

    overwrites: bool | None = False
    """As ``/system`` tells; None: it does not tell."""
    really_overwrites: bool = False
    forbids: tuple[str, ...] = ()
    """Methods that answer 403."""
    image: bytes = field(default_factory=lambda: part10("1.2.3", bytes(200_000)))
    pause_s: float = 0.0
    """Before an image."""
    alters: bool = False
    """Changes what comes in."""
    is_orthanc: bool = True
    stored: dict[str, bytes] = field(default_factory=dict)

    def answer(self, request: Request) -> tuple[Answer | None, Fault | None]:
        """As a server's responder."""
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {login}":
            return Answer(status=401), None
        if request.method in self.forbids:
            return Answer(status=403), None
        return self._answer(request.method, request.path, request.body), None

    def _answer(self, method: str, path: str, body: bytes) -> Answer:
        if path == "/system":
            return _json(self._system())
        if path == "/tools/find":
            return _json([SERIES])
        if path == "/tools/bulk-content":
            return _json([self._inventory()])
        if path == f"/instances/{IMAGE}/file":
            time.sleep(self.pause_s)
            return Answer(body=self.image)
        if (method, path) == ("POST", "/instances"):
            return self._store(body)
        if path == f"/instances/{STORED}/file":
            return Answer(body=self.stored[STORED])
        if path == f"/instances/{STORED}/attachments/dicom/md5":
            digest = hashlib.md5(self.stored[STORED], usedforsecurity=False).hexdigest()
            return Answer(body=digest.encode())
        if (method, path) == ("DELETE", f"/instances/{STORED}"):
            del self.stored[STORED]
            return _json({})
        return Answer(status=404)

    def _system(self) -> dict[str, Any]:
        told = {} if self.overwrites is None else {"OverwriteInstances": self.overwrites}
        return {"ApiVersion": 20, "Version": "1.12.4", **told} if self.is_orthanc else {"hello": 1}

    def _inventory(self) -> dict[str, Any]:
        return {
            "ID": IMAGE,
            "Type": "Instance",
            "ParentSeries": SERIES,
            "MainDicomTags": {"SOPInstanceUID": "1.2.3"},
            "FileSize": len(self.image),
        }

    def _store(self, body: bytes) -> Answer:
        data = gzip.decompress(body)
        is_new = STORED not in self.stored
        if is_new or self.really_overwrites:
            self.stored[STORED] = data + b"altered" if self.alters else data
        status = "Success" if is_new or self.really_overwrites else "AlreadyStored"
        return _json({"ID": STORED, "ParentSeries": SERIES, "Status": status})


def _json(document: object) -> Answer:
    headers = {"Content-Type": "application/json"}
    return Answer(headers=headers, body=json.dumps(document).encode())
