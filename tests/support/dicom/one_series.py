"""What tells the images in files apart, as Orthanc's tags would give it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from segrelay.parts import PartImage, images_of


def images_in(paths: Sequence[Path]) -> list[PartImage]:
    """What tells the images in these files apart; each instance named by its path."""
    return [
        image
        for path in paths
        for image in images_of(str(path), tags_of(pydicom.dcmread(path, stop_before_pixels=True)))
    ]


def tags_of(dataset: Dataset) -> dict[str, Any]:
    """As Orthanc's simplified tags."""
    return {element.keyword: _as_text(element.value) for element in dataset if element.keyword}


def _as_text(value: Any) -> Any:
    if isinstance(value, pydicom.Sequence):
        return [tags_of(item) for item in value]
    if isinstance(value, (list, MultiValue)):
        return "\\".join(map(str, value))
    return "" if value is None else str(value)
