"""Phases in one series, classic and enhanced: the real agent, by queue and by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from infra.one_series.rewrite import read_phases, write_one_instance, write_one_series
from segrelay import names
from segrelay.manifest import PARTS_SCHEMA, RESULT_BYTES_LIMIT, SeriesInput, SeriesPart
from segrelay.parts import PartKey
from segrelay.queue import JobState
from tests.support.lab.lab import Lab, store_files


def series_files(lab: Lab) -> list[list[Path]]:
    """The files of the lab's study, phase by phase."""
    found: dict[str, list[Path]] = {}
    for path in sorted((lab.folder / "study").rglob("*.dcm")):
        found.setdefault(str(pydicom.dcmread(path).SeriesInstanceUID), []).append(path)
    numbers = {uid: int(pydicom.dcmread(paths[0]).SeriesNumber) for uid, paths in found.items()}
    return [found[uid] for uid in sorted(found, key=lambda uid: numbers[uid])]


def read_seg(lab: Lab, orthanc_id: str) -> Dataset:
    with lab.orthanc.session() as session:
        answer = session.get(f"{lab.orthanc.url}/instances/{orthanc_id}/file")
    path = lab.folder / f"{orthanc_id}.dcm"
    path.write_bytes(answer.content)
    return pydicom.dcmread(path)


def mask_of(seg: Dataset) -> list[tuple[tuple[float, ...], bytes]]:
    """Place and pixels of each frame."""
    frames = np.atleast_3d(seg.pixel_array)
    if int(seg.NumberOfFrames) == 1:
        frames = seg.pixel_array[None]
    places = [
        tuple(float(value) for value in group.PlanePositionSequence[0].ImagePositionPatient)
        for group in seg.PerFrameFunctionalGroupsSequence
    ]
    return [(place, frame.tobytes()) for place, frame in zip(places, frames, strict=True)]


def by_hand(lab: Lab, *series: str) -> Dataset:
    done = lab.run_agent("segment", "--json", "--series-ids", *series)
    assert done.returncode == 0, done.stderr
    return read_seg(lab, json.loads(done.stdout)["seg"]["orthanc_id"])


@pytest.mark.parametrize("kind", ["classic", pytest.param("enhanced", marks=pytest.mark.long)])
def test_one_series_gives_the_mask_of_four(lab: Lab, kind: str) -> None:
    alone = by_hand(lab, *lab.study.series_ids)
    phases = read_phases(series_files(lab))
    written: Sequence[Path]
    if kind == "classic":
        written = write_one_series(
            phases, lab.folder / "one", key=PartKey.ACQUISITION_TIME, order="slice by slice"
        )
    else:
        written = [
            write_one_instance(
                phases, lab.folder / "one", key=PartKey.TEMPORAL_POSITION, order="to and fro"
            )
        ]
    (series,) = store_files(lab.orthanc, [written]).series_ids
    together = by_hand(lab, series)
    assert mask_of(together) == mask_of(alone)
    assert len(together.ReferencedSeriesSequence) == 1
    key = PartKey.ACQUISITION_TIME if kind == "classic" else PartKey.TEMPORAL_POSITION
    inputs = tuple(
        SeriesInput(
            role=f"dce-{index}",
            orthanc_id=series,
            part=SeriesPart(key=key, index=index, count=4, expected_images=len(phases[0])),
        )
        for index in range(4)
    )
    name = lab.submit(series=inputs, schema_version=PARTS_SCHEMA)
    agent = lab.start_agent()
    assert lab.wait_until_ended(name).state is JobState.SUCCEEDED
    agent.terminate()
    result = json.loads(lab.bucket.read(names.result_object(name.job_id), limit=RESULT_BYTES_LIMIT))
    assert mask_of(read_seg(lab, result["seg"]["orthanc_id"])) == mask_of(alone)
