"""The SEG: every voxel in its place, the same bytes again, nothing of the patient's free text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from lab_side.imaging.read.series import SeriesVolume, read_series
from lab_side.imaging.warm_up import warm_up_seg_writer
from lab_side.imaging.write.dicom_file import write_dataset
from lab_side.imaging.write.measure import describe_seg, measure_masks, measure_seg
from lab_side.imaging.write.preflight_seg import preflight_seg
from lab_side.imaging.write.seg import SegOrigin, _seeds, build_seg
from lab_side.imaging.write.uids import derive_uid
from segrelay.errors import LocalDiskError, PermanentError, SeriesRefusedError
from segrelay.profiles import SkullStrip
from tests.support.dicom.dicom_series import Edit, make_affine, rotation, write_series
from tests.support.dicom.imaging_cases import blob, make_origin, make_profile, read_with_dcmqi

SHAPE = (7, 20, 26)

PLACES: dict[str, NDArray[np.float64]] = {
    "axial": make_affine("axial"),
    "axial, head to foot": make_affine("axial-head-to-foot"),
    "axial, rows reversed": make_affine("axial-row-reversed"),
    "axial, upside down": make_affine("axial-upside-down"),
    "sagittal": make_affine("sagittal"),
    "sagittal, left to right": make_affine("sagittal-left-to-right"),
    "coronal": make_affine("coronal"),
    "coronal, back to front": make_affine("coronal-back-to-front"),
    "oblique": make_affine("axial", tilt=rotation(20, -13, 7)),
    "oblique sagittal, reversed": make_affine("sagittal-left-to-right", tilt=rotation(-9, 21, 33)),
    "anisotropic": make_affine("coronal", spacing=(0.45, 1.3, 5.5), tilt=rotation(3, 2, 1)),
}


def pixels() -> NDArray[np.uint16]:
    return np.full(SHAPE, 100, dtype=np.uint16)


def series(
    folder: Path, edit: Edit | None = None, affine: NDArray[np.float64] | None = None
) -> SeriesVolume:
    place = make_affine() if affine is None else affine
    return read_series(write_series(folder / "series", pixels(), place, edit=edit))


def on_volume(
    mask: NDArray[np.uint8], affine: NDArray[np.float64], volume: SeriesVolume
) -> NDArray[np.uint8]:
    """A mask in the order of the files, put in the slice order of the volume."""
    same_way = affine[:3, 2] @ volume.affine[:3, 2] > 0
    return mask if same_way else np.ascontiguousarray(mask[::-1])


def save(
    folder: Path,
    masks: list[NDArray[np.uint8]],
    volume: SeriesVolume,
    origin: SegOrigin | None = None,
) -> Path:
    origin = origin or make_origin(make_profile(segments=len(masks)))
    path = folder / "seg.dcm"
    write_dataset(build_seg(masks, volume, [volume], origin), path)
    return path


@pytest.mark.parametrize("place", sorted(PLACES))
@pytest.mark.process
def test_i8_dcmqi_finds_every_voxel_where_it_was_put(tmp_path: Path, place: str) -> None:
    affine = PLACES[place]
    volume = series(tmp_path, affine=affine)
    truth = blob(SHAPE)
    path = save(tmp_path, [on_volume(truth, affine, volume)], volume)
    found = read_with_dcmqi(path, SHAPE, affine, tmp_path / "dcmqi")
    assert list(found) == [1]
    np.testing.assert_array_equal(found[1], truth)


@pytest.mark.process
def test_overlapping_segments_and_one_empty_segment(tmp_path: Path) -> None:
    affine = PLACES["oblique"]
    volume = series(tmp_path, affine=affine)
    first, second = blob(SHAPE), np.zeros(SHAPE, dtype=np.uint8)
    second[2:5, 5:15, 2:20] = 1
    path = save(tmp_path, [first, second, np.zeros_like(first)], volume)
    found = read_with_dcmqi(path, SHAPE, affine, tmp_path / "dcmqi")
    np.testing.assert_array_equal(found[1], first)
    np.testing.assert_array_equal(found[2], second)
    assert [item.voxels for item in measure_seg(path)] == [first.sum(), second.sum(), 0]


@pytest.mark.process
def test_positions_that_jitter_do_not_move_the_mask(tmp_path: Path) -> None:
    affine = make_affine(spacing=(0.9, 0.9, 7.0))
    noise = np.random.default_rng(4).uniform(-0.06, 0.06, SHAPE[0])

    def jitter(dataset: Dataset, index: int) -> None:
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, round(float(z) + noise[index], 4)]

    volume = series(tmp_path, jitter, affine)
    path = save(tmp_path, [blob(SHAPE)], volume)
    found = read_with_dcmqi(path, SHAPE, affine, tmp_path / "dcmqi")
    np.testing.assert_array_equal(found[1], blob(SHAPE))


def test_frames_name_the_slice_they_belong_to(tmp_path: Path) -> None:
    volume = series(tmp_path, affine=PLACES["coronal"])
    mask = blob(SHAPE)
    seg = pydicom.dcmread(save(tmp_path, [mask], volume))
    filled = np.flatnonzero(mask.any(axis=(1, 2)))
    assert int(seg.NumberOfFrames) == len(filled)
    named = {
        str(
            groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        ): tuple(groups.PlanePositionSequence[0].ImagePositionPatient)
        for groups in seg.PerFrameFunctionalGroupsSequence
    }
    expected = {
        volume.sop_instance_uids[index]: tuple(volume.headers[index].ImagePositionPatient)
        for index in filled
    }
    assert named == expected


def test_all_input_series_are_referenced(tmp_path: Path) -> None:
    first = series(tmp_path)
    second = read_series(
        write_series(tmp_path / "2", pixels()[:4], make_affine("sagittal"), series_uid="2.25.8")
    )
    origin = make_origin(make_profile())
    seg = build_seg([blob(SHAPE)], first, [first, second], origin)
    found = {
        str(item.SeriesInstanceUID): [
            str(instance.ReferencedSOPInstanceUID) for instance in item.ReferencedInstanceSequence
        ]
        for item in seg.ReferencedSeriesSequence
    }
    assert found == {
        first.series_uid: list(first.sop_instance_uids),
        second.series_uid: list(second.sop_instance_uids),
    }


def test_an_empty_mask_is_one_slice_of_zeros(tmp_path: Path) -> None:
    volume = series(tmp_path)
    path = save(tmp_path, [np.zeros(SHAPE, dtype=np.uint8)], volume)
    seg = pydicom.dcmread(path)
    assert int(seg.NumberOfFrames) == 1
    assert not seg.pixel_array.any()
    referenced = seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert len(referenced) == SHAPE[0]
    (measured,) = measure_seg(path)
    assert (measured.voxels, measured.volume_ml, measured.longest_diameter_mm) == (0, 0.0, None)


@pytest.mark.parametrize("empty", [False, True])
def test_a_second_run_gives_the_same_bytes(tmp_path: Path, empty: bool) -> None:
    mask = np.zeros(SHAPE, dtype=np.uint8) if empty else blob(SHAPE)
    files = []
    for run, seed in enumerate((3, 8)):
        folder = tmp_path / str(run)
        paths = write_series(tmp_path / "series", pixels(), make_affine(), seed=1)
        np.random.default_rng(seed).shuffle(paths)
        folder.mkdir()
        files.append(save(folder, [mask], read_series(paths)).read_bytes())
    assert files[0] == files[1]


def test_uids_follow_what_changes_the_result(tmp_path: Path) -> None:
    volume = series(tmp_path)
    profile = make_profile()
    origin = make_origin(profile)
    other_threshold = profile.model_copy(
        update={"postprocessing": profile.postprocessing.model_copy(update={"threshold": 0.4})}
    )
    flipped = profile.model_copy(
        update={"inference": profile.inference.model_copy(update={"flips": ((0,),)})}
    )
    stripping = {"skull_strip": SkullStrip(role="first")}
    stripped = profile.model_copy(
        update={"preprocessing": profile.preprocessing.model_copy(update=stripping)}
    )
    origins = [
        origin,
        replace(origin, profile=stripped),
        replace(origin, job_key="01OTHER"),
        replace(origin, model_sha256="cd" * 32),
        replace(origin, profile=other_threshold),
        replace(origin, profile=flipped),
    ]
    segs = [build_seg([blob(SHAPE)], volume, [volume], item) for item in origins]
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        assert len({str(seg.get(keyword)) for seg in segs}) == len(origins)
    assert segs[0].SOPInstanceUID != segs[0].SeriesInstanceUID
    later = replace(origin, created_at=datetime(2030, 1, 1, tzinfo=UTC))
    again = build_seg([blob(SHAPE)], volume, [volume], later)
    assert again.SOPInstanceUID == segs[0].SOPInstanceUID


def test_a_profile_without_later_settings_makes_the_uids_of_before(tmp_path: Path) -> None:
    volume = series(tmp_path)
    options = _seeds(make_origin(make_profile()), volume, [volume])[-1]
    assert "flips" not in options
    assert "skull_strip" not in options


def test_uids_are_of_the_uuid_root_and_keep_parts_apart() -> None:
    uid = derive_uid("instance", ["a", "bc"])
    assert uid == derive_uid("instance", ["a", "bc"])
    assert uid not in (derive_uid("instance", ["ab", "c"]), derive_uid("series", ["a", "bc"]))
    number = int(uid.removeprefix("2.25."))
    assert number < 2**128
    assert (number >> 76) & 0xF == 8
    assert (number >> 62) & 0b11 == 0b10


def test_identity_labels_and_times(tmp_path: Path) -> None:
    volume = series(tmp_path)
    seg = pydicom.dcmread(save(tmp_path, [blob(SHAPE)], volume))
    algorithm = seg.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert seg.ContentDescription == "AI result. NOT FOR CLINICAL USE"
    assert (seg.ContentLabel, seg.BodyPartExamined) == ("TEST_TUMOUR", "BREAST")
    assert (seg.SeriesDate, seg.SeriesTime) == ("20240506", "131415")
    assert (seg.ContentDate, seg.ContentTime) == ("20240506", "131415")
    assert (seg.InstanceCreationDate, seg.InstanceCreationTime) == ("20240506", "131415")
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeValue == "123110"
    assert algorithm.AlgorithmVersion == "1.2.3"
    makers = [str(item.Manufacturer) for item in seg.ContributingEquipmentSequence]
    assert makers[:2] == ["Phantom Works", "SegRelay"]
    assert len(makers) == 3
    assert seg.SeriesNumber == 1003
    assert (seg.StudyInstanceUID, seg.FrameOfReferenceUID) == (
        volume.study_uid,
        volume.frame_of_reference_uid,
    )
    described = describe_seg(tmp_path / "seg.dcm")
    assert described.job_key == "01HZXJOB"
    assert described.sop_instance_uid == seg.SOPInstanceUID
    assert described.frames == seg.NumberOfFrames


def test_free_text_about_the_patient_is_not_copied(tmp_path: Path) -> None:
    def add(dataset: Dataset, _: int) -> None:
        dataset.PatientComments = "SECRET lives next door"
        dataset.AdditionalPatientHistory = "SECRET history"
        dataset.PatientAddress = "SECRET street"
        dataset.OperatorsName = "SECRET^Operator"
        dataset.ImageComments = "SECRET comment"
        dataset.add_new(0x00111001, "LO", "SECRET private")

    path = save(tmp_path, [blob(SHAPE)], series(tmp_path, add))
    assert b"SECRET" not in path.read_bytes()


TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "SliceThickness",
    "Laterality",
    "PositionReferenceIndicator",
    "Manufacturer",
    "SpecificCharacterSet",
    "SeriesNumber",
)


@pytest.mark.parametrize("keyword", [*TYPE_2, "all of them"])
def test_sources_may_lack_what_the_standard_lets_be_empty(tmp_path: Path, keyword: str) -> None:
    def remove(dataset: Dataset, _: int) -> None:
        for name in TYPE_2 if keyword == "all of them" else (keyword,):
            delattr(dataset, name)

    volume = series(tmp_path, remove)
    preflight_seg(volume, [volume], make_origin(make_profile()))
    seg = pydicom.dcmread(save(tmp_path, [blob(SHAPE)], volume))
    for name in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyTime"):
        assert name in seg


def set_name(character_set: str | list[str] | None, name: str | bytes) -> Edit:
    def edit(dataset: Dataset, _: int) -> None:
        if character_set is None:
            del dataset.SpecificCharacterSet
        else:
            dataset.SpecificCharacterSet = character_set
        dataset.PatientName = PersonName(name)

    return edit


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("ISO_IR 192", "홍^길동"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        ("ISO_IR 100", "Müller^Anna"),
        ("GB18030", "王^小东"),
    ],
)
def test_names_keep_their_character_set(
    tmp_path: Path, character_set: str | list[str], name: str
) -> None:
    path = save(tmp_path, [blob(SHAPE)], series(tmp_path, set_name(character_set, name)))
    seg, source = pydicom.dcmread(path), pydicom.dcmread(tmp_path / "series" / "0000.dcm")
    assert str(seg.PatientName) == name
    assert seg.PatientName.original_string == source.PatientName.original_string


@pytest.mark.parametrize(
    ("encoding", "declared"), [("utf-8", "ISO_IR 192"), ("latin-1", "ISO_IR 100")]
)
def test_an_undeclared_character_set_is_named(tmp_path: Path, encoding: str, declared: str) -> None:
    name = "Müller^Anna"
    volume = series(tmp_path, set_name(None, name.encode(encoding)))
    seg = pydicom.dcmread(save(tmp_path, [blob(SHAPE)], volume))
    assert seg.SpecificCharacterSet == declared
    assert str(seg.PatientName) == name


@pytest.mark.parametrize(("written", "kept"), [("F", "F"), ("O", "O"), ("U", "")])
def test_an_unknown_sex_is_left_empty(tmp_path: Path, written: str, kept: str) -> None:
    def edit(dataset: Dataset, _: int) -> None:
        dataset.PatientSex = written

    assert pydicom.dcmread(save(tmp_path, [blob(SHAPE)], series(tmp_path, edit))).PatientSex == kept


def test_headers_that_cannot_be_written_are_refused_before_inference(
    tmp_path: Path,
) -> None:
    volume = series(tmp_path)
    for header in volume.headers:
        del header.StudyDate
    with pytest.raises(SeriesRefusedError) as caught:
        preflight_seg(volume, [volume], make_origin(make_profile()))
    assert caught.value.code == "header-unusable"


def test_measurements_in_memory_and_from_the_file_agree(tmp_path: Path) -> None:
    affine = PLACES["oblique"]
    volume = series(tmp_path, affine=affine)
    profile = make_profile(segments=2)
    single = np.zeros(SHAPE, dtype=np.uint8)
    single[3, 4, 5] = 1
    masks = [blob(SHAPE), single]
    path = save(tmp_path, masks, volume, make_origin(profile))
    measured = measure_masks(masks, volume.affine, profile.segments)
    assert measure_seg(path) == measured
    assert measured[0].volume_ml == pytest.approx(
        blob(SHAPE).sum() * 0.8 * 0.8 * 2.5 / 1000, abs=1e-4
    )
    assert measured[1].longest_diameter_mm == 0.0
    assert [item.label for item in measured] == ["Lesion 1", "Lesion 2"]


def test_the_diameter_is_in_millimetres_along_the_slices(tmp_path: Path) -> None:
    volume = series(tmp_path, affine=make_affine("sagittal", spacing=(0.5, 0.5, 4.0)))
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[1, 3, 3] = mask[5, 3, 3] = 1
    (measured,) = measure_seg(save(tmp_path, [mask], volume))
    assert measured.longest_diameter_mm == 16.0


@pytest.mark.parametrize("read", [describe_seg, measure_seg])
@pytest.mark.parametrize("content", [b"", b"no DICOM", b"\0" * 128 + b"DICM"])
def test_a_damaged_seg_is_refused(
    tmp_path: Path, read: Callable[[Path], object], content: bytes
) -> None:
    path = tmp_path / "seg.dcm"
    path.write_bytes(content)
    with pytest.raises(PermanentError) as caught:
        read(path)
    assert caught.value.code == "seg-unreadable"


def test_a_cut_seg_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, [blob(SHAPE)], series(tmp_path))
    path.write_bytes(path.read_bytes()[:-150])
    with pytest.raises(PermanentError) as caught:
        measure_seg(path)
    assert caught.value.code == "seg-unreadable"


def test_writing_leaves_the_whole_file_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seg = build_seg(
        [blob(SHAPE)], (volume := series(tmp_path)), [volume], make_origin(make_profile())
    )
    path = tmp_path / "out" / "seg.dcm"
    path.parent.mkdir()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("segrelay.system.durable.os.fsync", full)
        with pytest.raises(LocalDiskError):
            write_dataset(seg, path)
    assert list(path.parent.iterdir()) == []
    stored = write_dataset(seg, path)
    assert [item.name for item in path.parent.iterdir()] == ["seg.dcm"]
    assert stored.size_bytes == path.stat().st_size


def test_warming_up_needs_nothing() -> None:
    warm_up_seg_writer()
