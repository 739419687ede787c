"""``infra/bench web``: what the radiologist's page waits for, beside other ways, in one run.

A real Orthanc and the site under gunicorn, on this machine. In a run every contender comes once
a round, in a new order; a figure is the median of the rounds, a ratio that of the rounds' ratios.

Frames: a SEG of three segments in each of 155 slices, 465 frames. The site is asked for its
``frames`` over HTTP as a logged-in page asks, so its figures hold sign-in, permissions and JSON:
a SEG that it has not seen, then the same once more. A call per frame fetches each mask from
Orthanc as a PNG (``preview``) and the tags that place them, which is what the endpoint answers;
beside it the bare bits of each frame (``raw``), which no page can show. RGBA JSON: one file, read
by pydicom, and a coloured PNG for each slice. highdicom: one file and its arrays by source image.
Masks are compared: the voxels of all segments, or of each slice.

Overlay: bytes on the way of what the page loads (description and labels), of the same slices as
palette PNGs, as the answer of ``frames`` and as RGBA JSON; for one lesion of 74 ml, and for
spindles that run through every slice.

First image: from opening the page of a study to an image in each of its four panes, at BraTS'
size and a breast's. The site's process is new and the browser's cache empty. NiiVue is the npm
package, in the same browser: four canvases with an axial slice, volumes ready as compressed NIfTI
files. Chromium draws WebGL in software here; with a graphics card NiiVue is much faster, and the
figures say nothing of that.

=========================  ================================================================
``frames_cold_vs_calls``   a call per frame (PNGs, one connection) / the site, not seen before
``frames_cached_ms``       the site's answer once more, milliseconds with HTTP
``overlay_kib``            what the page loads for one lesion
``first_image_vs_niivue``  NiiVue's time / the page's, the worse of the two sizes
=========================  ================================================================
"""

from __future__ import annotations

from infra.benches.harness import Bench
from infra.benches.web.first import first_image
from infra.benches.web.frames import frames
from infra.benches.web.overlay import overlay
from infra.benches.web.scene import SHAPES, WebPlan, WebScene
from infra.benches.web.table import tables

BENCH = Bench(
    name="web",
    description="The page's frames, overlays and first image.",
    seed=20_261_124,
    plan=WebPlan,
    options={"rounds": (3, "runs of each")},
    quick={"rounds": 1, "shapes": dict.fromkeys(SHAPES, (24, 64, 64))},
    peers=("niivue",),
    scene=WebScene,
    phases={"frames": frames, "overlay": overlay, "first image": first_image},
    expected={
        "frames_cold_vs_calls": ("at least", 15.0),
        "frames_cached_ms": ("at most", 50.0),
        "overlay_kib": ("at most", 15.0),
        "first_image_vs_niivue": ("at least", 5.0),
    },
    tables=tables,
)
