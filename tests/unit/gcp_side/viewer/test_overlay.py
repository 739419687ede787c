"""A SEG as labels, measures and palette PNGs: against masks that the test made itself."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User
from highdicom.color import CIELabColor
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from rest_framework.test import APIClient

from gcp_side.labseg.dicom.colour import srgb_of_cielab
from gcp_side.labseg.dicom.segmentation import read_segmentation
from gcp_side.labseg.errors import SegmentationUnreadableError
from gcp_side.labseg.viewer.overlay import Overlay, make_overlay
from gcp_side.labseg.viewer.volumes import load_geometry
from tests.support.dicom.dicom_series import make_affine
from tests.unit.gcp_side.fakes import (
    SEG_ID,
    FakeOrthanc,
    Grid,
    MadeFrame,
    as_file,
    seg_dataset,
    series_id,
)

GRID = Grid(slices=6, rows=7, columns=11)
ROOT = "/api/mri/segmentation"


def stored(frames: list[MadeFrame], *, described: bool = True) -> FakeOrthanc:
    """A series on :data:`GRID` and a SEG of ``frames`` on it."""
    seg = seg_dataset(GRID, frames)
    if described:
        seg.SegmentSequence = [_segment(n) for n in sorted({frame.segment for frame in frames})]
    fake = FakeOrthanc(files={SEG_ID: as_file(seg)} | _images())
    fake.slices |= GRID.places([3, 0, 5, 1, 4, 2])
    return fake


def _segment(number: int) -> Dataset:
    item = Dataset()
    item.SegmentNumber, item.SegmentLabel = number, f"segment {number}"
    item.RecommendedDisplayCIELabValue = list(CIELabColor.from_rgb(10 * number, 200, 30).value)
    return item


def _images() -> dict[str, bytes]:
    from gcp_side.labseg.orthanc.client import orthanc_id
    from tests.support.dicom.dicom_series import make_instance

    files = {}
    for index in range(GRID.slices):
        image = make_instance(
            np.zeros((GRID.rows, GRID.columns), np.uint16), make_affine(), index, GRID.slices
        )
        image.SOPInstanceUID = GRID.sop_uid(index)
        files[orthanc_id(GRID.sop_uid(index))] = as_file(image)
    return files


def laid(fake: FakeOrthanc) -> Overlay:
    seg = read_segmentation(fake.files[SEG_ID])
    return make_overlay(seg, series_id(0), load_geometry(series_id(0), fake))


def whole(overlay: Overlay) -> NDArray[np.uint8]:
    volume = np.zeros(overlay.shape, np.uint8)
    slices, rows, columns = overlay.box
    for index in range(*slices):
        volume[index, slice(*rows), slice(*columns)] = overlay.labels(index)
    return volume


@given(
    chosen=st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, GRID.slices - 1)),
        min_size=1,
        max_size=8,
        unique=True,
    ),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=40)
def test_labels_are_the_masks_with_the_highest_number_on_top(
    chosen: list[tuple[int, int]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    frames = [
        MadeFrame(segment=segment, index=index, mask=rng.random((GRID.rows, GRID.columns)) < 0.2)
        for segment, index in chosen
    ]
    expected = np.zeros((GRID.slices, GRID.rows, GRID.columns), np.uint8)
    voxels = dict.fromkeys((segment for segment, _ in chosen), 0)
    for frame in sorted(frames, key=lambda item: item.segment):
        expected[frame.index][frame.mask] = frame.segment
        voxels[frame.segment] += int(frame.mask.sum())
    overlay = laid(stored(frames))
    np.testing.assert_array_equal(whole(overlay), expected)
    assert {item["number"]: item["voxels"] for item in overlay.segments} == voxels
    assert list(overlay.slices) == np.flatnonzero(expected.any(axis=(1, 2))).tolist()
    assert (overlay.centre is None) == (not expected.any())
    for index in range(GRID.slices):
        png = Image.open(BytesIO(overlay.png(index)))
        assert (png.mode, png.info["transparency"]) == ("P", 0)
        np.testing.assert_array_equal(np.asarray(png), expected[index])


def box_frame(segment: int, index: int) -> MadeFrame:
    mask = np.zeros((GRID.rows, GRID.columns), bool)
    mask[2:5, 3:9] = True
    return MadeFrame(segment=segment, index=index, mask=mask)


def test_measures_colours_and_centre() -> None:
    overlay = laid(stored([box_frame(1, 2), box_frame(1, 3)]))
    (segment,) = overlay.segments
    # The image's Pixel Spacing is 0.8 x 0.8 mm, the slices of the grid lie 2.5 mm apart.
    assert segment["volume_ml"] == pytest.approx(36 * 0.8 * 0.8 * 2.5 / 1000)
    longest = np.sqrt((5 * 0.8) ** 2 + (2 * 0.8) ** 2 + 2.5**2)
    assert segment["longest_diameter_mm"] == pytest.approx(longest, abs=5e-3)
    assert (segment["label"], segment["colour"]) == ("segment 1", [10, 200, 30])
    assert overlay.centre is not None
    assert overlay.centre[0] == 2
    assert whole(overlay)[overlay.centre] == 1


def test_a_segment_that_nothing_describes_has_a_colour_all_the_same() -> None:
    overlay = laid(stored([box_frame(2, 0)], described=False))
    assert [(item["number"], item["label"]) for item in overlay.segments] == [(2, "")]
    assert len(overlay.segments[0]["colour"]) == 3


def test_segment_numbers_that_no_label_holds_are_refused() -> None:
    with pytest.raises(SegmentationUnreadableError) as caught:
        laid(stored([box_frame(256, 0)], described=False))
    assert caught.value.code == "too-many-segments"


@given(colour=st.tuples(*[st.integers(0, 255)] * 3))
def test_a_colour_comes_back_as_it_was_given(colour: tuple[int, int, int]) -> None:
    back = srgb_of_cielab(CIELabColor.from_rgb(*colour).value)
    assert max(abs(a - b) for a, b in zip(back, colour, strict=True)) <= 1


@pytest.fixture
def client(db: None) -> APIClient:
    client = APIClient()
    client.force_authenticate(User.objects.create_superuser("radiologist"))
    return client


@pytest.fixture
def site(orthanc: FakeOrthanc) -> FakeOrthanc:
    """The site's Orthanc holds the series and a SEG of two slices."""
    fake = stored([box_frame(1, 2), box_frame(1, 3)])
    orthanc.files |= fake.files
    orthanc.slices |= fake.slices
    return orthanc


