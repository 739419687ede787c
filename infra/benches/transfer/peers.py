"""Others' clients of Orthanc, each used as its documentation does; in the peers' venv only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infra.benches.transfer.tasks import DownloadTask


def load_pyorthanc() -> Any:
    """pyorthanc: a client of httpx, its resources one by one."""
    import pyorthanc  # type: ignore[import-not-found]

    def download(task: DownloadTask) -> Sequence[bytes]:
        server = task["server"]
        with pyorthanc.Orthanc(server["url"], server["user"], server["password"]) as client:
            return [
                instance.get_dicom_file_content()
                for series_id in task["series_ids"]
                for instance in pyorthanc.Series(series_id, client).instances
            ]

    return download


def load_orthanc_api_client() -> Any:
    """orthanc-api-client: a session of requests, its resources one by one."""
    import orthanc_api_client  # type: ignore[import-not-found]

    def download(task: DownloadTask) -> Sequence[bytes]:
        server = task["server"]
        client = orthanc_api_client.OrthancApiClient(
            server["url"], server["user"], server["password"]
        )
        return [
            client.instances.get_file(instance_id)
            for series_id in task["series_ids"]
            for instance_id in client.series.get_instances_ids(series_id)
        ]

    return download


def load_dicomweb_client() -> Any:
    """dicomweb-client: WADO-RS, one request for each series; hands over parsed data sets."""
    from dicomweb_client.api import DICOMwebClient  # type: ignore[import-not-found]
    from dicomweb_client.session_utils import (  # type: ignore[import-not-found]
        create_session_from_user_pass,
    )

    def download(task: DownloadTask) -> Sequence[Any]:
        server = task["server"]
        session = create_session_from_user_pass(server["user"], server["password"])
        client = DICOMwebClient(f"{server['url']}/dicom-web", session=session)
        return [
            instance
            for series_uid in task["series_uids"]
            for instance in client.retrieve_series(task["study_uid"], series_uid)
        ]

    return download
