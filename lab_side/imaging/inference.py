"""Sliding-window inference: network input in, probabilities out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from monai.inferers.utils import sliding_window_inference
from numpy.typing import NDArray

from common.errors import AttemptFailedError, InferenceError
from common.profiles import Inference

Progress = Callable[[float], None]
"""Told the finished share, 0 to 1, after each batch of windows."""


def _silent(_share: float) -> None:
    return


def infer(
    network: torch.nn.Module,
    channels: NDArray[np.float32],
    settings: Inference,
    device: torch.device,
    *,
    windows_at_once: int = 1,
    progress: Progress = _silent,
) -> NDArray[np.float32]:
    """Run the network over the volume.

    On a GPU the network runs in mixed precision. When its memory does not suffice, fewer
    windows are run at once, then the result is collected in main memory. A volume smaller
    than the window is padded with zeros and cropped again.

    Parameters
    ----------
    channels:
        float32 [input channels, first, second, third network axis].

    Returns
    -------
    float32 [output channels, first, second, third], probabilities 0 to 1.

    Raises
    ------
    InferenceError
        ``output-shape`` or ``output-not-finite``.
    AttemptFailedError
        ``out-of-memory``: the GPU's memory does not suffice even so.
    """
    inputs = torch.from_numpy(np.ascontiguousarray(channels))[None].to(device)
    for batch, stitch in _fallbacks(device, windows_at_once):
        try:
            logits = _run(network, inputs, settings, batch, stitch, progress)
            break
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
    else:
        raise AttemptFailedError(
            "The GPU has not enough free memory for one window of this network.",
            code="out-of-memory",
            remedy="Close other programs that use the GPU, or use one with more memory.",
        )
    if logits.shape[2:] != inputs.shape[2:]:
        raise InferenceError(
            "The network's output has another size than its input.", code="output-shape"
        )
    if not bool(torch.isfinite(logits).all()):
        raise InferenceError(
            "The network's output holds values that are not finite.", code="output-not-finite"
        )
    return _probabilities(logits, settings.activation)


def count_windows(shape: Sequence[int], window: Sequence[int], overlap: float) -> int:
    """How many windows the sliding window takes over ``shape``."""
    total = 1
    for size, side in zip(shape, window, strict=True):
        interval = max(int(side * (1 - overlap)), 1)
        total *= math.ceil(max(size - side, 0) / interval) + 1
    return total


def _fallbacks(device: torch.device, windows_at_once: int) -> list[tuple[int, torch.device]]:
    tries = [(windows_at_once, device)]
    if device.type != "cpu":
        tries += [(1, device)] if windows_at_once > 1 else []
        tries += [(1, torch.device("cpu"))]
    return tries


def _run(
    network: torch.nn.Module,
    inputs: torch.Tensor,
    settings: Inference,
    batch: int,
    stitch: torch.device,
    progress: Progress,
) -> torch.Tensor:
    total = count_windows(inputs.shape[2:], settings.window, settings.overlap)
    done = 0

    def predict(windows: torch.Tensor) -> torch.Tensor:
        nonlocal done
        with torch.autocast(windows.device.type, enabled=windows.device.type == "cuda"):
            logits = cast("torch.Tensor", network(windows))
        done += len(windows)
        progress(min(done / total, 1.0))
        return logits.float()

    with torch.inference_mode():
        logits = sliding_window_inference(
            inputs,
            settings.window,
            batch,
            predict,
            overlap=settings.overlap,
            mode=settings.blend,
            sw_device=inputs.device,
            device=stitch,
        )
    return cast("torch.Tensor", logits)


def _probabilities(logits: torch.Tensor, activation: str) -> NDArray[np.float32]:
    with torch.inference_mode():
        soft = torch.sigmoid(logits) if activation == "sigmoid" else torch.softmax(logits, dim=1)
        return cast("NDArray[np.float32]", soft[0].cpu().numpy())
