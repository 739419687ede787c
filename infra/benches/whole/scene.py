"""What all phases need: Orthanc with the case, the model, the systems that were started."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from infra.benches.harness import Plan, Report
from infra.benches.orthanc import OrthancScene
from infra.benches.whole.case import LEAST_SHARE, BreastCase, write_model
from infra.benches.whole.peers.venvs import OWN_THREADS
from infra.servers.processes import ProcessSet
from infra.servers.site_and_agent import DemoError
from segrelay.profiles import Profile, load_profile

if TYPE_CHECKING:
    from infra.benches.whole.systems import Systems

CASE = "breast"


@dataclass(frozen=True, kw_only=True)
class WholePlan(Plan):
    """How much is measured."""

    slices: int = 134
    """In each of the four series."""
    side: int = 256
    """Rows, and columns."""
    window: int = 128
    """Side of the network's windows, voxels; the profile's own is 128."""
    jobs: int = 8
    """At once, in the part that has several."""

    def as_json(self) -> Report:
        """Sizes and counts."""
        names = ("rounds", "slices", "side", "window", "jobs", "peers")
        return {name: getattr(self, name) for name in names}


class WholeScene(OrthancScene[WholePlan]):
    """A context manager."""

    def __init__(self, plan: WholePlan, folder: Path) -> None:
        super().__init__(plan, folder)
        self.processes = ProcessSet()

    @cached_property
    def systems(self) -> Systems:
        """Those that were started."""
        # They take the scene.
        from infra.benches.whole.systems import Systems

        return Systems(self)

    @cached_property
    def case(self) -> BreastCase:
        """The study."""
        return BreastCase(self.plan.slices, self.plan.side, self.plan.seed)

    def study(self, kind: str) -> BreastCase:  # noqa: ARG002
        """As :attr:`case`."""
        return self.case

    @cached_property
    def profile_folder(self) -> Path:
        """The profile and its weights."""
        return write_model(self.folder / "profiles", self.plan.window)

    @cached_property
    def profile(self) -> Profile:
        """What is in it."""
        return load_profile(self.profile_folder)

    @cached_property
    def study_id(self) -> str:
        """Orthanc's id of the study."""
        series = self.stored(CASE).series_ids[0]
        with self.orthanc.session() as session:
            answer = session.get(f"{self.orthanc.url}/series/{series}")
            answer.raise_for_status()
            found: str = answer.json()["ParentStudy"]
        return found

    @property
    def orthanc_variables(self) -> dict[str, str]:
        """How a peer finds Orthanc."""
        return {
            "BENCH_ORTHANC": self.orthanc.url,
            "BENCH_USER": self.orthanc.user,
            "BENCH_PASSWORD": self.orthanc.password,
        }

    def check_and_remove(self, name: str, count: int = 1) -> None:
        """Check that ``count`` new SEGs are in Orthanc and have the lesion; remove what is new.

        Raises
        ------
        DemoError
            ``name`` has stored fewer or more, or the lesion is not in one.
        """
        known = set(self.stored(CASE).series_ids)
        found = 0
        with self.orthanc.session() as session:
            url = self.orthanc.url
            there = session.get(f"{url}/studies/{self.study_id}/series?expand").json()
            for series in (one for one in there if one["ID"] not in known):
                if series["MainDicomTags"]["Modality"] == "SEG":
                    found += 1
                    file = session.get(f"{url}/instances/{series['Instances'][0]}/file").content
                    share = self.case.share_found(file)
                    if share < LEAST_SHARE:
                        raise DemoError(f"{name} found {share:.0%} of the lesion.")
                session.delete(f"{url}/series/{series['ID']}").raise_for_status()
        if found != count:
            raise DemoError(f"{name} stored {found} SEGs, not {count}.")

    def __enter__(self) -> WholeScene:
        for name in OWN_THREADS:
            # Inherited, it would hold some systems to fewer cores than others.
            os.environ.pop(name, None)
        super().__enter__()
        self.enter_context(self.processes)
        # Made here, so that no system's time has it.
        _ = self.stored(CASE), self.profile
        return self

    def logs(self, name: str) -> Path:
        """A folder for what a system writes."""
        path = self.folder / name
        with contextlib.suppress(FileExistsError):
            path.mkdir()
        return path
