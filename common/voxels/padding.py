"""Padding: voxels outside what was imaged, marked by a value (PS3.3 C.7.5.1.1.2).

Padding is no tissue. Its value is chosen by whoever padded, often the lowest that there is, and
means nothing after a rescale.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from common.voxels.pixel_form import PixelForm


def padding_range(dataset: Dataset, form: PixelForm) -> tuple[int, int] | None:
    """The lowest and the highest value of padding, as stored; None where there is none.

    Pixel Padding Value and Pixel Padding Range Limit have the sign of the voxels, or should: a
    value of the other sign (32768 for -32768, -1 for 65535, 2048 for -2048 in 12 bits) is taken
    for the one with the same bits. What no cell can hold, or is no whole number, marks nothing.
    """
    value = _in_cell(dataset.get("PixelPaddingValue"), form)
    if value is None:
        return None
    limit = _in_cell(dataset.get("PixelPaddingRangeLimit"), form)
    # The limit may be the lower or the higher end.
    return (value, value) if limit is None else (min(value, limit), max(value, limit))


def find_padding(values: NDArray[Any], limits: tuple[int, int]) -> NDArray[np.bool_]:
    """Where ``values`` are padding: of the same shape, both ends included."""
    low, high = limits
    return np.asarray(values == low if low == high else (values >= low) & (values <= high))


def _in_cell(value: Any, form: PixelForm) -> int | None:
    number = _whole(value)
    if number is None:
        return None
    if form.is_signed and form.limits[1] < number < 1 << form.stored:
        return number - (1 << form.stored)
    # The two attributes have 16 bits, whatever a voxel has.
    other_sign = number + (1 << 16) if number < 0 else number - (1 << 16)
    size = 1 << form.allocated
    low, high = (-size // 2, size // 2 - 1) if form.is_signed else (0, size - 1)
    return next((taken for taken in (number, other_sign) if low <= taken <= high), None)


def _whole(value: Any) -> int | None:
    if isinstance(value, bytes):
        # Its value representation is not known: US or SS, in little endian.
        return int.from_bytes(value, "little") if len(value) == 2 else None
    return value if isinstance(value, int) else None
