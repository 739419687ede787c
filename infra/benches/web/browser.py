"""Chromium, and when a page has drawn its first images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, BrowserContext, sync_playwright

from infra.packages.programs import CHROMIUM
from infra.servers.site_and_agent import DemoServers
from segrelay.errors import FixConfigurationError

OPTIONS = (
    "--no-sandbox",
    # WebGL without a graphics card; the site's page does not use it.
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)

WINDOW = {"width": 1280, "height": 800}

LIMIT_MS = 240_000
"""NiiVue takes most of a minute without a graphics card."""

WATCH_PANES = """(() => {
  const drawn = (canvas) => canvas.width > 0 && canvas.height > 0 &&
    canvas.getContext("2d").getImageData(canvas.width >> 1, canvas.height >> 1, 1, 1).data[0] > 0;
  const look = () => {
    const panes = [...document.querySelectorAll(".pane canvas.image")];
    if (panes.length === 4 && panes.every(drawn)) globalThis.drawnAt = performance.now();
    else requestAnimationFrame(look);
  };
  look();
})()"""
"""Says when all four panes of the site's page have tissue in their middle."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's, without a window; ended with the block.

    Raises
    ------
    FixConfigurationError
        ``chromium-missing``.
    """
    if not CHROMIUM.exists():
        raise FixConfigurationError(
            "Chromium is not installed.",
            code="chromium-missing",
            remedy="Install it: apt-get install chromium",
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(OPTIONS))
        yield browser
        browser.close()


@contextmanager
def fresh_context(browser: Browser) -> Iterator[BrowserContext]:
    """Nothing cached, nobody logged in."""
    context = browser.new_context(viewport={"width": WINDOW["width"], "height": WINDOW["height"]})
    try:
        yield context
    finally:
        context.close()


def log_in(context: BrowserContext, site: DemoServers) -> None:
    """By the site's own form."""
    page = context.new_page()
    page.goto(f"{site.url}/segmentation/login/")
    page.fill("[name=username]", site.user)
    page.fill("[name=password]", site.password)
    page.click("main form button")
    page.wait_for_url("**/segmentation/")
    page.close()


def first_images_ms(context: BrowserContext, address: str, *, watch: str = "") -> float:
    """From the beginning of the navigation to when the page says ``drawnAt``."""
    page = context.new_page()
    if watch:
        page.add_init_script(watch)
    page.goto(address, wait_until="commit")
    page.wait_for_function("() => globalThis.drawnAt", timeout=LIMIT_MS)
    took: float = page.evaluate("globalThis.drawnAt")
    page.close()
    return took
