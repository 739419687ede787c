"""The viewer's endpoints against a real Orthanc, read beside SimpleITK and highdicom."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK
from numpy.typing import NDArray
from PIL import Image
from pydantic import SecretStr
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pack_bits
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid
from rest_framework.test import APIClient

from gcp_side.labseg.orthanc.client import orthanc_id
from infra.servers.orthanc import OrthancServer
from segrelay.orthanc import OrthancClient, OrthancSettings
from tests.conftest import SEED
from tests.support.dicom.dicom_series import ORIENTATIONS, make_affine, rotation, write_series
from tests.support.dicom.enhanced_series import write_enhanced
from tests.support.servers.orthanc import orthanc  # noqa: F401
from tests.support.site.at_orthanc import site_at_orthanc  # noqa: F401
from tests.unit.gcp_side.fakes import radiologist

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = "/api/mri/segmentation"
SHAPE = (6, 9, 13)
"""Slices, rows, columns: neither a row nor a frame fills whole bytes of bits."""

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Stored:
    """A series in Orthanc."""

    series: str
    files: list[Path]
    """By rising distance along the normal."""
    voxels: NDArray[np.uint16]
    """[slices, rows, columns] in that order."""

    @property
    def sources(self) -> list[Dataset]:
        """The same, read."""
        return [pydicom.dcmread(path) for path in self.files]


@pytest.fixture
def lab(orthanc: OrthancServer) -> Iterator[OrthancClient]:  # noqa: F811
    client = OrthancClient(
        OrthancSettings(url=orthanc.url, user=orthanc.user, password=SecretStr(orthanc.password))
    )
    yield client
    client.close()


@pytest.fixture
def client() -> APIClient:
    client = APIClient()
    client.force_authenticate(radiologist())
    return client


def store(lab: OrthancClient, folder: Path, affine: NDArray[np.float64] | None = None) -> Stored:
    """A series of random voxels, sent in an order that means nothing."""
    rng = np.random.default_rng(SEED)
    voxels = rng.integers(0, 4000, SHAPE, dtype=np.uint16)
    affine = make_affine(tilt=rotation(8, -5, 3)) if affine is None else affine
    paths = write_series(
        folder,
        voxels,
        affine,
        study_uid=generate_uid(),
        series_uid=generate_uid(),
        frame_of_reference_uid=generate_uid(),
    )
    replies = [lab.upload(path.read_bytes()) for path in paths]
    # Files are named along the stack, which may go against the normal of its slices.
    order = np.linalg.det(affine[:3, :3]) > 0
    ascending = sorted(paths) if order else sorted(paths, reverse=True)
    return Stored(replies[0].orthanc_series_id, ascending, voxels if order else voxels[::-1])


def store_enhanced(lab: OrthancClient, folder: Path, affine: NDArray[np.float64]) -> Stored:
    """The same as one enhanced instance; its frames in an order that means nothing."""
    rng = np.random.default_rng(SEED)
    voxels = rng.integers(0, 4000, SHAPE, dtype=np.uint16)

    def rename(instance: Dataset) -> None:
        instance.StudyInstanceUID = generate_uid()

    (path,) = write_enhanced(folder, voxels, affine, series_uid=generate_uid(), edit=rename)
    reply = lab.upload(path.read_bytes())
    order = np.linalg.det(affine[:3, :3]) > 0
    return Stored(reply.orthanc_series_id, [path], voxels if order else voxels[::-1])


def in_frame_order(stored: Stored, slices: NDArray[Any]) -> NDArray[Any]:
    """What belongs to the slices by rising distance, in the order of the frames."""
    (source,) = stored.sources
    groups = source.PerFrameFunctionalGroupsSequence
    cosines = source.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    row, column = np.split(np.array(cosines.ImageOrientationPatient, float), 2)
    places = [group.PlanePositionSequence[0].ImagePositionPatient for group in groups]
    distance = np.array(places, float) @ np.cross(row, column)
    return slices[np.argsort(np.argsort(distance))]


def get(client: APIClient, path: str, **more: Any) -> Any:
    """A successful answer."""
    answer: Any = client.get(f"{ROOT}/{path}", **more)
    assert answer.status_code == 200, answer.content
    return answer


def voxels_of(answer: Any) -> NDArray[Any]:
    shape = [int(size) for size in answer["X-Shape"].split(",")]
    data = answer.content
    if answer.get("Content-Encoding") == "gzip":
        data = gzip.decompress(data)
    return np.frombuffer(data, np.dtype(answer["X-Dtype"]).newbyteorder("<")).reshape(shape)


@pytest.mark.parametrize("orientation", sorted(ORIENTATIONS))
def test_every_voxel_is_where_simpleitk_has_it(
    client: APIClient, lab: OrthancClient, tmp_path: Path, orientation: str
) -> None:
    stored = store(lab, tmp_path / "s", make_affine(orientation, tilt=rotation(6, 4, -9)))
    told = get(client, f"series/{stored.series}/geometry/").json()
    volume = voxels_of(get(client, f"series/{stored.series}/volume/"))
    assert (told["shape"], told["dtype"]) == (list(SHAPE), "uint16")
    np.testing.assert_array_equal(volume, stored.voxels)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "s")))
    image = reader.Execute()
    affine = np.array(told["affine"]).reshape(4, 4)
    for place in np.ndindex(SHAPE):
        world = (affine @ [*place[::-1], 1])[:3]
        index = image.TransformPhysicalPointToContinuousIndex(world.tolist())
        np.testing.assert_allclose(index, np.rint(index), atol=2e-3)
        assert image[[round(value) for value in index]] == volume[place]


def test_a_slice_is_that_of_the_volume_and_of_its_instance(
    client: APIClient, lab: OrthancClient, tmp_path: Path
) -> None:
    stored = store(lab, tmp_path / "s")
    told = get(client, f"series/{stored.series}/geometry/").json()
    for index, source in enumerate(stored.sources):
        found = voxels_of(get(client, f"series/{stored.series}/slices/{index}/"))
        np.testing.assert_array_equal(found, source.pixel_array)
        instance = pydicom.dcmread(BytesIO(lab.instance_file(told["instances"][index])))
        assert instance.SOPInstanceUID == source.SOPInstanceUID
    missing: Any = client.get(f"{ROOT}/series/{stored.series}/slices/{SHAPE[0]}/")
    assert (missing.status_code, missing.json()["code"]) == (404, "no-such-slice")


def test_voxels_are_asked_for_again_only_when_an_instance_changed(
    client: APIClient, lab: OrthancClient, tmp_path: Path
) -> None:
    stored = store(lab, tmp_path / "s")
    path = f"{ROOT}/series/{stored.series}/volume/"
    plain: Any = client.get(path)
    packed: Any = client.get(path, HTTP_ACCEPT_ENCODING="gzip")
    assert packed["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.content) == plain.content
    assert plain["ETag"] != packed["ETag"]
    for answer, encoding in ((plain, ""), (packed, "gzip")):
        asked = {"HTTP_IF_NONE_MATCH": answer["ETag"], "HTTP_ACCEPT_ENCODING": encoding}
        again: Any = client.get(path, **asked)
        assert (again.status_code, again.content) == (304, b"")
        for header in ("ETag", "Cache-Control", "Vary"):
            assert again[header] == answer[header]
        assert "private" in answer["Cache-Control"]
    last = get(client, f"series/{stored.series}/geometry/").json()["instances"][-1]
    lab.delete_instance(last)
    changed: Any = client.get(path, HTTP_IF_NONE_MATCH=plain["ETag"])
    assert (changed.status_code, changed["X-Shape"]) == (200, "5,9,13")
    assert changed["ETag"] != plain["ETag"]
    middle = get(client, f"series/{stored.series}/geometry/").json()["instances"][2]
    lab.delete_instance(middle)
    refused: Any = client.get(path, HTTP_IF_NONE_MATCH=changed["ETag"])
    assert (refused.status_code, refused.json()["code"]) == (400, "uneven-spacing")


@pytest.mark.parametrize("orientation", ["axial", "sagittal-left-to-right", "coronal"])
def test_an_enhanced_series_is_shown_as_the_classic_one(
    client: APIClient, lab: OrthancClient, tmp_path: Path, orientation: str
) -> None:
    affine = make_affine(orientation, tilt=rotation(6, 4, -9))
    classic = store(lab, tmp_path / "c", affine)
    enhanced = store_enhanced(lab, tmp_path / "e", affine)
    one, other = (
        get(client, f"series/{stored.series}/geometry/").json() for stored in (classic, enhanced)
    )
    for key in ("shape", "dtype", "slope", "intercept", "window"):
        assert one[key] == other[key]
    np.testing.assert_allclose(other["affine"], one["affine"], atol=1e-6)
    for index in (4, 0):
        found = voxels_of(get(client, f"series/{enhanced.series}/slices/{index}/"))
        np.testing.assert_array_equal(found, enhanced.voxels[index])
    volume = voxels_of(get(client, f"series/{enhanced.series}/volume/"))
    np.testing.assert_array_equal(volume, enhanced.voxels)
    np.testing.assert_array_equal(volume, classic.voxels)
    study = get(client, f"studies/{lab.series(enhanced.series).study_id}/").json()
    (listed,) = study["series"]
    assert (listed["instances"], listed["images"]) == (1, SHAPE[0])


# Segmentations of others ---------------------------------------------------------------


def lesions() -> Labels:
    """[slices, rows, columns]: 1 and 2, several slices without either."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:4, 2:8, 3:12] = 1
    labels[2:5, 4:6, 5:13] = 2
    return labels


