"""Colours of a SEG: CIELab as DICOM encodes it (PS3.3 C.10.7.1.1) to sRGB.

The white point is D65, as in highdicom and dcmqi, so that a colour comes back as it was given.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_WHITE_D65 = np.array([0.95047, 1.0, 1.08883])
_XYZ_TO_LINEAR = np.array(
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
)
"""IEC 61966-2-1."""

_EPSILON = 6 / 29
_FULL = 0xFFFF

FALLBACK = (
    (255, 64, 64),
    (255, 200, 60),
    (80, 200, 120),
    (80, 160, 255),
    (200, 120, 255),
    (255, 140, 200),
)
"""For segments without a colour of their own, by number."""


def srgb_of_cielab(encoded: Sequence[int]) -> tuple[int, int, int]:
    """Red, green, blue 0..255 of Recommended Display CIELab Value (three 16-bit numbers)."""
    lightness, a, b = (float(value) for value in encoded)
    middle = (lightness / _FULL * 100 + 16) / 116
    along_a = (a / _FULL * 255 - 128) / 500
    along_b = (b / _FULL * 255 - 128) / 200
    f = np.array([middle + along_a, middle, middle - along_b])
    xyz = _WHITE_D65 * np.where(f > _EPSILON, f**3, 3 * _EPSILON**2 * (f - 4 / 29))
    linear = np.clip(_XYZ_TO_LINEAR @ xyz, 0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    red, green, blue = (int(value) for value in np.rint(srgb * 255))
    return red, green, blue


def fallback_colour(number: int) -> tuple[int, int, int]:
    """A colour for segment ``number`` (from 1)."""
    return FALLBACK[(number - 1) % len(FALLBACK)]
