"""Objects beside the images of a series: raw data, presentation states, reports, spectra.

Scanners and archives store them in the series of the images that they belong to. They have no
place in a volume, and say nothing against the images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

_STORAGE = "1.2.840.10008.5.1.4.1.1."

COMPANION_CLASSES: frozenset[str] = frozenset(
    _STORAGE + ending
    for ending in (
        # MR Spectroscopy, Raw Data, Spatial Registration and Fiducials, Deformable, Real World
        # Value Mapping, waveforms.
        *("4.2", "66", "66.1", "66.2", "66.3", "67"),
        *("9.1.1", "9.1.2", "9.1.3", "9.2.1", "9.3.1", "9.4.1", "9.5.1", "9.6.1"),
        # Presentation states.
        *(f"11.{number}" for number in range(1, 13)),
        # Structured reports and Key Object Selection.
        *("88.11", "88.22", "88.33", "88.34", "88.35", "88.40", "88.50", "88.59", "88.65"),
        *("88.67", "88.68", "88.69", "88.70", "88.71", "88.72", "88.73", "88.74", "88.75"),
        # Encapsulated documents.
        *("104.1", "104.2", "104.3", "104.4", "104.5"),
    )
)
"""SOP classes without images (PS3.4 B.5), of those that come in series of images."""

_IMAGE_CLASSES = frozenset(_STORAGE + ending for ending in ("4", "4.1", "4.3", "4.4"))
"""Of MR images: one without pixels is a damaged image, not a companion."""

_OF_IMAGES = ("Rows", "Columns", "BitsAllocated", "SamplesPerPixel", "PhotometricInterpretation")


class _Attributes(Protocol):
    def get(self, keyword: str, /) -> Any: ...


def is_companion(attributes: _Attributes | Mapping[str, Any]) -> bool:
    """Whether an instance is no image, but may lie in a series of images.

    Parameters
    ----------
    attributes:
        Of the instance, by keyword; what is absent is None. A SOP class that is not known here is
        a companion's where the instance has nothing of an image (PS3.3 C.7.6.3).
    """
    sop_class = str(attributes.get("SOPClassUID") or "")
    if sop_class in COMPANION_CLASSES:
        return True
    return sop_class not in _IMAGE_CLASSES and all(
        attributes.get(keyword) is None for keyword in _OF_IMAGES
    )
