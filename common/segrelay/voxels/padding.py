"""Padding: voxels outside what was imaged, marked by a value (PS3.3 C.7.5.1.1.2).

Padding is no tissue. Its value is chosen by the program that padded, often the lowest that there
is, and means nothing after a rescale.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from segrelay.dicom.values import Number, WrongFormError, read_numbers, wrong_value
from segrelay.voxels.pixel_form import PixelForm

_PADDING_NUMBER = Number("Pixel Padding Value", "IS")
"""Of any sign: it is US or SS, as the voxels are, and some writers give it as text."""


def padding_range(dataset: Dataset, form: PixelForm) -> tuple[int, int] | None:
    """The lowest and the highest value of padding, as stored; None where there is none.

    Pixel Padding Value and Pixel Padding Range Limit have the sign of the voxels, or should: a
    value of the other sign (32768 for -32768, -1 for 65535, 2048 for -2048 in 12 bits) is taken
    for the one with the same bits. What no cell can hold marks nothing.

    Raises
    ------
    SeriesRefusedError
        ``header-value``: one of the two is not one whole number, so what is tissue is not known.
    """
    value = _in_cell(dataset, "PixelPaddingValue", form)
    if value is None:
        return None
    limit = _in_cell(dataset, "PixelPaddingRangeLimit", form)
    # The limit may be the lower or the higher end.
    return (value, value) if limit is None else (min(value, limit), max(value, limit))


def find_padding(values: NDArray[Any], limits: tuple[int, int]) -> NDArray[np.bool_]:
    """Where ``values`` are padding: of the same shape, both ends included."""
    low, high = limits
    return np.asarray(values == low if low == high else (values >= low) & (values <= high))


def _in_cell(dataset: Dataset, keyword: str, form: PixelForm) -> int | None:
    number = _whole(dataset.get(keyword), keyword)
    if number is None:
        return None
    if form.is_signed and form.limits[1] < number < 1 << form.stored:
        return number - (1 << form.stored)
    # The two attributes have 16 bits, whatever a voxel has.
    other_sign = number + (1 << 16) if number < 0 else number - (1 << 16)
    size = 1 << form.allocated
    low, high = (-size // 2, size // 2 - 1) if form.is_signed else (0, size - 1)
    return next((taken for taken in (number, other_sign) if low <= taken <= high), None)


def _whole(value: Any, keyword: str) -> int | None:
    if isinstance(value, bytes) and len(value) == 2:
        # Its value representation is not known: US or SS, in little endian.
        return int.from_bytes(value, "little")
    try:
        numbers = read_numbers(value, _PADDING_NUMBER)
    except WrongFormError as error:
        raise wrong_value(keyword, error.form) from None
    return int(numbers[0]) if numbers else None
