"""Scores of masks whose agreement is known; cases as folders; means with intervals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the library's own abbreviation)
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from lab_side.commands.evaluate import as_json, as_text, means_of, worst_case
from lab_side.evaluation import scores
from lab_side.evaluation.cases import find_cases
from lab_side.evaluation.overlap import dice
from lab_side.evaluation.scores import compare, evaluate_case, hd95_mm
from lab_side.evaluation.summary import mean_of
from lab_side.worker.protocol import SegmentScore
from segrelay.errors import FixConfigurationError, SeriesRefusedError
from tests.conftest import SEED
from tests.support.dicom.dicom_series import centres, make_affine, write_series
from tests.support.dicom.imaging_cases import image_of, make_profile
from tests.support.networks.stand_in import stand_in

SHAPE = (16, 30, 28)
AFFINE = make_affine("sagittal", spacing=(1.0, 1.5, 2.0))


def box(start: tuple[int, int, int], size: int = 8) -> NDArray[np.uint8]:
    mask = np.zeros(SHAPE, np.uint8)
    mask[tuple(slice(first, first + size) for first in start)] = 1
    return mask


def test_dice_of_known_masks() -> None:
    assert dice(box((4, 4, 4)), box((4, 4, 4))) == 1.0
    assert dice(box((4, 4, 4)), box((4, 4, 8))) == 0.5
    assert dice(box((4, 4, 4)), np.zeros(SHAPE, np.uint8)) == 0.0
    assert dice(np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)) == 1.0


def surface_distances(
    first: NDArray[np.uint8], second: NDArray[np.uint8], spacing: tuple[float, ...]
) -> NDArray[np.float64]:
    """From each voxel of the first rim to the nearest of the second, by a way of its own."""

    def rim(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
        inside = np.pad(mask.astype(bool), 1)
        core = inside.copy()
        for axis in range(3):
            core &= np.roll(inside, 1, axis) & np.roll(inside, -1, axis)
        kept: NDArray[np.bool_] = (inside & ~core)[1:-1, 1:-1, 1:-1]
        return kept

    away = distance_transform_edt(~rim(second), sampling=spacing)
    found: NDArray[np.float64] = away[rim(first)]
    return found


def test_hd95_is_the_larger_of_both_ways_in_millimetres() -> None:
    found, truth = box((4, 4, 4)), box((5, 8, 4), 6)
    for spacing in ((2.0, 1.5, 1.0), (1.0, 1.0, 1.0)):
        both = [surface_distances(*pair, spacing) for pair in ((found, truth), (truth, found))]
        expected = max(float(np.percentile(values, 95)) for values in both)
        assert hd95_mm(found, truth, spacing) == pytest.approx(expected, abs=1e-3)
    assert hd95_mm(found, found, (1.0, 1.0, 1.0)) == 0.0
    assert hd95_mm(found, np.zeros(SHAPE, np.uint8), (1.0, 1.0, 1.0)) is None


def test_volumes_and_distances_go_by_the_grid() -> None:
    (segment,) = make_profile().segments
    moved = np.roll(box((4, 4, 4)), 2, axis=0)
    (score,) = compare([moved], [box((4, 4, 4))], [segment], AFFINE)
    assert (score.found_ml, score.truth_ml) == (1.536, 1.536)
    assert score.hd95_mm == pytest.approx(4.0, abs=0.01)


def write_case(folder: Path, *, as_dicom: bool) -> None:
    """Bright where the truth is, in the first series; the truth lies on a wider grid."""
    truth = box((4, 6, 10))
    voxels = (20 + 180 * truth).astype(np.uint16)
    folder.mkdir(parents=True)
    if as_dicom:
        write_series(folder / "first", voxels, AFFINE)
    else:
        sitk.WriteImage(image_of(voxels, AFFINE), str(folder / "first.nii.gz"))
    wider = AFFINE.copy()
    wider[:3, 3] -= AFFINE[:3, :3] @ [3, 2, 1]
    padded = np.pad(truth, ((1, 1), (2, 2), (3, 3)))
    sitk.WriteImage(image_of(padded, wider), str(folder / "truth.nii.gz"))


@pytest.mark.parametrize("as_dicom", [True, False])
def test_a_case_is_segmented_as_a_job_and_drawn(tmp_path: Path, as_dicom: bool) -> None:
    write_case(tmp_path / "case", as_dicom=as_dicom)
    profile = make_profile(spacing=(1.0, 1.5, 2.0))
    picture = tmp_path / "worst.png"
    (score,) = evaluate_case(tmp_path / "case", stand_in(profile), lambda *_: None, picture)
    assert score.dice == 1.0
    assert score.hd95_mm == 0.0
    pixels = sitk.GetArrayFromImage(sitk.ReadImage(str(picture)))
    assert pixels.shape[2] == 3
    assert (pixels == (255, 64, 64)).all(axis=-1).any()


def test_values_that_are_no_segment_are_refused(tmp_path: Path) -> None:
    write_case(tmp_path / "case", as_dicom=False)
    path = tmp_path / "case" / "truth.nii.gz"
    sitk.WriteImage(sitk.ReadImage(str(path)) * 4, str(path))
    with pytest.raises(SeriesRefusedError, match=r"values \[4\]"):
        evaluate_case(tmp_path / "case", stand_in(make_profile()), lambda *_: None)
    path.write_bytes(b"nothing")
    with pytest.raises(SeriesRefusedError) as caught:
        evaluate_case(tmp_path / "case", stand_in(make_profile()), lambda *_: None)
    assert caught.value.code == "unreadable-image"


def test_cases_that_are_not_complete_are_named(tmp_path: Path) -> None:
    with pytest.raises(FixConfigurationError, match="no case"):
        find_cases(tmp_path, ("first",))
    for name in ("b", "a"):
        write_case(tmp_path / name, as_dicom=name == "a")
    (tmp_path / ".hidden").mkdir()
    assert [case.name for case in find_cases(tmp_path, ("first",))] == ["a", "b"]
    with pytest.raises(FixConfigurationError, match="'a' has no t2"):
        find_cases(tmp_path, ("first", "t2"))
    (tmp_path / "b" / "truth.nii.gz").unlink()
    with pytest.raises(FixConfigurationError, match="'b' has no truth"):
        find_cases(tmp_path, ("first",))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda case: (case / "first.nii.gz").write_bytes(b"no"), "first.nii.gz cannot be read"),
        (lambda case: (case / "truth.nii.gz").write_bytes(b"no"), "truth.nii.gz cannot be read"),
        (lambda case: change(case / "truth.nii.gz", shifted), "truth.nii.gz lies elsewhere than"),
        (lambda case: change(case / "truth.nii.gz", soft), "truth.nii.gz has values that are no"),
        (lambda case: change(case / "truth.nii.gz", doubled), "truth.nii.gz has 4 dimensions"),
        (lambda case: change(case / "second.nii.gz", shifted), "second.nii.gz lies elsewhere than"),
    ],
)
def test_every_error_names_the_file(
    tmp_path: Path, spoil: Callable[[Path], object], said: str
) -> None:
    case = tmp_path / "case"
    write_case(case, as_dicom=False)
    (case / "second.nii.gz").write_bytes((case / "first.nii.gz").read_bytes())
    spoil(case)
    profile = make_profile(roles=("first", "second"))
    with pytest.raises(SeriesRefusedError) as caught:
        evaluate_case(case, stand_in(profile), lambda *_: None)
    assert caught.value.message.startswith(said), caught.value.message


def change(path: Path, how: Callable[[sitk.Image], sitk.Image]) -> None:
    sitk.WriteImage(how(sitk.ReadImage(str(path))), str(path))


def shifted(image: sitk.Image) -> sitk.Image:
    image.SetOrigin([value + 5000 for value in image.GetOrigin()])
    return image


def soft(image: sitk.Image) -> sitk.Image:
    half: sitk.Image = sitk.Cast(image, sitk.sitkFloat32) * 0.5
    return half


def doubled(image: sitk.Image) -> sitk.Image:
    joined: sitk.Image = sitk.JoinSeries([image, image])
    return joined


def test_a_folder_of_dicom_files_is_named(tmp_path: Path) -> None:
    write_case(tmp_path / "case", as_dicom=True)
    next(path for path in (tmp_path / "case" / "first").rglob("*") if path.is_file()).unlink()
    with pytest.raises(SeriesRefusedError) as caught:
        evaluate_case(tmp_path / "case", stand_in(make_profile()), lambda *_: None)
    assert caught.value.message.startswith("first/ ("), caught.value.message


def test_what_lies_in_place_of_a_missing_file_is_named(tmp_path: Path) -> None:
    write_case(tmp_path / "a", as_dicom=False)
    (tmp_path / "a" / "first.nii.gz").rename(tmp_path / "a" / "frist.nii.gz")
    with pytest.raises(FixConfigurationError, match=r"no first; did you mean frist\.nii\.gz\?"):
        find_cases(tmp_path, ("first",))
    (tmp_path / "a" / "frist.nii.gz").rename(tmp_path / "a" / "first.nii.gz")
    (tmp_path / "a" / "truth.nii.gz").rename(tmp_path / "a" / "truth.dcm")
    with pytest.raises(
        FixConfigurationError, match=r"no truth: truth\.dcm is none of .* DICOM SEG"
    ):
        find_cases(tmp_path, ("first",))
    with pytest.raises(FixConfigurationError, match="does not exist"):
        find_cases(tmp_path / "nowhere", ("first",))


def test_the_interval_holds_the_mean_of_the_population_about_19_times_in_20() -> None:
    chance = np.random.default_rng(SEED)
    held = 0
    for _ in range(200):
        mean = mean_of(chance.normal(0.8, 0.1, 25).tolist())
        assert mean is not None
        assert mean.low is not None
        assert mean.high is not None
        assert mean.low < mean.value < mean.high
        held += mean.low <= 0.8 <= mean.high
    # Binomial: below 165 of 200 less than once in 10^8 runs even where it holds 92 % of the time.
    assert held >= 165


def test_unknown_values_are_left_out_of_the_mean() -> None:
    assert mean_of([None, None]) is None
    one = mean_of([None, 0.5])
    assert one is not None
    assert (one.value, one.count, one.low) == (0.5, 1, None)


def score(dice_: float, found: float) -> SegmentScore:
    return SegmentScore(
        number=1, label="Tumor", dice=dice_, hd95_mm=None, found_ml=found, truth_ml=2.0
    )


def test_the_report_for_people_and_for_programs() -> None:
    scores = {"one": [score(0.9, 2.5)], "two": [score(0.4, 1.0)], "three": [score(0.8, 2.0)]}
    assert worst_case(scores) == "two"
    figures = means_of(scores)["Tumor"]
    assert figures["dice"] is not None
    assert figures["dice"].value == pytest.approx(0.7)
    assert figures["volume_error_share"] is not None
    assert figures["volume_error_share"].value == pytest.approx((0.25 - 0.5 + 0) / 3)
    assert figures["hd95_mm"] is None
    text = as_text(scores, Path("worst.png"))
    for wanted in (
        "two",
        "0.400",
        "-1.00",
        "dice",
        "0.700",
        "The worst case, two, is in worst.png",
    ):
        assert wanted in text
    document = as_json("demo", scores, Path("worst.png"))
    assert document["worst_case"] == "two"
    assert document["means"]["Tumor"]["dice"]["count"] == 3


def test_series_are_registered_as_in_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = tmp_path / "case"
    case.mkdir()
    grid = make_affine("axial", spacing=(3.0, 3.0, 4.0), origin=(-60.0, -66.0, -54.0))
    rng = np.random.default_rng(SEED)
    places = centres((28, 44, 40), grid)
    inside = np.linalg.norm(places / (50, 58, 46), axis=-1) < 1
    blobs = gaussian_filter(rng.normal(size=inside.shape), 3)
    head = np.where(inside, 400 + 4000 * blobs, 0).astype(np.float32)
    moved = grid.copy()
    moved[:3, 3] += (6.0, -5.0, 4.0)
    for name, affine in (("first", grid), ("second", moved)):
        sitk.WriteImage(image_of(head, affine), str(case / f"{name}.nii.gz"))
    truth = image_of((head > 600).astype(np.uint8), grid)
    sitk.WriteImage(truth, str(case / "truth.nii.gz"))
    seen: dict[str, Any] = {}

    def predicted(volumes: dict[str, Any], *_: object) -> list[NDArray[np.uint8]]:
        seen.update(volumes)
        return [np.zeros(head.shape, np.uint8)]

    monkeypatch.setattr(scores, "predict", predicted)
    plain = make_profile(roles=("first", "second"))
    evaluate_case(case, stand_in(plain), lambda *_: None)
    assert np.allclose(seen["second"].affine, moved)
    rigid = plain.preprocessing.model_copy(update={"registration": "rigid"})
    profile = plain.model_copy(update={"preprocessing": rigid})
    evaluate_case(case, stand_in(profile), lambda *_: None)
    assert np.allclose(seen["second"].affine, grid, atol=1.0)
    assert np.allclose(seen["first"].affine, grid)