def describe(number: int) -> hd.seg.SegmentDescription:
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=f"Segment {number}",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Neoplasm,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
    )


def make_seg(
    stored: Stored, pixels: NDArray[Any], kind: str = "BINARY", *, segments: int = 2
) -> Dataset:
    """By highdicom, frames without a voxel left out."""
    return hd.seg.Segmentation(
        source_images=stored.sources,
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=[describe(number + 1) for number in range(segments)],
        series_instance_uid=generate_uid(),
        series_number=900,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="Another",
        manufacturer_model_name="tool",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=True,
    )


def shuffled(seg: Dataset) -> None:
    """Frames in another order."""
    groups, frames = list(seg.PerFrameFunctionalGroupsSequence), seg.pixel_array
    order = np.random.default_rng(SEED).permutation(len(groups))
    seg.PerFrameFunctionalGroupsSequence = [groups[index] for index in order]
    seg.PixelData = pack_bits(frames[order].astype(np.uint8).ravel(), pad=True)


def without_sources(seg: Dataset) -> None:
    """Frames that are placed by their position alone."""
    for group in seg.PerFrameFunctionalGroupsSequence:
        del group.DerivationImageSequence


def without_positions(seg: Dataset) -> None:
    """Frames that are placed by their source image alone."""
    for group in seg.PerFrameFunctionalGroupsSequence:
        del group.PlanePositionSequence


