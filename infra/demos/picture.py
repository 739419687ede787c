"""A picture of the page with the tumour that a running demo found: ``infra/demos/page.jpg``.

    infra/demo --out FOLDER
    python -m infra.demos.picture --out FOLDER      in a second terminal

It shows the newest study of the demo, as its user sees it in Chromium.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from infra.demos.options import OUT
from infra.demos.running import RunningDemo, read_running
from infra.packages.debian import repository_root
from infra.packages.programs import CHROMIUM
from segrelay.errors import SegRelayError
from segrelay.system.command_line import HelpfulParser

FILE = repository_root() / "infra" / "demos" / "page.jpg"
MAX_BYTES = 200_000
"""What a README may load."""

_SIZE = (1280, 800)
_LIMIT_MS = 120_000
_QUALITY = 88


def open_result(page: Page, demo: RunningDemo) -> None:
    """Log in, open the newest study and wait until its tumour is drawn."""
    page.goto(f"{demo.site}/segmentation/login/")
    page.locator("input[name=username]").fill(demo.site_user)
    page.locator("input[name=password]").fill(demo.site_password)
    page.locator("input[name=password]").press("Enter")
    page.locator("a[href*='/segmentation/studies/']").first.click()
    expect(page.locator("#segments")).to_contain_text(" ml")
    for pane in page.locator(".pane").all():
        expect(pane.locator(".slice")).not_to_be_empty()
        expect(pane.locator(".note")).to_be_empty()
    page.locator("#jump").click()
    # The panes are drawn with the frames that follow.
    for _ in range(3):
        page.evaluate("() => new Promise(requestAnimationFrame)")


def take(demo: RunningDemo) -> bytes:
    """Screenshot of the study page, as JPEG."""
    expect.set_options(timeout=_LIMIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--lang=en"]
        )
        page = browser.new_page(
            viewport={"width": _SIZE[0], "height": _SIZE[1]}, locale="en-GB", timezone_id="UTC"
        )
        open_result(page, demo)
        picture = page.screenshot(type="jpeg", quality=_QUALITY)
        browser.close()
    return picture


def main() -> int:
    """Take the picture of a running demo; exit code 1 without a demo or where it is too large."""
    parser = HelpfulParser(
        prog="python -m infra.demos.picture", description="Take a picture of a running demo."
    )
    parser.add_argument("--out", type=Path, default=repository_root() / OUT, help="the demo's")
    parser.add_argument("--file", type=Path, default=FILE, help=f"default: {FILE}")
    options = parser.parse_args()
    try:
        picture = take(read_running(options.out))
    except SegRelayError as error:
        sys.stderr.write(f"{error.message} {error.remedy}\n")
        return 1
    options.file.write_bytes(picture)
    print(f"{options.file}: {len(picture)} bytes")
    return 0 if len(picture) <= MAX_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
