"""What a pane of the viewer shows, compared with a mask.

A pane shows one plane of the series on which the SEG was made, or of that series' grid: centred,
96 % of the room along one side, heads up, the patient's left on the right.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image
from playwright.sync_api import Page

from tests.browser.studies import KnownSeg
from tests.support.dicom.seg_study import BoolArray

PLANES = ("axial", "coronal", "sagittal")
FILLED = 0.96
EDGE_PX = 0.6
"""A pixel is drawn where its centre lies in a voxel; a little more, for rounding."""

_DRAWN = """
  // What was asked for is drawn with the next frame, and a new size is seen before it.
  for (let n = 0; n < 3; n++) await new Promise(requestAnimationFrame);
"""

_PICTURE = """
  const picture = (pane, layer) => [
    Number(pane.dataset.slice), pane.dataset.plane,
    pane.querySelector(`canvas.${layer}`).toDataURL(),
  ];
"""

_READ = (
    "async ([index, layer]) => {"
    + _DRAWN
    + _PICTURE
    + "return picture(document.querySelectorAll('.pane')[index], layer); }"
)

_SCROLL = (
    "async ([first, last]) => {"
    + _PICTURE
    + """
  const pane = document.querySelector(".pane");
  const press = async (key) => {
    pane.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    await new Promise(requestAnimationFrame);
  };
  pane.focus();
  while (Number(pane.dataset.slice) > first) await press("ArrowUp");
  const pictures = [];
  for (let slice = first; slice <= last; slice++) {
    pictures.push(picture(pane, "layer"));
    await press("ArrowDown");
  }
  return pictures;
}"""
)


@dataclass(frozen=True)
class Shown:
    """One canvas of a pane."""

    slice: int
    plane: str
    pixels: npt.NDArray[np.uint8]
    """[height, width, 4], red, green, blue, opacity."""

    @property
    def covered(self) -> BoolArray:
        """[height, width]: where anything is drawn."""
        drawn: BoolArray = self.pixels[..., 3] > 0
        return drawn


@dataclass(frozen=True)
class PlaneStack:
    """A mask as the slices of one plane, as they are shown."""

    slices: BoolArray
    """[slices, height, width]."""
    spacing: tuple[float, float]
    """mm between rows, between columns."""

    @property
    def with_voxels(self) -> npt.NDArray[np.intp]:
        """Indices of slices that show any of it."""
        return np.flatnonzero(self.slices.any(axis=(1, 2)))


def wait_drawn(page: Page) -> None:
    """Wait until what was asked for is on the canvases."""
    page.evaluate("async () => {" + _DRAWN + "}")


def read(page: Page, pane: int = 0, layer: str = "layer") -> Shown:
    """The canvas ``layer`` (the overlay) or ``image`` of a pane."""
    return _shown(*page.evaluate(_READ, [pane, layer]))


def scroll(page: Page, first: int, last: int) -> list[Shown]:
    """The first pane's overlay on each of these slices; it shows one of them, or a later one."""
    return [_shown(*found) for found in page.evaluate(_SCROLL, [first, last])]


def _shown(index: int, plane: str, address: str) -> Shown:
    picture = Image.open(BytesIO(base64.b64decode(address.partition(",")[2])))
    return Shown(index, plane, np.array(picture.convert("RGBA")))


def stack(known: KnownSeg, plane: str) -> PlaneStack:
    """The mask by slices of a plane, along the axes of its series."""
    directions = known.affine[:3, :3]
    spacing = np.linalg.norm(directions, axis=0)
    # Which axis of [columns, rows, slices] runs most along Left, Posterior, Superior.
    nearest = np.abs(directions / spacing).argmax(axis=1)
    assert sorted(nearest) == [0, 1, 2]
    grown = known.mask.transpose(2, 1, 0)
    for axis, own in enumerate(nearest):
        if directions[axis, own] < 0:
            grown = np.flip(grown, own)
    lps = grown.transpose(nearest)
    left, posterior, superior = spacing[nearest]
    if plane == "axial":
        return PlaneStack(lps.transpose(2, 1, 0), (posterior, left))
    if plane == "coronal":
        return PlaneStack(lps.transpose(1, 2, 0)[:, ::-1], (superior, left))
    return PlaneStack(lps.transpose(0, 2, 1)[:, ::-1], (superior, posterior))


def share_covered(shown: BoolArray, truth: BoolArray, spacing: tuple[float, float]) -> float:
    """How much of the truth's pixels lie under what is shown; 1 where there is no truth."""
    top, left, height, width = _placed(shown.shape, truth.shape, spacing)
    y = (top + (np.arange(truth.shape[0]) + 0.5) * height).astype(int)
    x = (left + (np.arange(truth.shape[1]) + 0.5) * width).astype(int)
    return float(shown[np.ix_(y, x)][truth].mean()) if truth.any() else 1.0


def strays(shown: BoolArray, truth: BoolArray, spacing: tuple[float, float]) -> int:
    """How many of the canvas's drawn pixels touch no pixel of the truth."""
    top, left, height, width = _placed(shown.shape, truth.shape, spacing)
    y, x = np.nonzero(shown)
    touches = np.zeros(len(y), bool)
    for down in (-EDGE_PX, EDGE_PX):
        for right in (-EDGE_PX, EDGE_PX):
            row = np.floor((y + 0.5 + down - top) / height).astype(int)
            column = np.floor((x + 0.5 + right - left) / width).astype(int)
            inside = (row >= 0) & (row < truth.shape[0])
            inside &= (column >= 0) & (column < truth.shape[1])
            touches[inside] |= truth[row[inside], column[inside]]
    return int((~touches).sum())


def _placed(
    canvas: tuple[int, ...], raster: tuple[int, ...], spacing: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Where a raster lies on the canvas: its top and left, height and width of one pixel."""
    height_mm, width_mm = raster[0] * spacing[0], raster[1] * spacing[1]
    factor = FILLED * min(canvas[0] / height_mm, canvas[1] / width_mm)
    top = (canvas[0] - height_mm * factor) / 2
    left = (canvas[1] - width_mm * factor) / 2
    return top, left, spacing[0] * factor, spacing[1] * factor