def with_marks(seg: Dataset) -> None:
    """Sequences that end with a mark, as DCMTK writes them."""
    for element in seg:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
                with_marks(item)


def unchanged(seg: Dataset) -> None:
    """As highdicom made it."""


def send(lab: OrthancClient, seg: Dataset) -> str:
    buffer = BytesIO()
    seg.save_as(buffer, enforce_file_format=True)
    return lab.upload(buffer.getvalue()).orthanc_id


def labels_of(client: APIClient, seg_id: str) -> tuple[Any, Labels]:
    """The overlay's description, and its labels on the whole series."""
    told = get(client, f"instances/{seg_id}/overlay/").json()
    answer = client.get(told["labels_url"])
    box = [slice(*side) for side in told["box"]]
    whole = np.zeros(told["shape"], np.uint8)
    target = whole[tuple(box)]
    target[...] = np.frombuffer(answer.content, np.uint8).reshape(target.shape)
    return told, whole


@pytest.mark.parametrize(
    "change", [unchanged, shuffled, without_sources, without_positions, with_marks]
)
@pytest.mark.parametrize("orientation", ["axial", "sagittal", "coronal-back-to-front"])
def test_a_seg_of_another_tool_lies_on_its_voxels(
    client: APIClient,
    lab: OrthancClient,
    tmp_path: Path,
    change: Callable[[Dataset], None],
    orientation: str,
) -> None:
    stored = store(lab, tmp_path / "s", make_affine(orientation, tilt=rotation(4, 0, 7)))
    expected = lesions()
    seg = make_seg(stored, expected)
    change(seg)
    seg_id = send(lab, seg)
    told, whole = labels_of(client, seg_id)
    assert told["series_id"] == stored.series
    np.testing.assert_array_equal(whole, expected)
    geometry = get(client, f"series/{stored.series}/geometry/").json()
    assert (told["affine"], told["shape"]) == (geometry["affine"], geometry["shape"])
    assert told["slices"] == [1, 2, 3, 4]
    voxel_ml = 0.8 * 0.8 * 2.5 / 1000
    for segment in told["segments"]:
        voxels = int((expected == segment["number"]).sum())
        assert (segment["voxels"], segment["label"]) == (voxels, f"Segment {segment['number']}")
        assert segment["volume_ml"] == pytest.approx(voxels * voxel_ml, rel=1e-4)
    assert (
        whole[tuple(told["centre"])]
        == max(told["segments"], key=lambda segment: segment["voxels"])["number"]
    )


