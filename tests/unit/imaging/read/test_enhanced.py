"""Enhanced multi-frame MR: read as the classic series of the same slices, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    EnhancedMRColorImageStorage,
    JPEGLosslessSV1,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
    RLELossless,
)

from infra.one_series.enhanced import PER_FRAME
from lab_side.imaging.pipeline import CaseInput, segment_case
from lab_side.imaging.read.consistency import check_together
from lab_side.imaging.read.series import SeriesVolume, read_series
from lab_side.imaging.write.dicom_file import write_dataset
from lab_side.imaging.write.measure import measure_masks, measure_seg
from lab_side.imaging.write.preflight_seg import preflight_seg
from lab_side.imaging.write.report import build_report
from lab_side.imaging.write.seg import build_seg
from segrelay.errors import SeriesRefusedError
from tests.support.dicom.dicom_series import (
    ORIENTATIONS,
    Edit,
    centres,
    make_affine,
    rotation,
    write_series,
)
from tests.support.dicom.enhanced_series import Whole, write_enhanced
from tests.support.dicom.imaging_cases import (
    CREATED_AT,
    blob,
    make_origin,
    make_profile,
    read_with_dcmqi,
)
from tests.support.networks.stand_in import stand_in

SHAPE = (6, 10, 14)
OBLIQUE = rotation(5, -12, 20)


def numbered() -> NDArray[np.uint16]:
    """Every voxel has its own value."""
    return np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE)


def on_frame(which: int, group: str, **values: object) -> Edit:
    """Change a functional group of one slice's frame (-1: of all); None removes."""

    def edit(groups: Dataset, index: int) -> None:
        for keyword, value in values.items():
            if which not in (-1, index):
                continue
            item = groups.get(group)[0]
            if value is None:
                delattr(item, keyword)
            else:
                setattr(item, keyword, value)

    return edit


def on_whole(**values: object) -> Whole:
    """Change attributes of the instance; None removes."""

    def edit(instance: Dataset) -> None:
        for keyword, value in values.items():
            if value is None:
                delattr(instance, keyword)
            else:
                setattr(instance, keyword, value)

    return edit


