"""NiiVue, and the volumes and the page that it needs: all ready before the clock starts.

It is fetched once, as its npm package, into the cache folder; nothing of it is in the repository.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the library's own abbreviation)

from infra.benches.study import SERIES
from infra.benches.web.study import Phases
from infra.packages.debian import repository_root

VERSION = "0.69.0"

SHA512 = (
    "60c8d0bc9803d56d9bec3ba8c64c250b85716eb80878f449e6ac90cd72b18b6b"
    "f6301560dbce4ffc2210ca0e3aa030c60c871a3656ddf8c86d3bf79d31b5c990"
)
"""Of the package's archive."""

SCRIPT = "niivue.umd.js"

FETCH_LIMIT_S = 300

_MEMBER = f"package/dist/{SCRIPT}"
_GZIP_LEVEL = 1

PAGE = f"""<!doctype html>
<meta charset="utf-8">
<title>NiiVue</title>
<style>
  body {{ margin: 0; display: grid; grid-template: 1fr 1fr / 1fr 1fr; height: 100vh; }}
  div {{ position: relative; }}
</style>
{"<div><canvas></canvas></div>" * SERIES}
<script src="{SCRIPT}"></script>
<script type="module">
const drawn = [...document.querySelectorAll("canvas")].map(async (canvas, index) => {{
  const viewer = new niivue.Niivue({{ loadingText: "" }});
  await viewer.attachToCanvas(canvas);
  viewer.setSliceType(viewer.sliceTypeAxial);
  await viewer.loadVolumes([{{ url: `${{index}}.nii.gz` }}]);
  viewer.drawScene();
  const pixel = new Uint8Array(4);
  const [x, y] = [canvas.width >> 1, canvas.height >> 1];
  viewer.gl.readPixels(x, y, 1, 1, viewer.gl.RGBA, viewer.gl.UNSIGNED_BYTE, pixel);
  if (!(pixel[0] > 0)) throw new Error("nothing is drawn");
}});
await Promise.all(drawn);
globalThis.drawnAt = performance.now();
</script>
"""
"""Four panes, an axial slice in each, as the site's page begins; read back, so that it is drawn."""


def fetch(cache: Path | None = None) -> tuple[Path | None, str]:
    """NiiVue's script, or None and why it cannot be had."""
    target = (cache or repository_root() / ".cache" / "niivue") / VERSION / SCRIPT
    if target.exists():
        return target, ""
    npm = shutil.which("npm")
    if npm is None:
        return None, "npm is not installed"
    with tempfile.TemporaryDirectory() as folder:
        try:
            subprocess.run(
                [npm, "pack", f"@niivue/niivue@{VERSION}", "--pack-destination", folder],
                cwd=folder,
                capture_output=True,
                check=True,
                timeout=FETCH_LIMIT_S,
            )
        except (OSError, subprocess.SubprocessError) as error:
            return None, f"npm pack failed ({type(error).__name__})"
        (archive,) = Path(folder).glob("*.tgz")
        if hashlib.sha512(archive.read_bytes()).hexdigest() != SHA512:
            return None, "the package is not the one that was measured before"
        with tarfile.open(archive) as package:
            script = package.extractfile(_MEMBER)
            if script is None:
                return None, f"the package has no {SCRIPT}"
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_suffix(".part")
            part.write_bytes(script.read())
            part.replace(target)
    return target, ""


def write_site(folder: Path, script: Path, phases: Phases) -> None:
    """The page, the script, and each phase as a compressed NIfTI file on 1 mm."""
    (folder / "index.html").write_text(PAGE)
    shutil.copyfile(script, folder / SCRIPT)
    for series in range(SERIES):
        voxels = [image.pixel_array for image in phases.images(series)]
        image = sitk.GetImageFromArray(np.stack(voxels))
        sitk.WriteImage(image, str(folder / f"{series}.nii.gz"), True, _GZIP_LEVEL)


class _Quiet(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """The folder on loopback while the block runs; its address."""
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
