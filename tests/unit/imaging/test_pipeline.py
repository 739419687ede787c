"""One case from files to SEG, with a stand-in for the network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pydicom
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from lab_side.imaging.pipeline import CaseInput, CaseOutput, network_input, predict, segment_case
from lab_side.imaging.read.series import read_series
from lab_side.imaging.volume.grid import Grid
from lab_side.imaging.write.measure import measure_seg
from lab_side.models.brain import BrainFinder
from segrelay.errors import InferenceError, SeriesRefusedError
from segrelay.profiles import Postprocessing, Profile, SkullStrip
from tests.support.dicom.dicom_series import centres, make_affine, rotation, write_series
from tests.support.dicom.imaging_cases import (
    CREATED_AT,
    make_profile,
    read_with_dcmqi,
)
from tests.support.networks.stand_in import Bright, stand_in

SHAPE = (16, 40, 36)
REFERENCE = make_affine("axial-head-to-foot", spacing=(1.0, 0.9, 2.0), tilt=rotation(6, -9, 14))
MIDDLE = (REFERENCE @ [15.0, 22.0, 7.0, 1.0])[:3]
OTHER = make_affine("sagittal", spacing=(1.2, 1.2, 2.2), tilt=rotation(-4, 3, 8))
OTHER[:3, 3] = MIDDLE - OTHER[:3, :3] @ [17.0, 21.0, 8.0]


def ball(affine: NDArray[np.float64], shape: tuple[int, int, int]) -> NDArray[np.uint16]:
    """Bright (200) inside a ball around a fixed place off the middle, dark (20) elsewhere."""
    distance = np.linalg.norm(centres(shape, affine) - MIDDLE, axis=-1)
    return np.where(distance < 9.0, 200, 20).astype(np.uint16)


def case(tmp_path: Path, profile: Profile) -> CaseInput:
    series = {
        role: write_series(
            tmp_path / role,
            ball(affine, SHAPE),
            affine,
            series_uid=f"2.25.{index}",
        )
        for index, (role, affine) in enumerate(
            zip(profile.roles, (REFERENCE, OTHER), strict=False), start=1
        )
    }
    return CaseInput(
        job_key="01HZXJOB",
        series=series,
        expected_sop_uids={},
        created_at=CREATED_AT,
        output=tmp_path / "seg.dcm",
    )


def dice(first: NDArray[np.uint8], second: NDArray[np.bool_]) -> float:
    both = np.logical_and(first, second).sum()
    return float(2 * both / (first.sum() + second.sum()))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 2.0), (1.5, 1.5, 1.5)])
@pytest.mark.process
def test_the_ball_is_found_where_it_is(tmp_path: Path, spacing: tuple[float, float, float]) -> None:
    profile = make_profile(spacing=spacing)
    told: list[tuple[str, float]] = []
    output = segment_case(
        case(tmp_path, profile), stand_in(profile), lambda *item: told.append(item)
    )
    found = read_with_dcmqi(tmp_path / "seg.dcm", SHAPE, REFERENCE, tmp_path / "dcmqi")
    truth = ball(REFERENCE, SHAPE) > 100
    assert dice(found[1], truth) > 0.95
    assert output.measurements == measure_seg(tmp_path / "seg.dcm")
    assert output.measurements[0].volume_ml == pytest.approx(4 / 3 * np.pi * 0.9**3, rel=0.08)
    assert output.measurements[0].longest_diameter_mm == pytest.approx(18.0, abs=2.5)
    check_output(output, tmp_path / "seg.dcm")
    check_progress(told)


def check_output(output: CaseOutput, path: Path) -> None:
    seg = pydicom.dcmread(path)
    assert output.sop_instance_uid == seg.SOPInstanceUID
    assert output.series_instance_uid == seg.SeriesInstanceUID
    assert output.frames == seg.NumberOfFrames
    assert output.size_bytes == path.stat().st_size
    assert output.series_instance_uids == ("2.25.1",)
    assert set(output.stage_seconds) == {"read", "preprocess", "infer", "restore", "seg"}
    assert {"torch", "monai", "highdicom"} <= set(output.versions)
    assert output.device == "cpu"


def check_progress(told: list[tuple[str, float]]) -> None:
    stages = list(dict.fromkeys(stage for stage, _ in told))
    assert stages == ["read", "preprocess", "infer", "restore", "seg"]
    for stage in stages:
        shares = [share for name, share in told if name == stage]
        assert shares == sorted(shares)
        assert (shares[0], shares[-1]) == (0.0, 1.0)


class Differ(nn.Module):
    """Above the threshold where the two channels agree that it is bright."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        return (windows.min(dim=1, keepdim=True).values - 100.0) / 20.0


@pytest.mark.process
def test_series_of_another_orientation_meet_on_the_networks_grid(tmp_path: Path) -> None:
    profile = make_profile(roles=("first", "second"), spacing=(1.0, 1.0, 1.0))
    output = segment_case(case(tmp_path, profile), stand_in(profile, Differ()), lambda *_: None)
    found = read_with_dcmqi(tmp_path / "seg.dcm", SHAPE, REFERENCE, tmp_path / "dcmqi")
    assert dice(found[1], ball(REFERENCE, SHAPE) > 100) > 0.9
    assert [item.text for item in output.notices] == ["second was resampled to the grid of first."]
    assert output.series_instance_uids == ("2.25.1", "2.25.2")