def places(voxels: NDArray[np.generic], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """[values, 3] LPS millimetres of every value, by rising value."""
    found = centres(SHAPE, affine).reshape(-1, 3)
    return found[np.argsort(voxels.ravel())]


@pytest.mark.parametrize("shared", [PER_FRAME[2:], PER_FRAME[3:4], ()])
@pytest.mark.parametrize("orientation", sorted(ORIENTATIONS))
def test_every_value_lies_where_it_was_written(
    tmp_path: Path, orientation: str, shared: tuple[str, ...]
) -> None:
    affine = make_affine(orientation, spacing=(0.7, 1.1, 3.0), tilt=OBLIQUE)
    volume = read_series(write_enhanced(tmp_path, numbered(), affine, shared=shared))
    np.testing.assert_allclose(
        places(volume.voxels, volume.affine), places(numbered(), affine), atol=1e-5
    )


@pytest.mark.parametrize("orientation", ["axial", "sagittal-left-to-right", "coronal"])
def test_highdicom_finds_every_value_in_the_same_place(tmp_path: Path, orientation: str) -> None:
    affine = make_affine(orientation, tilt=OBLIQUE)
    paths = write_enhanced(tmp_path, numbered(), affine)
    theirs = hd.imread(paths[0]).get_volume(apply_real_world_transform=False)
    # highdicom counts slices, rows, columns, and its slices run against the normal.
    turned = np.eye(4)[[2, 1, 0, 3]]
    ours = read_series(paths)
    np.testing.assert_allclose(
        places(theirs.array, theirs.affine @ turned), places(ours.voxels, ours.affine), atol=1e-4
    )
    assert theirs.affine[:3, 0] @ ours.affine[:3, 2] < 0


@pytest.mark.parametrize("instances", [1, 3])
def test_it_is_the_volume_of_the_classic_series(tmp_path: Path, instances: int) -> None:
    affine = make_affine("coronal-back-to-front", tilt=OBLIQUE)
    paths = write_enhanced(tmp_path / "e", numbered(), affine, instances=instances)
    enhanced = read_series(paths)
    classic = read_series(write_series(tmp_path / "c", numbered(), affine))
    np.testing.assert_array_equal(enhanced.voxels, classic.voxels)
    np.testing.assert_array_equal(enhanced.affine, classic.affine)
    assert len(set(enhanced.sop_instance_uids)) == instances
    for keyword in ("ImagePositionPatient", "PixelSpacing", "PatientName", "StudyID", "EchoTime"):
        assert [h.get(keyword) for h in enhanced.headers] == [
            h.get(keyword) for h in classic.headers
        ]


def test_a_slice_knows_its_frame(tmp_path: Path) -> None:
    affine = make_affine("axial-head-to-foot")
    paths = write_enhanced(tmp_path, numbered(), affine, instances=2)
    frames = {str(pydicom.dcmread(path).SOPInstanceUID): pydicom.dcmread(path) for path in paths}
    volume = read_series(paths, expected_sop_uids=frozenset(frames))
    for values, uid, number in zip(
        volume.voxels, volume.sop_instance_uids, volume.frame_numbers, strict=True
    ):
        assert number is not None
        np.testing.assert_array_equal(values, frames[uid].pixel_array[number - 1])


def test_each_frame_has_its_own_rescale(tmp_path: Path) -> None:
    def rescale(groups: Dataset, index: int) -> None:
        scale = groups.PixelValueTransformationSequence[0]
        scale.RescaleSlope, scale.RescaleIntercept = str(index + 1), str(-10 * index)

    volume = read_series(write_enhanced(tmp_path, numbered(), make_affine(), edit_frame=rescale))
    factor = np.arange(SHAPE[0])[:, None, None]
    np.testing.assert_allclose(volume.voxels, numbered() * (factor + 1.0) - 10 * factor)


def test_positions_may_jitter_as_a_scanner_rounds_them(tmp_path: Path) -> None:
    noise = np.random.default_rng(4).uniform(-0.06, 0.06, SHAPE[0])

    def jitter(groups: Dataset, index: int) -> None:
        place = groups.PlanePositionSequence[0]
        x, y, z = place.ImagePositionPatient
        place.ImagePositionPatient = [x, y, round(float(z) + noise[index], 4)]

    paths = write_enhanced(tmp_path, numbered(), make_affine(), edit_frame=jitter)
    np.testing.assert_array_equal(read_series(paths).voxels, numbered())


@pytest.mark.parametrize("syntax", [RLELossless, DeflatedExplicitVRLittleEndian])
def test_compressed_frames_are_read(tmp_path: Path, syntax: UID) -> None:
    def compress(instance: Dataset) -> None:
        if syntax == DeflatedExplicitVRLittleEndian:
            instance.file_meta.TransferSyntaxUID = syntax
        else:
            instance.compress(syntax, encoding_plugin="pydicom", generate_instance_uid=False)

    paths = write_enhanced(tmp_path, numbered(), make_affine(), edit=compress)
    np.testing.assert_array_equal(read_series(paths).voxels, numbered())


def test_what_a_role_is_checked_by_is_read(tmp_path: Path) -> None:
    def inject(groups: Dataset, index: int) -> None:
        usage = Dataset()
        usage.ContrastBolusAgentAdministered = "NO" if index == 0 else "YES"
        groups.ContrastBolusUsageSequence = [usage]

    agent = Dataset()
    agent.CodeValue, agent.CodingSchemeDesignator, agent.CodeMeaning = "1", "99X", "Gadoterate"
    edit = on_whole(ContrastBolusAgentSequence=[agent])
    paths = write_enhanced(tmp_path, numbered(), make_affine(), edit_frame=inject, edit=edit)
    headers = read_series(paths).headers
    assert "ContrastBolusAgent" not in headers[0]
    assert headers[1].ContrastBolusAgent == "Gadoterate"
    assert (headers[1].EchoTime, headers[1].TemporalPositionIdentifier) == (2.0, 1)
    assert headers[1].AcquisitionDateTime == "20240105101530"


def another(*values: object) -> Callable[[str, str], Edit]:
    """For one frame, a value that the others do not have."""

    def edit_of(group: str, keyword: str) -> Edit:
        def edit(groups: Dataset, index: int) -> None:
            if group not in groups:
                setattr(groups, group, [Dataset()])
            setattr(groups.get(group)[0], keyword, values[index == 2])

        return edit

    return edit_of


def directions(groups: Dataset, index: int) -> None:
    along = Dataset()
    along.DiffusionGradientOrientation = [1.0, 0.0, 0.0] if index else [0.0, 1.0, 0.0]
    diffusion = Dataset()
    diffusion.DiffusionBValue, diffusion.DiffusionDirectionality = 1000.0, "DIRECTIONAL"
    diffusion.DiffusionGradientDirectionSequence = [along]
    groups.MRDiffusionSequence = [diffusion]


SEVERAL: dict[str, tuple[str, Edit]] = {
    "stacks": ("2 stacks", another("1", "2")("FrameContentSequence", "StackID")),
    "phases": (
        "2 temporal positions",
        another(1, 2)("FrameContentSequence", "TemporalPositionIndex"),
    ),
    "times": (
        "2 temporal positions",
        another(0.0, 31.5)("TemporalPositionSequence", "TemporalPositionTimeOffset"),
    ),
    "echoes": ("2 echo times", another(4.6, 9.2)("MREchoSequence", "EffectiveEchoTime")),
    "b-values": (
        "2 diffusion weightings",
        another(0.0, 800.0)("MRDiffusionSequence", "DiffusionBValue"),
    ),
    "trace": (
        "2 diffusion weightings",
        another("DIRECTIONAL", "ISOTROPIC")("MRDiffusionSequence", "DiffusionDirectionality"),
    ),
    "directions": ("2 diffusion directions", directions),
    "water and fat": (
        "2 kinds of image",
        another(["ORIGINAL", "PRIMARY", "DIXON", "WATER"], ["ORIGINAL", "PRIMARY", "DIXON", "FAT"])(
            "MRImageFrameTypeSequence", "FrameType"
        ),
    ),
    "phase images": (
        "2 complex components",
        another("MAGNITUDE", "PHASE")("MRImageFrameTypeSequence", "ComplexImageComponent"),
    ),
}


@pytest.mark.parametrize("case", sorted(SEVERAL))
@pytest.mark.parametrize("instances", [1, 2])
def test_several_volumes_are_refused_by_what_tells_them_apart(
    tmp_path: Path, case: str, instances: int
) -> None:
    words, edit = SEVERAL[case]
    paths = write_enhanced(
        tmp_path, numbered(), make_affine(), shared=(), edit_frame=edit, instances=instances
    )
    with pytest.raises(SeriesRefusedError, match=words) as caught:
        read_series(paths)
    assert caught.value.code == "several-volumes"
    assert "series of its own" in caught.value.remedy


def test_echo_times_that_differ_by_rounding_are_one(tmp_path: Path) -> None:
    edit = another(4.6, 4.6000000001)("MREchoSequence", "EffectiveEchoTime")
    paths = write_enhanced(tmp_path, numbered(), make_affine(), edit_frame=edit)
    assert read_series(paths).voxels.shape == SHAPE


def test_classic_images_beside_enhanced_ones_are_refused(tmp_path: Path) -> None:
    affine = make_affine()
    paths = write_enhanced(tmp_path / "e", numbered(), affine)
    paths += write_series(tmp_path / "c", numbered(), affine)
    with pytest.raises(SeriesRefusedError, match="classic images beside") as caught:
        read_series(paths)
    assert caught.value.code == "several-volumes"


def half(instance: Dataset) -> None:
    del instance.PerFrameFunctionalGroupsSequence[3:]


def undecodable(instance: Dataset) -> None:
    instance.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    instance.PixelData = encapsulate([b"no JPEG at all"] * SHAPE[0])
    instance["PixelData"].is_undefined_length = True


def no_groups(instance: Dataset) -> None:
    del instance.PerFrameFunctionalGroupsSequence


PLACE, ORIENTATION = "PlanePositionSequence", "PlaneOrientationSequence"
MEASURES, KIND = "PixelMeasuresSequence", "MRImageFrameTypeSequence"

FRAME_DEFECTS: dict[str, tuple[str, Edit]] = {
    "scout": ("localizer", on_frame(2, KIND, FrameType=["ORIGINAL", "PRIMARY", "LOCALIZER", "N"])),
    "no place": ("no-position", on_frame(3, PLACE, ImagePositionPatient=None)),
    "no direction": ("no-position", on_frame(3, ORIENTATION, ImageOrientationPatient=None)),
    "no pixel spacing": ("no-pixel-spacing", on_frame(2, MEASURES, PixelSpacing=None)),
    "other pixel size": ("mixed-pixel-spacing", on_frame(1, MEASURES, PixelSpacing=[0.8, 0.9])),
    "turned": (
        "mixed-orientation",
        on_frame(5, ORIENTATION, ImageOrientationPatient=[0, 1, 0, 0, 0, -1]),
    ),
    "same place": ("duplicate-slice", on_frame(5, PLACE, ImagePositionPatient=[-31, 17.5, -30])),
    "off the grid": ("uneven-spacing", on_frame(3, PLACE, ImagePositionPatient=[-31, 17.5, -33.3])),
    "gap": ("missing-slice", on_frame(5, PLACE, ImagePositionPatient=[-31, 17.5, -25])),
}

WHOLE_DEFECTS: dict[str, tuple[str, Whole]] = {
    "CT": ("not-mr", on_whole(Modality="CT")),
    "colour": ("multiframe", on_whole(SOPClassUID=EnhancedMRColorImageStorage)),
    "legacy": ("multiframe", on_whole(SOPClassUID=LegacyConvertedEnhancedMRImageStorage)),
    "frames of a classic image": ("multiframe", on_whole(SOPClassUID=MRImageStorage)),
    "inverted": ("inverted-greyscale", on_whole(PhotometricInterpretation="MONOCHROME1")),
    "no frame of reference": ("no-frame-of-reference", on_whole(FrameOfReferenceUID=None)),
    "no study": ("no-uid", on_whole(StudyInstanceUID="")),
    "no pixels": ("missing-pixel-data", on_whole(PixelData=None)),
    "short pixels": ("unreadable-instance", on_whole(PixelData=b"\x00\x01" * 9)),
    "bad JPEG": ("compressed-unreadable", undecodable),
    "frames without groups": ("unreadable-instance", half),
    "no groups": ("unreadable-instance", no_groups),
    "other number of frames": ("unreadable-instance", on_whole(NumberOfFrames=5)),
}


@pytest.mark.parametrize("case", sorted({**FRAME_DEFECTS, **WHOLE_DEFECTS}))
def test_a_defect_is_refused_by_its_name(tmp_path: Path, case: str) -> None:
    code, edit_frame = FRAME_DEFECTS.get(case, (None, None))
    if code is None:
        code, edit = WHOLE_DEFECTS[case]
        paths = write_enhanced(tmp_path, numbered(), make_affine(), edit=edit)
    else:
        paths = write_enhanced(
            tmp_path, numbered(), make_affine(), shared=(), edit_frame=edit_frame
        )
    with pytest.raises(SeriesRefusedError) as caught:
        read_series(paths)
    assert caught.value.code == code
    assert "PHANTOM" not in caught.value.message
    assert caught.value.remedy


def test_a_number_of_a_wrong_form_is_not_quoted(tmp_path: Path) -> None:
    paths = write_enhanced(tmp_path, numbered(), make_affine())
    data = paths[0].read_bytes()
    paths[0].write_bytes(data.replace(b"-31\\17.5", b"MUELLER\\", 1))
    with pytest.raises(SeriesRefusedError) as caught:
        read_series(paths)
    assert caught.value.code == "no-position"
    assert caught.value.message.startswith("Image Position (Patient) holds ")
    assert "MUELLER" not in caught.value.message


def test_an_instance_of_the_series_that_is_absent_shows_in_the_inventory(tmp_path: Path) -> None:
    paths = write_enhanced(tmp_path, numbered(), make_affine(), instances=2)
    expected = frozenset(read_series(paths).sop_instance_uids)
    with pytest.raises(SeriesRefusedError) as caught:
        read_series(paths[:1], expected_sop_uids=expected)
    assert caught.value.code == "series-incomplete"


def mixed(folder: Path, *, instances: int = 1) -> tuple[SeriesVolume, SeriesVolume]:
    """An enhanced oblique series, and a classic one of the same study."""
    affine = make_affine("sagittal-left-to-right", tilt=OBLIQUE)
    enhanced = read_series(write_enhanced(folder / "e", numbered(), affine, instances=instances))
    classic = read_series(
        write_series(folder / "c", numbered()[:4], make_affine(), series_uid="2.25.8")
    )
    check_together({"t1": enhanced, "t2": classic})
    return enhanced, classic


@pytest.mark.parametrize("instances", [1, 3])
@pytest.mark.parametrize("segments", [1, 2])
@pytest.mark.process
def test_i8_the_mask_of_an_enhanced_series_is_found_by_dcmqi(
    tmp_path: Path, instances: int, segments: int
) -> None:
    enhanced, classic = mixed(tmp_path, instances=instances)
    masks = [blob(SHAPE), np.flip(blob(SHAPE), 2).copy()][:segments]
    origin = make_origin(make_profile(segments=segments))
    path = tmp_path / "seg.dcm"
    write_dataset(build_seg(masks, enhanced, [classic, enhanced], origin), path)
    found = read_with_dcmqi(path, SHAPE, enhanced.affine, tmp_path / "dcmqi")
    for number, mask in enumerate(masks, start=1):
        np.testing.assert_array_equal(found[number], mask)
    measured = measure_masks(masks, enhanced.affine, origin.profile.segments)
    assert measure_seg(path) == measured


@pytest.mark.parametrize("instances", [1, 2])
def test_frames_of_the_seg_name_frames_of_the_source(tmp_path: Path, instances: int) -> None:
    enhanced, classic = mixed(tmp_path, instances=instances)
    mask = blob(SHAPE)
    origin = make_origin(make_profile(segments=2))
    seg = build_seg([mask, mask], enhanced, [enhanced, classic], origin)
    place_of = {
        (uid, frame): [float(x) for x in header.ImagePositionPatient]
        for uid, frame, header in zip(
            enhanced.sop_instance_uids, enhanced.frame_numbers, enhanced.headers, strict=True
        )
    }
    for groups in seg.PerFrameFunctionalGroupsSequence:
        (image,) = groups.DerivationImageSequence[0].SourceImageSequence
        key = (str(image.ReferencedSOPInstanceUID), int(image.ReferencedFrameNumber))
        assert image.ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.4.1"
        stated = [float(x) for x in groups.PlanePositionSequence[0].ImagePositionPatient]
        assert stated == place_of[key]
    uids = list(dict.fromkeys(enhanced.sop_instance_uids))
    assert [str(i.ReferencedSOPInstanceUID) for i in seg.SourceImageSequence] == uids
    named = {
        str(item.SeriesInstanceUID): [
            str(image.ReferencedSOPInstanceUID) for image in item.ReferencedInstanceSequence
        ]
        for item in seg.ReferencedSeriesSequence
    }
    assert named == {enhanced.series_uid: uids, classic.series_uid: [*classic.sop_instance_uids]}


def test_a_classic_reference_beside_an_enhanced_series(tmp_path: Path) -> None:
    enhanced, classic = mixed(tmp_path)
    mask = blob((4, *SHAPE[1:]))
    seg = build_seg([mask], classic, [classic, enhanced], make_origin(make_profile()))
    sources = [
        groups.DerivationImageSequence[0].SourceImageSequence[0]
        for groups in seg.PerFrameFunctionalGroupsSequence
    ]
    assert {str(image.ReferencedSOPInstanceUID) for image in sources} <= {
        *classic.sop_instance_uids
    }
    assert not any("ReferencedFrameNumber" in image for image in sources)
    (named,) = seg.ReferencedSeriesSequence[1].ReferencedInstanceSequence
    assert named.ReferencedSOPInstanceUID == enhanced.sop_instance_uids[0]


def test_the_report_of_an_empty_mask_names_a_frame(tmp_path: Path) -> None:
    enhanced, classic = mixed(tmp_path)
    origin = make_origin(make_profile())
    empty = [np.zeros(SHAPE, dtype=np.uint8)]
    preflight_seg(enhanced, [enhanced, classic], origin)
    seg = build_seg(empty, enhanced, [enhanced, classic], origin)
    measured = measure_masks(empty, enhanced.affine, origin.profile.segments)
    report = build_report(seg, measured)
    group = report.ContentSequence[-1].ContentSequence[0]
    (source,) = [
        item.ReferencedSOPSequence[0]
        for item in group.ContentSequence
        if "ReferencedSOPSequence" in item
    ]
    assert source.ReferencedSOPInstanceUID == enhanced.sop_instance_uids[0]
    assert source.ReferencedFrameNumber == enhanced.frame_numbers[SHAPE[0] // 2]


def test_a_whole_case_of_both_kinds_gives_the_mask_of_the_classic_one(tmp_path: Path) -> None:
    profile = make_profile(roles=("first", "second"), spacing=(0.8, 0.8, 2.5))
    bright = (blob((8, 24, 18)) * 180).astype(np.uint16)
    affine = make_affine("sagittal", tilt=OBLIQUE)
    found = {}
    for enhanced in ("", "first", "second"):
        folder = tmp_path / f"of {enhanced}"
        series = {}
        for uid, role in zip(("2.25.1", "2.25.2"), profile.roles, strict=True):
            write = write_enhanced if role == enhanced else write_series
            series[role] = write(folder / role, bright, affine, series_uid=uid)
        case = CaseInput(
            job_key="01HZXJOB",
            series=series,
            expected_sop_uids={},
            created_at=CREATED_AT,
            output=folder / "seg.dcm",
        )
        output = segment_case(case, stand_in(profile), lambda *_: None)
        found[enhanced] = output.measurements, pydicom.dcmread(folder / "seg.dcm").PixelData
    assert found[""][0][0].voxels > 0
    assert found["first"] == found["second"] == found[""]


@pytest.mark.parametrize("empty", [False, True])
def test_a_second_run_gives_the_same_bytes(tmp_path: Path, empty: bool) -> None:
    paths = write_enhanced(tmp_path, numbered(), make_affine("coronal"), instances=2)
    mask = np.zeros(SHAPE, dtype=np.uint8) if empty else blob(SHAPE)
    files = []
    for given in (paths, paths[::-1]):
        volume = read_series(given)
        seg = build_seg([mask], volume, [volume], make_origin(make_profile()))
        write_dataset(seg, tmp_path / "seg.dcm")
        files.append((tmp_path / "seg.dcm").read_bytes())
    assert files[0] == files[1]
