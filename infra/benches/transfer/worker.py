"""One contender in a process of its own: ``python -m infra.benches.transfer.worker KIND``.

Everything is imported before the first request. A request is a ``DownloadTask`` or an
``UploadTask`` of :mod:`infra.benches.transfer.tasks`, with ``"do": "download"`` or ``"upload"``;
the answer is ``{"run": Run, "found": [[SOP Instance UID, Found], …]}``. What was downloaded is
examined after the clock.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom

from infra.benches.answering import answer_lines
from infra.benches.transfer.tasks import DownloadTask, Found, Run, UploadTask

Download = Callable[[DownloadTask], Sequence[Any]]
Upload = Callable[[UploadTask], Callable[[], object]]
"""Gets ready, and returns what is to be timed."""


def load(kind: str) -> Download | Upload:
    """The contender called ``kind``."""
    # Imported where they are meant: the peers' venv has none of ours, ours none of theirs.
    if kind in ("pyorthanc", "orthanc-api-client", "dicomweb-client"):
        from infra.benches.transfer import peers

        loaders: dict[str, Callable[[], Download]] = {
            "pyorthanc": peers.load_pyorthanc,
            "orthanc-api-client": peers.load_orthanc_api_client,
            "dicomweb-client": peers.load_dicomweb_client,
        }
        return loaders[kind]()
    from infra.benches.transfer import contenders

    makers: dict[str, Download | Upload] = {
        "naive": contenders.download_naive,
        "session": contenders.download_session,
        "ours": partial(contenders.download_ours, transfer="auto"),
        "ours-pool": partial(contenders.download_ours, transfer="pool"),
        "ours-archive": partial(contenders.download_ours, transfer="archive"),
        "plain-post": contenders.prepare_plain_upload,
        "upload": partial(contenders.prepare_upload, warm=True),
        "upload-cold": partial(contenders.prepare_upload, warm=False),
    }
    return makers[kind]


def _timed(do: Callable[[], Any]) -> tuple[Run, Any]:
    cpu, start = time.process_time(), time.perf_counter()
    done = do()
    return Run(time.perf_counter() - start, time.process_time() - cpu), done


def _look_at(item: Any) -> tuple[str, Found]:
    """Which instance was brought, as contents, as a file or as a parsed data set."""
    size = None
    if isinstance(item, Path):
        item = item.read_bytes()
    if isinstance(item, bytes):
        size = len(item)
        item = pydicom.dcmread(BytesIO(item))
    return str(item.SOPInstanceUID), Found(size, hashlib.sha256(item.PixelData).hexdigest())


def _answer(contender: Any, request: dict[str, Any]) -> object:
    if request["do"] == "download":
        run, items = _timed(partial(contender, request))
        return {"run": run, "found": [_look_at(item) for item in items]}
    run, _ = _timed(contender(request))
    return {"run": run, "found": []}


if __name__ == "__main__":
    answer_lines(partial(_answer, load(sys.argv[1])))
