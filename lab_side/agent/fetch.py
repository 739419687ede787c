"""The first stage: the job's series, or the wanted parts of them, from Orthanc to its folder."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from lab_side.agent.folders import SERIES_FOLDER
from lab_side.agent.job_context import JobContext
from lab_side.download import Progress, download_series
from lab_side.download.wanted_parts import WantedParts
from segrelay.errors import OtherStudyError, SeriesRefusedError
from segrelay.orthanc import OrthancClient, SeriesInfo
from segrelay.stages import Stage


def fetch(
    job: JobContext,
    client: OrthancClient,
    *,
    progress: Progress,
    stop: threading.Event,
) -> None:
    """Download the job's series and fill ``job.series``.

    Raises
    ------
    SeriesRefusedError
        ``series-missing``, ``series-incomplete``, ``other-study``, ``not-mr``, and as
        :meth:`WantedParts.choose`.
    TransientError
        Orthanc or the disk is not ready.
    """
    began = time.monotonic()
    series = job.manifest.series
    ids = list(dict.fromkeys(item.orthanc_id for item in series))
    parts = WantedParts(client, series)
    check_series(client.series_list(ids), job.manifest.orthanc_study_id)
    downloaded = download_series(
        client,
        ids,
        job.folder / SERIES_FOLDER,
        expected={item.orthanc_id: item.expected_instances for item in series},
        progress=progress,
        stop=stop,
        choose=parts.choose,
    )
    job.series = {item.role: parts.files(item, downloaded[item.orthanc_id]) for item in series}
    job.stage_seconds[Stage.FETCH] = time.monotonic() - began


def check_series(series: Sequence[SeriesInfo], study_id: str) -> None:
    """Check that they are MR series of one study.

    Raises
    ------
    SeriesRefusedError
        ``other-study``, ``not-mr``
    """
    for info in series:
        if info.study_id != study_id:
            raise OtherStudyError.of(f"Series {info.orthanc_id}")
        if info.modality != "MR":
            raise SeriesRefusedError(
                f"Series {info.orthanc_id} is {info.modality or 'of no modality'}, not MR.",
                code="not-mr",
                remedy="Submit the MR series of the examination.",
            )
