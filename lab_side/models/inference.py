"""Sliding-window inference: network input in, probabilities out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from monai.inferers.utils import sliding_window_inference
from numpy.typing import NDArray

from lab_side.imaging.volume.postprocess import bounding_box
from segrelay.errors import AttemptFailedError, InferenceError
from segrelay.profiles import Inference

Progress = Callable[[float], None]
"""Explanation the finished share, 0 to 1, after each pass over a batch of windows."""


MOST_WINDOWS = 16
"""At once: more does not make a GPU faster."""

USABLE_SHARE = 0.8
"""Of the GPU's free memory: what is freed lies in pieces."""


@dataclass(frozen=True, kw_only=True)
class WindowMemory:
    """Memory of a GPU, and what one window takes; where it is known."""

    free_bytes: Callable[[], int]
    """Memory that can be used now."""
    window_bytes: int
    """What one forward pass took at its peak."""


def _silent(_share: float) -> None:
    return


def infer(
    network: torch.nn.Module,
    channels: NDArray[np.float32],
    settings: Inference,
    device: torch.device,
    *,
    memory: WindowMemory | None = None,
    progress: Progress = _silent,
) -> NDArray[np.float32]:
    """Run the network over the volume.

    On a GPU the network runs in mixed precision, with as many windows at once as its free
    memory takes. When it does not suffice, half as many are run, and at last the result is
    collected in main memory. A volume smaller than the window is padded with zeros and cropped
    again. Where the settings name flips, each window is computed once for each of them too.

    Parameters
    ----------
    channels:
        float32 [input channels, first, second, third network axis].
    memory:
        By which the number of windows at once is chosen; None: one.

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
    inputs = torch.from_numpy(np.ascontiguousarray(channels))[None]
    batch = choose_batch(memory, count_windows(inputs.shape[2:], settings.window, settings.overlap))
    for windows, stitch in fallbacks(device, batch):
        try:
            logits = _run(network, inputs.to(stitch), settings, windows, (device, stitch), progress)
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


def infer_foreground(
    network: torch.nn.Module,
    channels: NDArray[np.float32],
    settings: Inference,
    device: torch.device,
    *,
    memory: WindowMemory | None = None,
    progress: Progress = _silent,
) -> NDArray[np.float32]:
    """As :func:`infer`; where the settings allow it, on the box of what is not 0 alone.

    Outside the box every probability is 0.
    """
    multiple = settings.foreground_multiple
    box = None if multiple is None else bounding_box((channels != 0).any(axis=0))
    if multiple is None or box is None:
        return infer(network, channels, settings, device, memory=memory, progress=progress)
    sides = [
        min(-(-(part.stop - part.start) // multiple) * multiple, side)
        for part, side in zip(box, settings.window, strict=True)
    ]
    wide = tuple(
        _widened(part, side, size)
        for part, side, size in zip(box, sides, channels.shape[1:], strict=True)
    )
    window = settings.model_copy(update={"window": tuple(sides)})
    part = infer(
        network, channels[(slice(None), *wide)], window, device, memory=memory, progress=progress
    )
    whole = np.zeros((len(part), *channels.shape[1:]), dtype=np.float32)
    whole[(slice(None), *wide)] = part
    return whole


def _widened(part: slice, side: int, size: int) -> slice:
    """The part, as wide as ``side`` where the volume of ``size`` has the room."""
    start = max(0, min(part.start, size - side))
    return slice(start, min(size, max(part.stop, start + side)))


def count_windows(shape: Sequence[int], window: Sequence[int], overlap: float) -> int:
    """How many windows the sliding window takes over ``shape``."""
    total = 1
    for size, side in zip(shape, window, strict=True):
        interval = max(int(side * (1 - overlap)), 1)
        total *= math.ceil(max(size - side, 0) / interval) + 1
    return total


def choose_batch(memory: WindowMemory | None, windows: int) -> int:
    """How many of the windows to run at once."""
    if memory is None or memory.window_bytes <= 0:
        return 1
    fitting = int(USABLE_SHARE * memory.free_bytes()) // memory.window_bytes
    return max(1, min(fitting, windows, MOST_WINDOWS))


def fallbacks(device: torch.device, batch: int) -> list[tuple[int, torch.device]]:
    """Windows at once, and where inputs and result lie, from the fastest to the smallest."""
    tries = [(batch, device)]
    while batch > 1:
        batch //= 2
        tries.append((batch, device))
    if device.type != "cpu":
        tries.append((1, torch.device("cpu")))
    return tries


def _run(
    network: torch.nn.Module,
    inputs: torch.Tensor,
    settings: Inference,
    batch: int,
    places: tuple[torch.device, torch.device],
    progress: Progress,
) -> torch.Tensor:
    passes = 1 + len(settings.flips)
    total = passes * count_windows(inputs.shape[2:], settings.window, settings.overlap)
    done = 0

    def predict(windows: torch.Tensor) -> torch.Tensor:
        nonlocal done
        with torch.autocast(windows.device.type, enabled=windows.device.type == "cuda"):
            logits = cast("torch.Tensor", network(windows))
        done += len(windows)
        progress(min(done / total, 1.0))
        return logits.float()

    def predict_flipped(windows: torch.Tensor) -> torch.Tensor:
        # Logits, as nnU-Net does: blending is linear too, so the mean is that of whole volumes.
        logits = predict(windows)
        for axes in settings.flips:
            mirrored = [axis + 2 for axis in axes]
            logits = logits + predict(windows.flip(mirrored)).flip(mirrored)
        return logits / passes

    with torch.inference_mode():
        logits = sliding_window_inference(
            inputs,
            settings.window,
            batch,
            predict_flipped if settings.flips else predict,
            overlap=settings.overlap,
            mode=settings.blend,
            sw_device=places[0],
            device=places[1],
        )
    return cast("torch.Tensor", logits)


def _probabilities(logits: torch.Tensor, activation: str) -> NDArray[np.float32]:
    with torch.inference_mode():
        probabilities = (
            torch.sigmoid(logits) if activation == "sigmoid" else torch.softmax(logits, dim=1)
        )
        return cast("NDArray[np.float32]", probabilities[0].cpu().numpy())
