"""The viewer's geometry and pixels, module by module, against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Page

from infra.phantom.grid import AXIAL, CORONAL, SAGITTAL, rotation
from tests.conftest import SEED

pytestmark = pytest.mark.django_db(transaction=True)

Affine = npt.NDArray[np.float64]

SHAPE = (7, 9, 11)
"""Slices, rows, columns: all different."""

SCREEN = {"axial": (0, 1, 1), "coronal": (0, 2, -1), "sagittal": (1, 2, -1)}
"""Of a plane: which axis of Left, Posterior, Superior runs to the right, which down, and how."""

ORIENTATIONS = (AXIAL, SAGITTAL, CORONAL)


@pytest.fixture
def modules(page: Page) -> Page:
    """A page of the site, from which its modules can be imported."""
    page.goto("/segmentation/")
    return page


def run(page: Page, script: str, **values: Any) -> Any:
    """What a script answers to whom ``geometry``, ``render`` and ``v`` are known."""
    return page.evaluate(
        "async (v) => {"
        "const geometry = await import('/static/labseg/geometry.js');"
        "const render = await import('/static/labseg/render.js');"
        f"{script} }}",
        values,
    )


def affines() -> list[Affine]:
    """Of every orientation, turned a little, flipped, with different spacings."""
    rng = np.random.default_rng(SEED)
    made = []
    for direction in ORIENTATIONS:
        for flips in ((1, 1, 1), (-1, 1, 1), (1, -1, -1)):
            turned = direction.copy()
            for axis in range(3):
                turned = rotation(axis, rng.uniform(-20, 20)) @ turned
            affine = np.eye(4)
            affine[:3, :3] = turned * rng.uniform(0.5, 4, 3) * flips
            affine[:3, 3] = rng.uniform(-200, 200, 3)
            made.append(affine)
    return made


def flat(affine: Affine) -> list[float]:
    return [float(value) for value in affine.ravel()]


def test_the_inverse_of_an_affine(modules: Page) -> None:
    for affine in affines():
        found = run(modules, "return geometry.inverse(v.affine);", affine=flat(affine))
        assert np.array(found).reshape(4, 4) == pytest.approx(np.linalg.inv(affine), abs=1e-6)


def test_the_frame_of_a_series_grows_to_left_back_and_head(modules: Page) -> None:
    for affine in affines():
        frame = run(
            modules,
            "return geometry.makeFrame({ shape: v.shape, affine: v.affine });",
            shape=SHAPE,
            affine=flat(affine),
        )
        matrix = np.array(frame["matrix"]).reshape(4, 4)
        assert (np.abs(matrix[:3, :3]).argmax(axis=0) == [0, 1, 2]).all()
        assert (np.diag(matrix) > 0).all()
        counts = [frame["axes"][name]["count"] for name in "LPS"]
        assert places(matrix, counts) == pytest.approx(places(affine, SHAPE[::-1]), abs=1e-6)


def places(affine: Affine, counts: Any) -> npt.NDArray[np.float64]:
    """Every voxel's centre, in an order that is the same for every way of counting."""
    index = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), -1).reshape(-1, 3)
    found = index @ affine[:3, :3].T + affine[:3, 3]
    return found[np.lexsort(np.round(found, 6).T)]


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_an_image_is_interpolated_where_it_lies(modules: Page, plane: str) -> None:
    slope = np.array([1.5, -2.0, 3.0])
    for affine in affines()[::2]:
        index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1)[..., ::-1]
        # Linear in space: linear interpolation is exact.
        values = (index @ affine[:3, :3].T + affine[:3, 3]) @ slope
        raster, shown = run(
            modules,
            """
            const frame = geometry.makeFrame({ shape: v.shape, affine: v.affine });
            const raster = geometry.planeRaster(frame, v.plane, [3, 4, 3], 0.7);
            const data = Float64Array.from(v.data);
            const image = { data, shape: v.shape, affine: v.affine };
            return [raster, Array.from(render.sampleImage(image, raster))];
            """,
            shape=SHAPE,
            affine=flat(affine),
            plane=plane,
            data=[float(value) for value in values.ravel()],
        )
        found = np.array(shown, float).reshape(raster["height"], raster["width"])
        x, y = np.meshgrid(np.arange(raster["width"]), np.arange(raster["height"]))
        world = (
            np.array(raster["origin"]) + x[..., None] * raster["du"] + y[..., None] * raster["dv"]
        )
        voxel = (world - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
        inside = ((voxel >= 0) & (voxel <= np.array(SHAPE[::-1]) - 1)).all(axis=-1)
        assert inside.sum() > 10
        assert found[inside] == pytest.approx((world @ slope)[inside], abs=0.05)
        right, down, towards = SCREEN[plane]
        assert raster["du"][right] > 0
        assert raster["dv"][down] * towards > 0


def test_nothing_is_shown_outside_of_a_volume(modules: Page) -> None:
    shown = run(
        modules,
        """
        const image = { data: new Uint16Array(8).fill(5), shape: [2, 2, 2], affine: v.affine };
        const raster = { width: 4, height: 1, origin: [-1, 0, 0], du: [1, 0, 0], dv: [0, 1, 0] };
        return Array.from(render.sampleImage(image, raster)).map(Number.isNaN);
        """,
        affine=flat(np.eye(4)),
    )
    assert shown == [True, False, False, True]


def test_labels_of_a_box_within_a_volume(modules: Page) -> None:
    rng = np.random.default_rng(SEED)
    box = [[2, 5], [1, 8], [3, 9]]
    sides = [high - low for low, high in box]
    labels = rng.integers(0, 3, sides)
    whole = np.zeros(SHAPE, int)
    whole[tuple(slice(*side) for side in box)] = labels
    shown = run(
        modules,
        """
        const overlay = { data: Uint8Array.from(v.data), box: v.box, affine: v.affine };
        const raster = { width: 11, height: 9, origin: [0, 0, 3], du: [1, 0, 0], dv: [0, 1, 0] };
        return Array.from(render.sampleLabels(overlay, raster));
        """,
        data=[int(value) for value in labels.ravel()],
        box=box,
        affine=flat(np.eye(4)),
    )
    assert (np.array(shown).reshape(SHAPE[1:]) == whole[3]).all()


def test_an_outline_has_every_edge_once(modules: Page) -> None:
    mask = np.random.default_rng(SEED).random((12, 15)) < 0.4
    edges = run(
        modules,
        "return render.outline(Uint8Array.from(v.mask), 15, 12, 1);",
        mask=[int(value) for value in mask.ravel()],
    )
    framed = np.pad(mask, 1).astype(int)
    assert len(edges) == sum(int(np.abs(np.diff(framed, axis=axis)).sum()) for axis in (0, 1))
    assert len({tuple(edge) for edge in edges}) == len(edges)


def test_a_window_makes_grey_of_values(modules: Page) -> None:
    shown = run(
        modules,
        """
        const rgba = new Uint8ClampedArray(16);
        render.windowed(Float32Array.of(-5, 0, 50, 900), 0, 100, rgba);
        return Array.from(rgba);
        """,
    )
    assert shown == [0, 0, 0, 255, 0, 0, 0, 255, 127, 127, 127, 255, 255, 255, 255, 255]


def test_a_bright_voxel_in_the_projection(modules: Page) -> None:
    for affine in affines()[::3]:
        shot, axes, world = run(
            modules,
            """
            const [depth, rows, columns] = v.shape;
            const data = new Uint16Array(depth * rows * columns).fill(1);
            data[(2 * rows + 3) * columns + 4] = 1000;
            const axes = render.viewAxes(20, 15);
            const shot = render.projection({ data, shape: v.shape, affine: v.affine }, axes);
            const found = { ...shot, at: shot.values.indexOf(1000), values: null };
            return [found, axes, geometry.toWorld(v.affine, [4, 3, 2])];
            """,
            shape=SHAPE,
            affine=flat(affine),
        )
        off = np.array(world) - shot["centre"]
        wanted = np.array([off @ axes["right"], off @ axes["down"]]) / shot["pitch"]
        row, column = divmod(shot["at"], shot["size"])
        assert np.array([column, row]) == pytest.approx(wanted + shot["size"] / 2, abs=1.01)


def test_a_projection_shows_what_is_brighter_than_the_body(modules: Page) -> None:
    body, vessels = [100.0] * 900, [400.0] * 50
    low, high = run(
        modules,
        "return render.brightRange(Float32Array.from(v.values));",
        values=[0.0] * 5000 + body + vessels,
    )
    assert 0 < low < 100 < high == 400
    assert run(modules, "return render.brightRange(new Float32Array(9));") == [0, 1]


def test_sides_and_lengths_as_people_say_them(modules: Page) -> None:
    sides, lengths = run(
        modules,
        """
        const sides = v.directions.map(geometry.sideLetters);
        return [sides, [0.9, 7, 23, 60].map(geometry.roundLength)];
        """,
        directions=[[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0.2, -0.6, -0.77]],
    )
    assert sides == ["L", "R", "P", "A", "H", "FA"]
    assert lengths == [0.5, 5, 20, 50]