def test_the_endpoints_and_their_size(client: APIClient, site: FakeOrthanc) -> None:
    answer: Any = client.get(f"{ROOT}/instances/{SEG_ID}/overlay/")
    body = answer.json()
    assert body["series_id"] == series_id(0)
    assert body["box"] == [[2, 4], [2, 5], [3, 9]]
    labels: Any = client.get(body["labels_url"])
    assert labels.content == bytes([1]) * 36
    packed: Any = client.get(body["labels_url"], headers={"Accept-Encoding": "gzip"})
    assert packed["Content-Encoding"] == "gzip"
    assert len(packed.content) + len(answer.content) < 15 * 1024
    png: Any = client.get(f"{ROOT}/instances/{SEG_ID}/overlay/2.png", headers={"Accept": "image/*"})
    assert png["Content-Type"] == "image/png"
    assert client.get(f"{ROOT}/instances/{SEG_ID}/overlay/6.png").status_code == 404


def test_voxels_with_shape_type_and_tag(client: APIClient, site: FakeOrthanc) -> None:
    geometry: Any = client.get(f"{ROOT}/series/{series_id(0)}/geometry/")
    assert json.loads(geometry.content)["shape"] == [6, 7, 11]
    address = f"{ROOT}/series/{series_id(0)}/volume/"
    plain: Any = client.get(address)
    assert (plain["X-Shape"], plain["X-Dtype"], len(plain.content)) == ("6,7,11", "uint16", 924)
    assert "private" in plain["Cache-Control"]
    again = client.get(address, headers={"If-None-Match": plain["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    one: Any = client.get(f"{ROOT}/series/{series_id(0)}/slices/5/")
    assert (one["X-Shape"], len(one.content)) == ("7,11", 154)
    assert client.get(f"{ROOT}/series/{series_id(0)}/slices/6/").status_code == 404


@pytest.mark.parametrize("address", ["geometry", "volume", "slices/0"])
def test_nobody_reads_images_without_a_login(address: str) -> None:
    assert APIClient().get(f"{ROOT}/series/{series_id(0)}/{address}/").status_code in (401, 403)