@pytest.mark.parametrize("change", [unchanged, shuffled, without_sources, without_positions])
def test_a_seg_of_an_enhanced_series_lies_on_its_voxels(
    client: APIClient, lab: OrthancClient, tmp_path: Path, change: Callable[[Dataset], None]
) -> None:
    affine = make_affine("sagittal-left-to-right", tilt=rotation(4, 0, 7))
    stored = store_enhanced(lab, tmp_path / "e", affine)
    expected = lesions()
    seg = make_seg(stored, in_frame_order(stored, expected))
    change(seg)
    seg_id = send(lab, seg)
    told, whole = labels_of(client, seg_id)
    assert told["series_id"] == stored.series
    np.testing.assert_array_equal(whole, expected)
    frames = get(client, f"instances/{seg_id}/frames/").json()["frames"]
    assert [frame["index"] for frame in frames] == [1, 2, 3, 4]


def test_every_slice_as_a_palette_png(
    client: APIClient, lab: OrthancClient, tmp_path: Path
) -> None:
    stored = store(lab, tmp_path / "s")
    expected = lesions()
    seg_id = send(lab, make_seg(stored, expected))
    told = get(client, f"instances/{seg_id}/overlay/").json()
    for index in range(SHAPE[0]):
        answer = get(client, f"instances/{seg_id}/overlay/{index}.png", HTTP_ACCEPT="image/png")
        assert answer["Content-Type"] == "image/png"
        image = Image.open(BytesIO(answer.content))
        assert (image.mode, image.info["transparency"]) == ("P", 0)
        # Two bits a pixel: the 25th byte of a PNG is its bit depth.
        assert answer.content[24] == 2
        np.testing.assert_array_equal(np.asarray(image), expected[index])
        palette = np.array(image.getpalette()).reshape(-1, 3)
        for segment in told["segments"]:
            assert palette[segment["number"]].tolist() == segment["colour"]
    beyond: Any = client.get(f"{ROOT}/instances/{seg_id}/overlay/{SHAPE[0]}.png")
    assert (beyond.status_code, beyond.json()["code"]) == (404, "no-such-slice")


