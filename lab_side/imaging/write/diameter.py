"""The longest diameter of a set of voxels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist


def longest_diameter_mm(centres: NDArray[np.float64]) -> float:
    """Greatest distance between two of the points ([points, 3], at least one).

    Both ends lie on the convex hull, which has few corners. A flat or straight set has no
    hull in space: it is turned into its own plane or line first.
    """
    if len(centres) <= 1:
        return 0.0
    points = centres - centres.mean(axis=0)
    _, sizes, axes = np.linalg.svd(points, full_matrices=False)
    extent = int((sizes > 1e-6 * sizes[0]).sum())
    if not extent:
        return 0.0
    points = points @ axes[:extent].T
    if extent == 1:
        return float(np.ptp(points))
    if len(points) > extent + 1:
        try:
            points = points[ConvexHull(points).vertices]
        except QhullError:
            # Nearly flat: Qhull succeeds once it may move the points by a rounding error.
            points = points[ConvexHull(points, qhull_options="QJ").vertices]
    return float(pdist(points).max())
