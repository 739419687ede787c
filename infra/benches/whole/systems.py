"""The systems by name, each started when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from infra.benches.transfer.scene import LINES
from infra.benches.whole import relay
from infra.benches.whole.measure import System
from infra.benches.whole.peers.monailabel import MonaiLabel
from infra.benches.whole.peers.mosec import Mosec
from infra.benches.whole.peers.seed import Seed
from infra.benches.whole.relay import Relay, Site
from infra.benches.whole.scene import CASE, WholeScene
from infra.line import Line

SEED, MOSEC, MONAILABEL = "seed", "mosec", "monailabel"
DIRECTORY, BUCKET, SITE = "directory", "bucket", "site"
WAN10, WAN30 = "wan10", "wan30"
"""At the site's queue, with lines of :data:`infra.benches.transfer.scene.LINES`."""

RELAYS = (DIRECTORY, SITE, BUCKET, WAN10, WAN30)
SYSTEMS = (*RELAYS, SEED, MOSEC, MONAILABEL)


class Systems:
    """Those of one scene; they end with it."""

    def __init__(self, scene: WholeScene) -> None:
        self._scene = scene
        self._started: dict[str, System] = {}
        self._site: Site | None = None

    def get(self, name: str) -> System:
        """One of :data:`SYSTEMS`; raises as its class."""
        if name not in self._started:
            makers: dict[str, Callable[[], System]] = {
                SEED: self._seed,
                MOSEC: self._mosec,
                MONAILABEL: self._monailabel,
                DIRECTORY: lambda: relay.over_directory(self._scene),
                BUCKET: lambda: relay.over_cloud_bucket(self._scene),
                SITE: lambda: self._at_site(SITE),
                WAN10: lambda: self._at_site(WAN10),
                WAN30: lambda: self._at_site(WAN30),
            }
            self._started[name] = makers[name]()
        return self._started[name]

    def relay(self, name: str) -> Relay:
        """One of :data:`RELAYS`."""
        found = self.get(name)
        if not isinstance(found, Relay):
            raise TypeError(f"{name} is not SegRelay")
        return found

    def _at_site(self, name: str) -> Relay:
        scene = self._scene
        if self._site is None:
            self._site = relay.at_the_site(scene)
        profile = LINES.get(name)
        if profile is None:
            return relay.over_site(scene, self._site, name)
        targets = (scene.orthanc.url, self._site.servers.url)
        to_orthanc, to_site = (
            scene.enter_context(Line(target, profile, own_process=True)) for target in targets
        )
        return relay.over_site(scene, self._site, name, (to_orthanc, to_site))

    def _seed(self) -> Seed:
        scene = self._scene
        seed = Seed(
            scene.logs(SEED),
            profile=scene.profile_folder,
            orthanc=scene.orthanc_variables,
            series=scene.stored(CASE).series_ids,
        )
        return scene.enter_context(closing(seed))

    def _mosec(self) -> Mosec:
        scene = self._scene
        return Mosec(
            scene.processes,
            scene.logs(MOSEC),
            profile=scene.profile_folder,
            orthanc=scene.orthanc_variables,
            series=scene.stored(CASE).series_ids,
        )

    def _monailabel(self) -> MonaiLabel:
        scene = self._scene
        return MonaiLabel(
            scene.processes,
            scene.logs(MONAILABEL),
            profile=scene.profile_folder,
            orthanc=scene.orthanc_variables,
            series_uids=scene.stored(CASE).series_uids,
            reference=scene.profile.roles.index(scene.profile.reference_role),
        )
