"""From files to a volume, and every reason to refuse them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLosslessSV1, RLELossless

from lab_side.imaging.read.consistency import check_together
from lab_side.imaging.read.series import SeriesVolume, read_series
from segrelay.errors import LocalDiskError, SeriesRefusedError
from tests.support.dicom.dicom_series import centres, make_affine, rotation, write_series

SHAPE = (6, 10, 14)


def numbered() -> NDArray[np.uint16]:
    """Every voxel has its own value."""
    return np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE)


def set_on(index: int, **values: object) -> Callable[[Dataset, int], None]:
    """Change attributes of one slice (-1: of all); None removes."""

    def edit(dataset: Dataset, current: int) -> None:
        for keyword, value in values.items():
            if index not in (-1, current):
                continue
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)

    return edit


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("orientation", ["axial", "sagittal", "coronal-back-to-front"])
def test_every_value_lies_where_it_was_written(tmp_path: Path, orientation: str, seed: int) -> None:
    affine = make_affine(orientation, spacing=(0.7, 1.1, 3.0), tilt=rotation(5, -12, 20))
    paths = write_series(tmp_path, numbered(), affine, seed=seed)
    volume = read_series(paths)
    written = centres(SHAPE, affine).reshape(-1, 3)
    read = centres(SHAPE, volume.affine).reshape(-1, 3)
    expected = dict(zip(numbered().ravel().tolist(), written, strict=True))
    for value, place in zip(volume.voxels.ravel().tolist(), read, strict=True):
        np.testing.assert_allclose(place, expected[int(value)], atol=1e-5)


def test_slices_rise_along_the_normal_and_keep_their_uids(tmp_path: Path) -> None:
    uids = {}

    def note(dataset: Dataset, index: int) -> None:
        uids[index] = str(dataset.SOPInstanceUID)

    affine = make_affine("axial-head-to-foot")
    volume = read_series(write_series(tmp_path, numbered(), affine, edit=note))
    assert volume.sop_instance_uids == tuple(uids[index] for index in reversed(range(SHAPE[0])))
    assert [str(h.SOPInstanceUID) for h in volume.headers] == list(volume.sop_instance_uids)
    assert volume.affine[2, 2] > 0


def test_each_slice_has_its_own_rescale(tmp_path: Path) -> None:
    def rescale(dataset: Dataset, index: int) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = str(index + 1), str(-10 * index)

    volume = read_series(write_series(tmp_path, numbered(), make_affine(), edit=rescale))
    factor = np.arange(SHAPE[0])[:, None, None]
    np.testing.assert_allclose(volume.voxels, numbered() * (factor + 1.0) - 10 * factor)


def test_signed_values_and_unused_high_bits(tmp_path: Path) -> None:
    values = np.array([-2048, -1, 0, 2047], dtype=np.int16).repeat(SHAPE[1] * SHAPE[2] // 4)
    stored = (values.astype(np.uint16) & 0x0FFF) | 0xA000  # an overlay in the high bits
    edit = set_on(-1, PixelRepresentation=1, BitsStored=12, HighBit=11, PixelData=stored.tobytes())
    volume = read_series(write_series(tmp_path, numbered(), make_affine(), edit=edit))
    np.testing.assert_array_equal(volume.voxels[0].ravel(), values)


def test_rle_compressed_pixels_are_read(tmp_path: Path) -> None:
    def compress(dataset: Dataset, _: int) -> None:
        dataset.compress(RLELossless, encoding_plugin="pydicom")

    volume = read_series(write_series(tmp_path, numbered(), make_affine(), edit=compress))
    np.testing.assert_array_equal(volume.voxels, numbered())


def test_scanner_spacing_attributes_are_not_believed(tmp_path: Path) -> None:
    edit = set_on(-1, SliceThickness="9", SpacingBetweenSlices="1")
    affine = make_affine(spacing=(1, 1, 2.5))
    volume = read_series(write_series(tmp_path, numbered(), affine, edit=edit))
    assert np.linalg.norm(volume.affine[:3, 2]) == pytest.approx(2.5)
    assert float(volume.headers[0].SpacingBetweenSlices) == pytest.approx(2.5)


def undecodable(dataset: Dataset, _: int) -> None:
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    dataset.PixelData = encapsulate([b"no JPEG at all"])
    dataset["PixelData"].is_undefined_length = True


REFUSALS: dict[str, tuple[str, Callable[[Dataset, int], None]]] = {
    "CT": ("not-mr", set_on(-1, Modality="CT")),
    "no modality": ("not-mr", set_on(2, Modality=None)),
    "enhanced without frames": (
        "unreadable-instance",
        set_on(-1, SOPClassUID="1.2.840.10008.5.1.4.1.1.4.1"),
    ),
    "frames": ("multiframe", set_on(-1, NumberOfFrames=2)),
    "scout": ("localizer", set_on(-1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])),
    "colour": ("not-greyscale", set_on(1, PhotometricInterpretation="RGB", SamplesPerPixel=3)),
    "inverted": ("inverted-greyscale", set_on(-1, PhotometricInterpretation="MONOCHROME1")),
    "no study": ("no-uid", set_on(0, StudyInstanceUID="")),
    "no place": ("no-position", set_on(3, ImagePositionPatient=None)),
    "no direction": ("no-position", set_on(3, ImageOrientationPatient=None)),
    "no frame of reference": ("no-frame-of-reference", set_on(-1, FrameOfReferenceUID="")),
    "no pixel spacing": ("no-pixel-spacing", set_on(2, PixelSpacing=None)),
    "zero pixel spacing": ("no-pixel-spacing", set_on(2, PixelSpacing=[0, 1])),
    "no pixels": ("missing-pixel-data", set_on(4, PixelData=None)),
    "short pixels": ("unreadable-instance", set_on(4, PixelData=b"\x00\x01" * 9)),
    "bad JPEG": ("compressed-unreadable", undecodable),
    "other study": ("mixed-study", set_on(1, StudyInstanceUID="2.25.99")),
    "other series": ("mixed-series", set_on(1, SeriesInstanceUID="2.25.99")),
    "other frame": ("mixed-frame-of-reference", set_on(1, FrameOfReferenceUID="2.25.99")),
    "other patient": ("mixed-patient", set_on(1, PatientID="SOMEBODY")),
    "other matrix": ("mixed-matrix", set_on(1, Rows=7, Columns=20)),
    "other pixel size": ("mixed-pixel-spacing", set_on(1, PixelSpacing=[0.8, 0.9])),
    "turned": ("mixed-orientation", set_on(5, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])),
    "same place": ("duplicate-slice", set_on(5, ImagePositionPatient=[-31.0, 17.5, -30.0])),
    "off the grid": ("uneven-spacing", set_on(3, ImagePositionPatient=[-31.0, 17.5, -33.3])),
    "same instance": ("duplicate-instance", set_on(-1, SOPInstanceUID="2.25.5")),
}


@pytest.mark.parametrize("case", sorted(REFUSALS))
def test_a_defect_is_refused_by_its_name(tmp_path: Path, case: str) -> None:
    code, edit = REFUSALS[case]
    paths = write_series(tmp_path, numbered(), make_affine(), edit=edit)
    with pytest.raises(SeriesRefusedError) as caught:
        read_series(paths)
    assert caught.value.code == code
    assert "PHANTOM" not in caught.value.message
    assert caught.value.remedy


def test_a_missing_slice_inside_is_refused(tmp_path: Path) -> None:
    paths = sorted(write_series(tmp_path, numbered(), make_affine()))
    with pytest.raises(SeriesRefusedError, match="lacks 1 slices") as caught:
        read_series(paths[:2] + paths[3:])
    assert caught.value.code == "missing-slice"


def test_a_missing_slice_at_the_end_shows_in_the_inventory(tmp_path: Path) -> None:
    paths = sorted(write_series(tmp_path, numbered(), make_affine()))
    expected = frozenset(read_series(paths).sop_instance_uids)
    assert read_series(paths, expected_sop_uids=expected).voxels.shape == SHAPE
    with pytest.raises(SeriesRefusedError) as caught:
        read_series(paths[:-1], expected_sop_uids=expected)
    assert caught.value.code == "series-incomplete"


def test_a_foreign_instance_shows_in_the_inventory(tmp_path: Path) -> None:
    paths = write_series(tmp_path, numbered(), make_affine())
    uids = read_series(paths).sop_instance_uids
    with pytest.raises(SeriesRefusedError) as caught:
        read_series(paths, expected_sop_uids=frozenset((*uids[1:], "2.25.7")))
    assert caught.value.code == "series-incomplete"


def test_no_files_are_an_incomplete_series() -> None:
    with pytest.raises(SeriesRefusedError) as caught:
        read_series([])
    assert caught.value.code == "series-incomplete"


def test_two_slices_are_too_few(tmp_path: Path) -> None:
    paths = sorted(write_series(tmp_path, numbered(), make_affine()))
    with pytest.raises(SeriesRefusedError) as caught:
        read_series(paths[:2])
    assert caught.value.code == "too-few-slices"


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        ("text", "unreadable-instance"),
        ("empty", "unreadable-instance"),
        ("cut", "missing-pixel-data"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, damage: str, code: str) -> None:
    paths = write_series(tmp_path, numbered(), make_affine())
    whole = paths[0].read_bytes()
    paths[0].write_bytes({"text": b"not DICOM", "cut": whole[:600], "empty": b""}[damage])
    with pytest.raises(SeriesRefusedError) as caught:
        read_series(paths)
    assert caught.value.code == code


def test_a_file_that_is_gone_is_a_disk_matter(tmp_path: Path) -> None:
    with pytest.raises(LocalDiskError):
        read_series([tmp_path / "gone.dcm"])


def two_series(tmp_path: Path, **second: str) -> dict[str, SeriesVolume]:
    """Two series of one study, the second with other identifiers."""
    patient = second.pop("patient", "PHANTOM")
    identifiers = {"series_uid": "2.25.77", **second}
    first = read_series(write_series(tmp_path / "1", numbered(), make_affine()))
    paths = write_series(
        tmp_path / "2",
        numbered(),
        make_affine(),
        edit=set_on(-1, PatientID=patient),
        **identifiers,  # type: ignore[arg-type]
    )
    return {"t1": first, "t2": read_series(paths)}


def test_series_of_one_study_belong_together(tmp_path: Path) -> None:
    check_together(two_series(tmp_path))


@pytest.mark.parametrize(
    ("second", "code"),
    [
        ({"series_uid": "2.25.1003"}, "same-series"),
        ({"study_uid": "2.25.5"}, "other-study"),
        ({"frame_of_reference_uid": "2.25.5"}, "frame-of-reference"),
        ({"patient": "SOMEBODY"}, "other-patient"),
    ],
)
def test_series_that_do_not_belong_together(
    tmp_path: Path, second: dict[str, str], code: str
) -> None:
    with pytest.raises(SeriesRefusedError) as caught:
        check_together(two_series(tmp_path, **second))
    assert caught.value.code == code
    assert "t2" in caught.value.message
    assert "SOMEBODY" not in caught.value.message