def test_a_fractional_seg_is_cut_at_half(
    client: APIClient, lab: OrthancClient, tmp_path: Path
) -> None:
    stored = store(lab, tmp_path / "s")
    shares = np.zeros(SHAPE, np.float32)
    shares[2, 1:4, 2] = [0.2, 0.5, 1.0]
    seg_id = send(lab, make_seg(stored, shares, "FRACTIONAL", segments=1))
    _, whole = labels_of(client, seg_id)
    expected = np.zeros(SHAPE, np.uint8)
    expected[2, 2:4, 2] = 1
    np.testing.assert_array_equal(whole, expected)


def test_an_empty_mask_has_an_empty_box(
    client: APIClient, lab: OrthancClient, tmp_path: Path
) -> None:
    stored = store(lab, tmp_path / "s")
    seg = make_seg(stored, lesions())
    seg.PixelData = bytes(len(seg.PixelData))
    told, whole = labels_of(client, send(lab, seg))
    assert (told["box"], told["slices"], told["centre"]) == ([[0, 0]] * 3, [], None)
    assert not whole.any()
    assert {segment["voxels"] for segment in told["segments"]} == {0}


def shifted(seg: Dataset) -> None:
    """Half a slice off, and no source image to say so."""
    without_sources(seg)
    for group in seg.PerFrameFunctionalGroupsSequence:
        place = group.PlanePositionSequence[0]
        place.ImagePositionPatient = [float(value) + 1 for value in place.ImagePositionPatient]


def as_labelmap(seg: Dataset) -> None:
    seg.SegmentationType = "LABELMAP"


def cut(seg: Dataset) -> None:
    seg.PixelData = seg.PixelData[:10]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (shifted, "not-on-grid"),
        (as_labelmap, "segmentation-type"),
        (cut, "segmentation-broken"),
    ],
)
def test_what_cannot_be_shown_in_its_place_is_refused_with_a_reason(
    client: APIClient,
    lab: OrthancClient,
    tmp_path: Path,
    change: Callable[[Dataset], None],
    code: str,
) -> None:
    stored = store(lab, tmp_path / "s")
    seg = make_seg(stored, lesions())
    change(seg)
    seg_id = send(lab, seg)
    for path in ("overlay/", "labels/", "overlay/1.png", "frames/"):
        answer: Any = client.get(f"{ROOT}/instances/{seg_id}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (400, code)
        assert answer.json()["remedy"]


# Who may, and what is junk -------------------------------------------------------------

ADDRESSES = (
    "series/{series}/geometry/",
    "series/{series}/volume/",
    "series/{series}/slices/0/",
    "instances/{seg}/overlay/",
    "instances/{seg}/labels/",
    "instances/{seg}/overlay/1.png",
)


@pytest.fixture
def addresses(lab: OrthancClient, tmp_path: Path) -> Sequence[str]:
    stored = store(lab, tmp_path / "s")
    seg_id = send(lab, make_seg(stored, lesions()))
    return [path.format(series=stored.series, seg=seg_id) for path in ADDRESSES]


def test_only_who_may_see_jobs_sees_images(client: APIClient, addresses: Sequence[str]) -> None:
    nobody, other = APIClient(), APIClient()
    other.force_authenticate(radiologist("add_job", name="sender"))
    for path in addresses:
        get(client, path)
        for who in (nobody, other):
            answer: Any = who.get(f"{ROOT}/{path}")
            assert (answer.status_code, answer.json()["success"]) == (403, False)
            assert "ETag" not in answer


@pytest.mark.parametrize("junk", ["x", "..", "0" * 44, "%2e%2e%2fsystem", "a b"])
def test_junk_ids_are_refused(client: APIClient, junk: str) -> None:
    for path in ADDRESSES:
        answer: Any = client.get(f"{ROOT}/{path.format(series=junk, seg=junk)}")
        assert answer.status_code in (400, 404)


def test_what_orthanc_has_not_is_said(client: APIClient) -> None:
    for path in ADDRESSES:
        nothing = path.format(series=orthanc_id("no series"), seg=orthanc_id("no seg"))
        answer: Any = client.get(f"{ROOT}/{nothing}")
        code = "series-missing" if path.startswith("series") else "orthanc-not-found"
        assert (answer.status_code, answer.json()["code"]) == (404, code)
