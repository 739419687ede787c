"""Phases in one series give what the same phases give as series of their own, bit for bit."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from infra.one_series.rewrite import (
    ORDERS,
    SERIES_UID,
    Kind,
    read_phases,
    write_as,
    write_one_instance,
    write_one_series,
)
from lab_side.imaging.pipeline import CaseInput, segment_case
from lab_side.imaging.read.series import SeriesVolume, read_series
from segrelay.parts import Part, PartKey, split_series
from tests.support.dicom.dicom_series import make_affine, write_series
from tests.support.dicom.imaging_cases import blob, make_profile, real_study
from tests.support.dicom.one_series import images_in
from tests.support.networks.stand_in import stand_in

ROLES = ("t0", "t1", "t2", "t3")
SHAPE = (6, 20, 24)
KEYS = [key for key in PartKey if key not in (PartKey.STACK, PartKey.IMAGES)]


@pytest.fixture(scope="module")
def phases(tmp_path_factory: pytest.TempPathFactory) -> list[list[Path]]:
    """Each a series of its own, on one tilted grid."""
    folder, affine = tmp_path_factory.mktemp("phases"), make_affine("sagittal")
    lesion = blob(SHAPE).astype(np.uint16)
    return [
        write_series(
            folder / str(phase),
            (100 + 40 * phase + 300 * (phase + 1) * lesion).astype(np.uint16),
            affine,
            series_uid=f"2.25.77{phase}",
            seed=phase,
        )
        for phase in range(4)
    ]


@pytest.fixture(scope="module")
def apart(phases: Sequence[Sequence[Path]]) -> list[SeriesVolume]:
    return [read_series(paths) for paths in phases]


def as_read(part: Part) -> SeriesVolume:
    paths = list(dict.fromkeys(Path(image.instance) for image in part.images))
    frames: dict[str, list[int]] = {}
    for image in part.images:
        if image.frame is not None:
            uid = str(pydicom.dcmread(image.instance, stop_before_pixels=True).SOPInstanceUID)
            frames.setdefault(uid, []).append(image.frame)
    return read_series(paths, frames=frames, part=str(part.index))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("kind", Kind)
def test_each_volume_is_that_of_its_own_series(
    phases: Sequence[Sequence[Path]],
    apart: Sequence[SeriesVolume],
    tmp_path: Path,
    kind: Kind,
    key: PartKey,
    order: str,
) -> None:
    written = write_as(kind, read_phases(phases), tmp_path, key=key, order=order)
    split = split_series(images_in(written))
    assert (split.key, len(split.parts)) == (key, 4)
    for part, alone in zip(split.parts, apart, strict=True):
        volume = as_read(part)
        assert volume.voxels.tobytes() == alone.voxels.tobytes()
        assert volume.affine.tobytes() == alone.affine.tobytes()
        if kind is Kind.CLASSIC:
            assert volume.sop_instance_uids == alone.sop_instance_uids


@pytest.mark.long
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("kind", Kind)
def test_a_real_study(
    real: tuple[list[list[Path]], list[SeriesVolume]],
    tmp_path: Path,
    kind: Kind,
    key: PartKey,
    order: str,
) -> None:
    test_each_volume_is_that_of_its_own_series(*real, tmp_path, kind, key, order)


@pytest.fixture(scope="module")
def real(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[list[list[Path]], list[SeriesVolume]]:
    """Four phases of a patient's breast, apart."""
    folder = tmp_path_factory.mktemp("real")
    with zipfile.ZipFile(real_study("breast-dce")) as archive:
        archive.extractall(folder)
    series = sorted({path.parent for path in folder.rglob("*") if path.is_file()})
    phases = [sorted(path for path in one.iterdir() if path.is_file()) for one in series]
    return phases, [read_series(paths) for paths in phases]


@pytest.mark.parametrize("kind", ["classic", "enhanced"])
def test_the_seg_has_the_same_voxels_and_refers_to_the_reference_phase_alone(
    phases: Sequence[Sequence[Path]], tmp_path: Path, kind: str
) -> None:
    profile = make_profile(roles=ROLES).model_copy(update={"reference_role": "t1"})
    model = stand_in(profile)

    def segment(name: str, series: Mapping[str, Sequence[Path]], **parts: object) -> Dataset:
        case = CaseInput(
            job_key="01HZXJOB",
            series={role: list(paths) for role, paths in series.items()},
            expected_sop_uids={},
            created_at=datetime(2024, 5, 6, tzinfo=UTC),
            output=tmp_path / f"{name}.dcm",
            **parts,  # type: ignore[arg-type]
        )
        segment_case(case, model, lambda _stage, _share: None)
        return pydicom.dcmread(case.output)

    alone = segment("alone", dict(zip(ROLES, phases, strict=True)))
    images = read_phases(phases)
    write = write_one_series if kind == "classic" else write_one_instance
    written = write(images, tmp_path / "one", key=PartKey.TRIGGER_TIME, order="shuffled")
    split = split_series(images_in([written] if isinstance(written, Path) else written))
    chosen = dict(zip(ROLES, split.parts, strict=True))
    uid = str(pydicom.dcmread(split.parts[0].images[0].instance).SOPInstanceUID)
    seg = segment(
        "together",
        {
            role: list(dict.fromkeys(Path(image.instance) for image in part.images))
            for role, part in chosen.items()
        },
        parts={role: f"trigger-time {part.index}/4" for role, part in chosen.items()},
        frames={
            role: {uid: tuple(image.frame or 0 for image in part.images)}
            for role, part in chosen.items()
        }
        if kind == "enhanced"
        else {},
    )
    assert seg.PixelData == alone.PixelData
    assert seg.SOPInstanceUID != alone.SOPInstanceUID
    (series,) = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == SERIES_UID
    named = {str(item.ReferencedSOPInstanceUID) for item in series.ReferencedInstanceSequence}
    reference = chosen["t1"].images
    if kind == "classic":
        assert named == {str(pydicom.dcmread(image.instance).SOPInstanceUID) for image in reference}
    else:
        frames = {
            int(source.ReferencedFrameNumber)
            for group in seg.PerFrameFunctionalGroupsSequence
            for source in group.DerivationImageSequence[0].SourceImageSequence
        }
        assert named == {uid}
        assert frames <= {image.frame for image in reference}
        (source,) = seg.SourceImageSequence
        assert set(source.ReferencedFrameNumber) == {image.frame for image in reference}
