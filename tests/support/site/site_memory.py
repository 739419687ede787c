"""The memory that the site takes for requests at once: ``-m tests.support.site.site_memory KIND``.

Prints mebibytes as JSON: before the first request, after one, and the peak of eight at once.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import django

AT_ONCE = 8
SLICES, ROWS, COLUMNS = 250, 512, 512
"""125 MiB of voxels."""


def peak_mebibytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main(kind: str) -> dict[str, Any]:
    django.setup()
    ask = {"volume": volume, "bomb": bomb}[kind]()
    start = peak_mebibytes()
    ask()
    one = peak_mebibytes()
    together = Barrier(AT_ONCE)

    def at_once(_: int) -> tuple[int, int]:
        together.wait(60)
        return ask()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(at_once, range(AT_ONCE)))
    return {"start": start, "one": one, "peak": peak_mebibytes(), "answers": answers}


def request_of(view: Any, **arguments: str) -> Callable[[], tuple[int, int]]:
    """Asks, and passes over the answer as a client does: status and bytes."""
    from django.contrib.auth.models import User
    from rest_framework.test import APIRequestFactory, force_authenticate

    user = User(pk=1, username="radiologist", is_superuser=True)

    def ask() -> tuple[int, int]:
        request = APIRequestFactory().get("/")
        force_authenticate(request, user)
        answer = view.as_view()(request, **arguments)
        if hasattr(answer, "render"):
            answer.render()
        return answer.status_code, sum(len(piece) for piece in answer)

    return ask


def volume() -> Callable[[], tuple[int, int]]:
    """A large series of noise, without compression on the way."""
    import numpy as np

    from gcp_side.labseg.api.images import SeriesVolumeView
    from gcp_side.labseg.orthanc import client as orthanc_module
    from tests.support.dicom.dicom_series import make_affine, make_instance
    from tests.unit.gcp_side.fakes import FakeOrthanc, Grid, as_file, series_id

    rng = np.random.default_rng(3)
    voxels = rng.integers(0, 4000, (ROWS, COLUMNS), dtype=np.uint16)
    image = make_instance(voxels, make_affine(), 0, 1)
    image.SOPInstanceUID = "1.2.3"
    file = as_file(image)

    class Large(FakeOrthanc):
        def image_files(self, orthanc_ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
            for one in orthanc_ids:
                yield one, bytes(file)

    fake = Large()
    fake.slices |= Grid(slices=SLICES, rows=ROWS, columns=COLUMNS).places(range(SLICES))
    orthanc_module.connect = lambda: fake
    return request_of(SeriesVolumeView, series_id=series_id(0))


def bomb() -> Callable[[], tuple[int, int]]:
    """A SEG of a kilobyte that declares 40,000 by 40,000."""
    import numpy as np

    from gcp_side.labseg.api.images import SegmentationFrames
    from gcp_side.labseg.orthanc import client as orthanc_module
    from tests.unit.gcp_side.fakes import (
        SEG_ID,
        FakeOrthanc,
        Grid,
        MadeFrame,
        as_file,
        seg_dataset,
    )

    frame = MadeFrame(segment=1, index=0, mask=np.zeros((4, 4), np.bool_))
    dataset = seg_dataset(Grid(slices=1, rows=4, columns=4), [frame])
    dataset.Rows = dataset.Columns = 40_000
    fake = FakeOrthanc(files={SEG_ID: as_file(dataset)})
    orthanc_module.connect = lambda: fake
    return request_of(SegmentationFrames, seg_instance_id=SEG_ID)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1])))
