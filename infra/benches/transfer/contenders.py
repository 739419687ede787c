"""The naive way, a session, and SegRelay; each function is what the clock is about.

A download returns what its caller would go on with: file contents, or the paths of files. A
session and a client are made in it, as for a single job; nobody finds an open connection.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import requests

from infra.benches.transfer.tasks import DownloadTask, Server, UploadTask
from lab_side.download import download_series
from segrelay.orthanc import OrthancClient, OrthancSettings


def download_naive(task: DownloadTask) -> Sequence[bytes]:
    """A new connection for each instance, nothing but the address and the password given."""
    server = task["server"]
    auth = (server["user"], server["password"])
    files = []
    for series_id in task["series_ids"]:
        series = requests.get(f"{server['url']}/series/{series_id}", auth=auth)  # noqa: S113
        for instance_id in series.json()["Instances"]:
            address = f"{server['url']}/instances/{instance_id}/file"
            answer = requests.get(address, auth=auth)  # noqa: S113
            answer.raise_for_status()
            files.append(answer.content)
    return files


def download_session(task: DownloadTask) -> Sequence[bytes]:
    """The same over one connection that is kept."""
    server = task["server"]
    files = []
    with requests.Session() as session:
        session.auth = (server["user"], server["password"])
        for series_id in task["series_ids"]:
            series = session.get(f"{server['url']}/series/{series_id}")
            for instance_id in series.json()["Instances"]:
                answer = session.get(f"{server['url']}/instances/{instance_id}/file")
                answer.raise_for_status()
                files.append(answer.content)
    return files


def download_ours(task: DownloadTask, transfer: str) -> Sequence[Path]:
    """As the agent's first stage: to files, the inventory before and after included."""
    client = make_client(task["server"], transfer)
    try:
        found = download_series(
            client,
            task["series_ids"],
            Path(task["folder"]),
            expected=dict.fromkeys(task["series_ids"]),
            progress=lambda _done, _total: None,
            stop=threading.Event(),
        )
    finally:
        client.close()
    return [path for series in found.values() for path in series.files]


def prepare_plain_upload(task: UploadTask) -> Callable[[], object]:
    """One POST over a new connection; returns what is to be timed."""
    server, data = task["server"], Path(task["path"]).read_bytes()

    def upload() -> None:
        auth = (server["user"], server["password"])
        answer = requests.post(f"{server['url']}/instances", data, auth=auth)  # noqa: S113
        answer.raise_for_status()

    return upload


def prepare_upload(task: UploadTask, *, warm: bool) -> Callable[[], object]:
    """SegRelay's upload; ``warm`` by a client that has just spoken to the server."""
    data = Path(task["path"]).read_bytes()
    client = make_client(task["server"])
    if warm:
        client.system()

    def upload() -> None:
        client.upload(data)
        client.close()

    return upload


def make_client(server: Server, transfer: str = "auto") -> OrthancClient:
    """SegRelay's client with the agent's defaults."""
    return OrthancClient(OrthancSettings.model_validate({**server, "transfer": transfer}))
