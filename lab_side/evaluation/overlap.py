"""How much two masks overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def dice(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Dice similarity coefficient (Dice 1945), 0..1; two empty masks agree: 1.

    Masks are bool or 0 and 1, of one shape.
    """
    total = np.count_nonzero(first) + np.count_nonzero(second)
    return 2 * np.count_nonzero(first & second) / total if total else 1.0