def registering(profile: Profile) -> Profile:
    preprocessing = profile.preprocessing.model_copy(update={"registration": "rigid"})
    return profile.model_copy(update={"preprocessing": preprocessing})


@pytest.mark.process
def test_a_series_that_was_moved_meets_the_other_where_the_profile_registers(
    tmp_path: Path,
) -> None:
    profile = make_profile(roles=("first", "second"), spacing=(1.0, 1.0, 1.0))
    made = case(tmp_path, profile)
    away = OTHER.copy()
    away[:3, 3] += (3.0, -7.0, 4.0)
    moved = write_series(
        tmp_path / "moved",
        ball(OTHER, SHAPE),
        away,
        series_uid="2.25.2",
        frame_of_reference_uid="2.25.77",
    )
    made = replace(made, series={**made.series, "second": moved})
    with pytest.raises(SeriesRefusedError, match="frame of reference"):
        segment_case(made, stand_in(profile, Differ()), lambda *_: None)
    output = segment_case(made, stand_in(registering(profile), Differ()), lambda *_: None)
    found = read_with_dcmqi(tmp_path / "seg.dcm", SHAPE, REFERENCE, tmp_path / "dcmqi")
    assert dice(found[1], ball(REFERENCE, SHAPE) > 100) > 0.9
    (record,) = output.registrations
    assert (record.role, record.kept) == ("second", True)
    assert record.information_after > record.information_before
    assert output.notices[-1].text.startswith("second was moved onto first: by ")
    assert list(output.stage_seconds)[:3] == ["read", "register", "preprocess"]


class Notes(Bright):
    """Keeps what it was given."""

    def __init__(self, seen: list[torch.Tensor]) -> None:
        super().__init__()
        self.seen = seen

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        self.seen.append(windows)
        return super().forward(windows)


