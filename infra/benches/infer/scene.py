"""The studies of the infer bench, written as DICOM files, and its models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from infra.benches.harness import Plan, Report, Scene
from infra.benches.seg import Shape
from infra.benches.study import SERIES, SyntheticStudy
from infra.demos.model import prepare_profile
from lab_side.models.loaded import LoadedModel, load_model
from segrelay.profiles import PROFILE_FILE, Profile

BRAIN = "brats-segresnet"
BREAST = "breast-dce-swinunetr"


@dataclass(frozen=True, kw_only=True)
class InferPlan(Plan):
    """How much is measured."""

    brain: Shape = (155, 240, 240)
    """Slices, rows, columns, of 1 mm: BraTS."""
    breast: Shape = (134, 256, 256)
    """Of 0.664 by 0.664 by 1.2 mm: a case of I-SPY 2."""
    plain_window: int = 128
    net_window: int = 128
    """Side of the one window in which SwinUNETR's forward passes are compared."""

    def as_json(self) -> Report:
        """Shapes."""
        return {"brain": self.brain, "breast": self.breast}


InferScene = Scene[InferPlan]

LESION = tuple(ml * 1000 / (155 * 240 * 240) for ml in (51.2, 16.5, 7.2))
"""Of BraTS' grid: a lesion of 51 ml, its enhancing part with the necrosis, the necrosis alone."""


class BreastSize(SyntheticStudy):
    """The same tissue on the spacing of a breast study, as four phases."""

    spacing = (0.6641, 0.6641, 1.2)

    def images(self, series: int) -> Iterator[Dataset]:
        """As the base class, with its spacing and the attributes that distinguish a phase."""
        across, down, step = self.spacing
        for position, image in enumerate(super().images(series)):
            image.PixelSpacing, image.SliceThickness = [down, across], step
            image.ImagePositionPatient = [0, 0, round(position * step, 4)]
            image.AcquisitionDate, image.AcquisitionTime = "20260302", f"10{15 + 2 * series}00"
            image.StudyDate, image.StudyTime = "20260302", "101000"
            image.StudyID, image.AccessionNumber = "1", "1"
            image.PatientBirthDate, image.PatientSex = "19700101", "F"
            image.ReferringPhysicianName = image.Manufacturer = ""
            yield image


PRIVATE_ELEMENTS, PRIVATE_BYTES = 170, 400
"""What scanners write beside an image: 68 kB in elements of their own."""


def add_private_elements(image: Dataset) -> None:
    """As a scanner does; a reader may pass over them."""
    block = image.private_block(0x0019, "BENCH", create=True)
    for number in range(PRIVATE_ELEMENTS):
        block.add_new(number, "OB", bytes(PRIVATE_BYTES))


def write_series(study: SyntheticStudy, roles: tuple[str, ...], folder: Path) -> dict[str, Path]:
    """Role -> folder of its files, with private elements."""
    folders = {}
    for number, role in zip(range(SERIES), roles, strict=True):
        folders[role] = folder / role
        folders[role].mkdir(parents=True)
        for position, image in enumerate(study.images(number)):
            add_private_elements(image)
            image.save_as(folders[role] / f"{position:04d}.dcm", enforce_file_format=True)
    return folders


def random_model(name: str, folder: Path) -> LoadedModel:
    """The profile of :func:`write_random_profile`, as the worker loads it."""
    write_random_profile(name, folder)
    return load_model(folder / name)


def write_random_profile(name: str, folder: Path) -> Profile:
    """Write the profile with random weights below ``folder``; registration is left out, for
    these series lie on each other, and the skull's stripping, for they show no head."""
    profile, _ = prepare_profile(name, None, folder)
    settings = profile.preprocessing.model_copy(
        update={"registration": "none", "skull_strip": None}
    )
    plain = profile.model_copy(update={"preprocessing": settings, "role_checks": "off"})
    (folder / name / PROFILE_FILE).write_text(plain.model_dump_json(), encoding="utf-8")
    return plain
