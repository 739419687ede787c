"""A scene with Orthanc in it; studies are made and stored when they are first asked for."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Generic, Self, TypeVar

from infra.benches.harness import Plan, Scene
from infra.benches.study import StoredStudy, SyntheticStudy, store_study
from infra.servers.orthanc import OrthancServer

P = TypeVar("P", bound=Plan)


class OrthancScene(Scene[P], Generic[P]):
    """A context manager; each bench says what its studies are."""

    def __init__(self, plan: P, folder: Path) -> None:
        super().__init__(plan, folder)
        # Orthanc's default since 1.12.2; older ones deflate each answer for clients that allow it.
        self.orthanc = OrthancServer(http_compression=False)
        self._stored: dict[str, StoredStudy] = {}

    def __enter__(self) -> Self:
        self.enter_context(self.orthanc)
        return self

    @abstractmethod
    def study(self, kind: str) -> SyntheticStudy:
        """The images of a kind."""

    def stored(self, kind: str) -> StoredStudy:
        """The same in Orthanc."""
        if kind not in self._stored:
            self._stored[kind] = store_study(self.orthanc, self.study(kind))
        return self._stored[kind]
