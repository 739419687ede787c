"""What all phases need: Orthanc with studies and SEGs in it, and the site in front of it."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from infra.benches.harness import Plan, Report
from infra.benches.orthanc import OrthancScene
from infra.benches.seg import MasksOf, Shape, spindles, write_seg
from infra.benches.web.study import Phases, tumour
from infra.servers.processes import ProcessSet
from infra.servers.site_and_agent import DemoServers, Folders

SHAPES: Mapping[str, Shape] = {"brats": (155, 240, 240), "breast": (134, 256, 256)}
"""Slices, rows, columns of each series: BraTS' matrix, and that of a breast on one side."""

SEG_KINDS = ("every-slice", "tumour")
"""Spindles through the whole series (three frames a slice), or one lesion."""


@dataclass(frozen=True, kw_only=True)
class WebPlan(Plan):
    """How much of everything."""

    shapes: Mapping[str, Shape] = field(default_factory=lambda: dict(SHAPES))

    def as_json(self) -> Report:
        """Rounds and shapes."""
        return {"rounds": self.rounds, "shapes": dict(self.shapes)}


class WebScene(OrthancScene[WebPlan]):
    """Orthanc, SEGs in it, and the site."""

    def study(self, kind: str) -> Phases:
        """The images of a size of :attr:`WebPlan.shapes`."""
        return Phases(self.plan.shapes[kind], seed=self.plan.seed)

    def study_id(self, size: str) -> str:
        """Orthanc's id of that study."""
        series = self.stored(size).series_ids[0]
        with self.orthanc.session() as session:
            answer = session.get(f"{self.orthanc.url}/series/{series}")
            answer.raise_for_status()
            found: str = answer.json()["ParentStudy"]
        return found

    def store_seg(self, size: str, kind: str, job: str) -> str:
        """Make and store a SEG on the first phase; Orthanc's id. Another ``job``, another SEG."""
        self.stored(size)
        path = self.folder / f"{kind}-{job}.dcm"
        makers: dict[str, MasksOf] = {
            "every-slice": spindles,
            "tumour": partial(tumour, seed=self.plan.seed),
        }
        write_seg(self.study(size), path, job=job, masks_of=makers[kind])
        with self.orthanc.session() as session:
            answer = session.post(f"{self.orthanc.url}/instances", path.read_bytes())
            answer.raise_for_status()
            found: str = answer.json()["ID"]
        return found

    @contextlib.contextmanager
    def site(self) -> Iterator[DemoServers]:
        """A new process of the site, which has seen nothing yet; ended with the block."""
        with (
            tempfile.TemporaryDirectory(prefix="site-", dir=self.folder) as temporary,
            ProcessSet() as processes,
        ):
            state = Path(temporary)
            bucket = state / "bucket"
            bucket.mkdir()
            servers = DemoServers(
                processes,
                self.orthanc,
                Folders(state, state),
                profile="demo",
                queue={"SEGRELAY_BUCKET": bucket.as_uri()},
            )
            servers.make_database()
            servers.start_site(_production_server)
            yield servers


def _production_server(address: str) -> Sequence[str]:
    """As a hospital runs it, but for the static files, which it serves as well."""
    options = ["-c", "python:gcp_side.site.gunicorn", "--workers", "1", "--bind", address]
    return [sys.executable, "-m", "gunicorn", *options, "infra.benches.web.wsgi"]