class LeftHalf:
    """Finds a brain wherever it is left of the middle."""

    def find(self, head: NDArray[np.float32]) -> NDArray[np.bool_]:
        kept = np.zeros(head.shape, dtype=bool)
        kept[: head.shape[0] // 2] = True
        return kept


def test_the_network_sees_what_the_skull_strip_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab_side.imaging.volume.brain_mask.LEAST_ML", 0.0)
    profile = make_profile(
        roles=("first", "second"), spacing=(1.0, 1.0, 1.0), normalisation="zscore-nonzero"
    )
    stripping = {"skull_strip": SkullStrip(role="second")}
    preprocessing = profile.preprocessing.model_copy(update=stripping)
    seen: list[torch.Tensor] = []
    model = replace(
        stand_in(profile.model_copy(update={"preprocessing": preprocessing}), Notes(seen)),
        brain_finder=cast("BrainFinder", LeftHalf()),
    )
    output = segment_case(case(tmp_path, profile), model, lambda *_: None)
    assert [item.text.partition(":")[0] for item in output.notices] == [
        "second was resampled to the grid of first.",
        "The brain was found in second",
    ]
    assert seen
    volumes = {
        role: read_series(paths) for role, paths in case(tmp_path / "again", profile).series.items()
    }
    before = len(seen)
    predict(volumes, model)
    for one, other in zip(seen[:before], seen[before:], strict=True):
        assert torch.equal(one, other)
    # With z-scores over what is not 0, the rest stays 0 in both channels.
    empty = torch.stack(seen) == 0
    assert float(empty.float().mean()) > 0.3
    assert any((window != 0).any() for window in seen)


def test_channels_come_in_the_order_of_the_profile(tmp_path: Path) -> None:
    seen: list[torch.Tensor] = []
    profile = make_profile(roles=("b", "a"), spacing=(2.0, 2.0, 2.0))
    made = case(tmp_path, profile)
    swapped = CaseInput(**{**vars(made), "series": dict(reversed(list(made.series.items())))})
    segment_case(made, stand_in(profile, Notes(seen)), lambda *_: None)
    segment_case(swapped, stand_in(profile, Notes(seen)), lambda *_: None)
    half = len(seen) // 2
    for first, second in zip(seen[:half], seen[half:], strict=True):
        assert torch.equal(first, second)


def test_nothing_found_is_an_empty_seg(tmp_path: Path) -> None:
    profile = make_profile(postprocessing=Postprocessing(minimum_volume_ml=50))
    output = segment_case(case(tmp_path, profile), stand_in(profile), lambda *_: None)
    assert output.frames == 1
    assert output.measurements[0].voxels == 0
    assert pydicom.dcmread(tmp_path / "seg.dcm").PatientName == "Phantom^Synthetic"


def test_the_same_case_gives_the_same_file(tmp_path: Path) -> None:
    profile = make_profile(segments=2)
    made = case(tmp_path, profile)
    first = segment_case(made, stand_in(profile), lambda *_: None)
    assert segment_case(made, stand_in(profile), lambda *_: None).sha256 == first.sha256


def test_bad_series_fail_before_inference(tmp_path: Path) -> None:
    class Never(nn.Module):
        def forward(self, windows: torch.Tensor) -> torch.Tensor:
            raise AssertionError(f"inference ran on {windows.shape}")

    profile = make_profile()
    made = case(tmp_path, profile)
    short = CaseInput(
        **{**vars(made), "expected_sop_uids": {"first": frozenset({"2.25.1", "2.25.2"})}}
    )
    with pytest.raises(SeriesRefusedError) as caught:
        segment_case(short, stand_in(profile, Never()), lambda *_: None)
    assert caught.value.code == "series-incomplete"
    assert not made.output.exists()


def test_an_unusable_answer_writes_no_seg(tmp_path: Path) -> None:
    class Broken(nn.Module):
        def forward(self, windows: torch.Tensor) -> torch.Tensor:
            return windows * float("nan")

    profile = make_profile()
    made = case(tmp_path, profile)
    with pytest.raises(InferenceError):
        segment_case(made, stand_in(profile, Broken()), lambda *_: None)
    assert not made.output.exists()


def test_volumes_in_memory_need_no_dicom(tmp_path: Path) -> None:
    class Plain:
        voxels = ball(REFERENCE, SHAPE).astype(np.float32)
        affine = REFERENCE

    profile = make_profile()
    (mask,) = predict({"first": Plain()}, stand_in(profile))
    assert mask.shape == SHAPE
    assert dice(mask, ball(REFERENCE, SHAPE) > 100) > 0.95


def test_with_softmax_the_likeliest_channel_has_the_voxel() -> None:
    """Also where no channel reaches a half."""

    class Three(nn.Module):
        """Background, and two segments; of a value around 100, 200, 300 the nearest wins."""

        def forward(self, windows: torch.Tensor) -> torch.Tensor:
            return torch.cat([-(windows - centre).abs() / 400 for centre in (100, 200, 300)], dim=1)

    class Plain:
        voxels = np.broadcast_to(
            np.array([0, 120, 140, 160, 240, 260, 300, 900], dtype=np.float32), (8, 8, 8)
        ).copy()
        affine = make_affine(spacing=(1.0, 1.0, 1.0))

    profile = make_profile(segments=2, spacing=(1.0, 1.0, 1.0), window=(8, 8, 8))
    first, second = profile.segments
    profile = profile.model_copy(
        update={
            "inference": profile.inference.model_copy(update={"activation": "softmax"}),
            "segments": (
                first.model_copy(update={"channel": 1}),
                second.model_copy(update={"channel": 2}),
            ),
        }
    )
    middle, highest = predict({"first": Plain()}, stand_in(profile, Three()))
    values = Plain.voxels
    np.testing.assert_array_equal(middle, (values > 150) & (values < 250))
    np.testing.assert_array_equal(highest, values > 250)


def test_nested_regions_become_segments_that_do_not_overlap() -> None:
    class Nested(nn.Module):
        """Core (0) in whole (1); enhancing (2) in core: where x is above 150, 50, 250."""

        def forward(self, windows: torch.Tensor) -> torch.Tensor:
            return torch.cat([windows - limit for limit in (150.0, 50.0, 250.0)], dim=1)

    class Plain:
        voxels = np.broadcast_to(
            np.array([0, 0, 100, 100, 200, 200, 300, 300], dtype=np.float32), (8, 8, 8)
        ).copy()
        affine = make_affine(spacing=(1.0, 1.0, 1.0))

    profile = make_profile(segments=3, spacing=(1.0, 1.0, 1.0), window=(8, 8, 8))
    necrosis, oedema, enhancing = profile.segments
    nested = (
        necrosis.model_copy(update={"except_channels": (2,)}),
        oedema.model_copy(update={"except_channels": (0, 2)}),
        enhancing,
    )
    profile = profile.model_copy(update={"segments": nested})
    masks = predict({"first": Plain()}, stand_in(profile, Nested()))
    for mask, value in zip(masks, (200, 100, 300), strict=True):
        np.testing.assert_array_equal(mask, Plain.voxels == value)


@dataclass(frozen=True)
class Phase:
    """A volume in memory."""

    voxels: NDArray[np.float32]
    affine: NDArray[np.float64]


@pytest.mark.parametrize("together", [False, True])
def test_enhancement_reaches_the_network_where_the_phases_are_normalised_together(
    together: bool,
) -> None:
    profile = make_profile(roles=("before", "after"), normalisation="zscore-nonzero")
    update = {"normalised_together": together}
    preprocessing = profile.preprocessing.model_copy(update=update)
    before = np.random.default_rng(1).uniform(50, 150, (6, 7, 8)).astype(np.float32)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])  # RAS already: nothing is resampled
    volumes = {"before": Phase(before, affine), "after": Phase(3 * before, affine)}
    channels = network_input(
        volumes,
        profile.model_copy(update={"preprocessing": preprocessing}),
        Grid((8, 7, 6), affine),
    )
    change = channels[1] - channels[0]
    assert (float(change.min()) > 0) is together  # alone, both phases look the same
