"""A study of four series and a SEG, in a real Orthanc."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from pydantic import SecretStr
from pydicom.uid import generate_uid

from infra.servers.orthanc import OrthancServer
from segrelay.orthanc import OrthancClient, OrthancSettings
from tests.support.dicom.seg_study import BoolArray, SegStudy, write_seg_study

UPLOAD_SEED = 5


@dataclass(frozen=True)
class Stored:
    """A study of four series, and a SEG on the first, in Orthanc."""

    series: tuple[str, ...]
    seg: str
    mask: BoolArray


def store(server: OrthancServer, folder: Path, mask: BoolArray | None = None) -> Stored:
    """Upload a study, slices in random order."""
    folder.mkdir()
    study = write_seg_study(folder, mask=mask)
    lab = OrthancClient(
        OrthancSettings(url=server.url, user=server.user, password=SecretStr(server.password))
    )
    files = [path.read_bytes() for path in study.sources]
    rng = np.random.default_rng(UPLOAD_SEED)
    series = []
    for copy in range(4):
        phase = files if copy == 0 else another_phase(study)
        replies = [lab.upload(phase[index]) for index in rng.permutation(len(phase))]
        series.append(series_of(lab, replies[0].orthanc_id))
    seg = lab.upload(study.seg.read_bytes()).orthanc_id
    lab.close()
    return Stored(tuple(series), seg, study.mask)


def another_phase(study: SegStudy) -> list[bytes]:
    """The same slices as another series of the same study."""
    series, files = generate_uid(), []
    for path in study.sources:
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID, dataset.SOPInstanceUID = series, generate_uid()
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        buffer = BytesIO()
        dataset.save_as(buffer)
        files.append(buffer.getvalue())
    return files


def series_of(lab: OrthancClient, instance: str) -> str:
    answer: str = lab.transport.call_json("GET", f"/instances/{instance}")["ParentSeries"]
    return answer
