"""The overlay lies where the truth is, in every plane, and on the tumour of every series."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter
from playwright.sync_api import Page, expect

from tests.browser.canvas import (
    PLANES,
    PlaneStack,
    Shown,
    read,
    scroll,
    share_covered,
    stack,
    strays,
)
from tests.browser.conftest import Heard
from tests.browser.steps import (
    choose_plane,
    deliver,
    find,
    open_study,
    send,
    shoot,
    volume,
    wait_loaded,
)
from tests.browser.studies import Stored
from tests.unit.gcp_side.fakes import FakeAgent

pytestmark = pytest.mark.django_db(transaction=True)

LEAST_COVERED = 0.98
LEAST_BRIGHTER = 20
"""Grey levels of 255 by which an enhancing tumour outshines what is around it."""

AROUND_PX = 25


def test_on_axial_series(page: Page, stored: Stored, agent: FakeAgent) -> None:
    (known,) = stored.segs
    open_study(page, stored)
    find(page, agent, known)
    for plane in PLANES:
        check_plane(page, stack(known, plane), plane)


def test_on_sagittal_and_on_oblique_series_of_one_study(
    page: Page, turned: Stored, agent: FakeAgent, heard: Heard
) -> None:
    sagittal, oblique = turned.segs
    open_study(page, turned)
    heard.expected.add("409")
    find(page, agent, sagittal, confirm=True)
    for plane in PLANES:
        check_plane(page, stack(sagittal, plane), plane)
    shoot_tumour(page, "sagittal-en")
    claim = send(page, agent, confirm=True)
    expect(page.locator("#previous")).to_contain_text("Previous result")
    deliver(page, agent, claim, oblique)
    expect(page.locator("#previous")).to_be_hidden()
    for plane in PLANES:
        check_plane(page, stack(oblique, plane), plane)
    shoot_tumour(page, "oblique-en")
    page.locator("#history button").last.click()
    expect(page.locator("#segments")).to_contain_text(volume(sagittal))
    expect(page.locator("#previous")).to_contain_text("Previous result")
    expect(page.locator("#history li").last).to_have_class("is-shown")
    wait_loaded(page)
    check_plane(page, stack(sagittal, "coronal"), "coronal")


def shoot_tumour(page: Page, name: str) -> None:
    page.locator("#outline-on").check()
    page.locator("#jump").click()
    shoot(page, name)


def check_plane(page: Page, truth: PlaneStack, plane: str) -> None:
    """Scroll through the mask and beyond its ends, and compare each slice."""
    choose_plane(page, plane)
    # A line along the edge lies half outside.
    page.locator("#outline-on").uncheck()
    page.locator("#jump").click()
    shown = read(page)
    assert truth.slices[shown.slice].any()
    check_all_panes(page, shown)
    first, last = int(truth.with_voxels[0]) - 1, int(truth.with_voxels[-1]) + 1
    covered = []
    for index, shown in enumerate(scroll(page, first, last), start=first):
        assert (shown.slice, shown.plane) == (index, plane)
        expected = truth.slices[index]
        assert strays(shown.covered, expected, truth.spacing) == 0
        covered.append((share_covered(shown.covered, expected, truth.spacing), expected.sum()))
    share, voxels = np.array(covered).T
    assert (share * voxels).sum() >= LEAST_COVERED * voxels.sum()


def check_all_panes(page: Page, first: Shown) -> None:
    """All four show the same overlay, and after contrast it lies on something bright."""
    inside = Image.fromarray(first.covered)
    grown = inside.convert("L").filter(ImageFilter.MaxFilter(AROUND_PX))
    around = (np.array(grown) > 0) & ~first.covered
    for index in range(4):
        layer, image = read(page, index), read(page, index, "image")
        assert (layer.covered == first.covered).all()
        if index:
            grey = image.pixels[..., 0].astype(float)
            assert grey[first.covered].mean() > grey[around].mean() + LEAST_BRIGHTER
