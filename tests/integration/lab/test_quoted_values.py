"""Values of a data set are quoted nowhere: a real worker process, as the agent starts it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest

from lab_side.worker.client import WorkerProcess
from lab_side.worker.protocol import LoadRequest, SegmentRequest, SeriesFiles
from segrelay.errors import SegRelayError
from tests.conftest import SEED
from tests.support.dicom.dicom_series import make_affine, write_series
from tests.support.dicom.raw_values import plant
from tests.support.networks.tiny_profile import write_tiny_profile
from tests.unit.imaging.test_silence import CARRIED, NEEDED, ODD, SECRET

ROLES = tuple(f"dce-{number}" for number in range(4))
SHAPE = (6, 24, 24)
"""Slices, rows, columns."""

MOST_BYTES = 16 * 10**9
CREATED_AT = datetime(2024, 5, 6, tzinfo=UTC)

Study = dict[str, SeriesFiles]


@pytest.mark.long
def test_a_worker_quotes_no_value_in_answer_error_log_or_stream(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    profile = write_tiny_profile(tmp_path / "profiles")
    worker = WorkerProcess(hang_seconds=240, most_bytes=MOST_BYTES)
    caplog.set_level(logging.DEBUG)
    try:
        worker.load(LoadRequest(folder=profile, weights=None, sha256=None, device="cpu"))
        said = [
            segmented(worker, planted(tmp_path / f"odd{number}", dict.fromkeys(CARRIED, value)))
            for number, value in enumerate(ODD.values())
        ]
        for answer in said:
            assert "was left out" in answer, "the odd values were there"
        said += [
            segmented(worker, planted(tmp_path / keyword, {keyword: ODD["text"]}))
            for keyword in NEEDED
        ]
    finally:
        worker.close()
    assert not [answer for answer in said if answer.startswith("worker-error")]
    streams = capfd.readouterr()
    everything = "\n".join([*said, streams.out, streams.err, caplog.text])
    assert SECRET.casefold() not in everything.casefold()


def planted(folder: Path, values: Mapping[str, bytes]) -> Study:
    """Four phases, with these values in each file."""
    rng = np.random.default_rng(SEED)
    found: Study = {}
    for number, role in enumerate(ROLES):
        voxels = rng.integers(50, 300, SHAPE).astype(np.uint16)
        paths = write_series(folder / role, voxels, make_affine(), series_uid=f"2.25.{number + 7}")
        uids = frozenset(str(pydicom.dcmread(path).SOPInstanceUID) for path in paths)
        for path in paths:
            plant(path, values)
        found[role] = SeriesFiles(files=tuple(paths), sop_instance_uids=uids)
    return found


def segmented(worker: WorkerProcess, study: Study) -> str:
    """All that the worker answers: its reply, or its error."""
    folder = study[ROLES[0]].files[0].parents[1]
    request = SegmentRequest(
        profile="tiny",
        job_key="01HZXJOB",
        series=study,
        created_at=CREATED_AT,
        output=folder / "seg.dcm",
        report_output=folder / "sr.dcm",
    )
    try:
        return worker.segment(request, lambda *_: None).model_dump_json()
    except SegRelayError as error:
        return f"{error.code} {error.message} {error.remedy}"
