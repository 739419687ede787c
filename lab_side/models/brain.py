"""Where the brain is in a T1-weighted image of a head, by deepbet.

deepbet (Fisch et al. 2024, Computers in Biology and Medicine 179) brings its networks with it.
It was trained on T1-weighted images of adults.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lab_side.computer.extras import brain_missing
from segrelay.system.system_limits import raise_if_limit

_SHARE = 0.5
"""Of belief, from which a voxel is brain; as deepbet ships."""


class BrainFinder:
    """deepbet's networks, on one device.

    Raises
    ------
    FixConfigurationError
        ``skull-strip-missing``: deepbet is not installed, or not whole.
    """

    def __init__(self, device: torch.device) -> None:
        try:
            self._extraction: Any = _load()
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            raise_if_limit(error)
            raise brain_missing(f"cannot be loaded ({type(error).__name__})") from error
        self._move(device)

    def find(self, head: NDArray[np.float32]) -> NDArray[np.bool_]:
        """The brain, one part without holes.

        Parameters
        ----------
        head:
            float32 [to the right, to the front, to the top], of any voxel size.

        Returns
        -------
        bool of the same shape; False everywhere where nothing looks like a brain.
        """
        try:
            belief = self._belief(head)
            return np.asarray(self._extraction.postprocess(belief > _SHARE) > 0)
        except (AssertionError, ValueError):
            # deepbet's own check, and what numpy raises where there is no part to be the largest.
            return np.zeros(head.shape, dtype=bool)

    def _belief(self, head: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            return np.asarray(self._extraction.run_model(head))
        except torch.OutOfMemoryError:
            self._move(torch.device("cpu"))
            torch.cuda.empty_cache()
            return np.asarray(self._extraction.run_model(head))

    def _move(self, device: torch.device) -> None:
        for network in (self._extraction.model, self._extraction.bbox_model):
            network.to(device)


def _load() -> Any:
    from deepbet import BrainExtraction

    with warnings.catch_warnings():
        # Its networks are TorchScript, whose end PyTorch announces.
        warnings.simplefilter("ignore", DeprecationWarning)
        return BrainExtraction(no_gpu=True)
