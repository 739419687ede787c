"""A network run by OpenVINO on the CPU, once it is shown to answer there as in PyTorch.

The network is traced once and compiled for the size of its windows, again when that changes.
OpenVINO is an extra: where it is missing, or does not take the network, or gives other values,
the network stays with PyTorch and the reason is reported.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
import torch
from torch import nn

from lab_side.models.fused import FusedWindowAttention
from segrelay.profiles import Profile

TOLERANCE = 1e-4
"""Of the largest logit, which counts as at least 1: so far may the two answers differ."""

_TRACED_SIDE = 64
"""Voxels at most: tracing runs the network several times."""

_PROOF_SEED = 1

_CONVERSION_FAILURES = (
    AttributeError,
    IndexError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What PyTorch's tracing and OpenVINO raise for a network that they do not take."""


class OpenVinoUnfitError(Exception):
    """Why a network stays with PyTorch, in words."""


class OpenVinoNetwork(nn.Module):
    """Replacement for a network of one tensor in and one out, in fp32 on the CPU."""

    def __init__(self, openvino: Any, model: Any) -> None:
        super().__init__()
        self.name = f"OpenVINO {openvino.get_version().split('-')[0]}"
        self._model = model
        self._core = openvino.Core()
        self._compiled: Any = None
        self._shape: tuple[int, ...] = ()

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """[windows, channels, first, second, third] in and out."""
        shape = tuple(windows.shape)
        if shape != self._shape:
            # The one before goes first: two would need their memory together.
            self._compiled, self._shape = None, ()
            self._model.reshape(list(shape))
            # Where a CPU has shorter numbers, OpenVINO would take them automatically.
            precision = {"INFERENCE_PRECISION_HINT": "f32"}
            self._compiled = self._core.compile_model(self._model, "CPU", precision)
            self._shape = shape
        return torch.from_numpy(self._compiled(np.ascontiguousarray(windows.numpy()))[0])


def to_openvino(network: nn.Module, profile: Profile) -> OpenVinoNetwork:
    """Convert a network on the CPU, and compare both on a window of random numbers.

    Compared are windows of the profile's own size. Where they follow the foreground, and so
    come in many sizes, it is one that differs along every axis from what was traced.

    Raises
    ------
    OpenVinoUnfitError
        OpenVINO is not installed, does not take the network, or answers otherwise.
    """
    if any(isinstance(module, FusedWindowAttention) for module in network.modules()):
        # Minutes and gigabytes for one conversion, and at 128 voxels a side it fails the proof.
        raise OpenVinoUnfitError("networks with window attention (SwinUNETR) stay with PyTorch")
    openvino = _import_openvino()
    traced = [min(side, _TRACED_SIDE) for side in profile.inference.window]
    try:
        with torch.inference_mode():
            converted = OpenVinoNetwork(openvino, _convert(openvino, network, profile, traced))
            _prove(network, converted, _random(profile, _proof_sides(profile, traced)))
    except _CONVERSION_FAILURES as error:
        raise OpenVinoUnfitError(
            f"OpenVINO does not take the network ({type(error).__name__})"
        ) from error
    return converted


def _import_openvino() -> Any:
    # Its import would report to its makers over the network; without this part it does not.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError as error:
        raise OpenVinoUnfitError("OpenVINO is not installed") from error
    return openvino


def _convert(openvino: Any, network: nn.Module, profile: Profile, sides: list[int]) -> Any:
    shape = openvino.PartialShape([-1, len(profile.inputs), -1, -1, -1])
    with warnings.catch_warnings():
        # Tracing warns of every size that becomes a constant; the proof finds what matters.
        warnings.simplefilter("ignore")
        return openvino.convert_model(
            network, example_input=torch.zeros(1, len(profile.inputs), *sides), input=shape
        )


def _proof_sides(profile: Profile, traced: list[int]) -> list[int]:
    multiple = profile.inference.foreground_multiple
    if multiple is None:
        return list(profile.inference.window)
    return [side + multiple * (axis + 1) for axis, side in enumerate(traced)]


def _random(profile: Profile, sides: list[int]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(_PROOF_SEED)
    return torch.randn(1, len(profile.inputs), *sides, generator=generator)


def _prove(network: nn.Module, converted: OpenVinoNetwork, window: torch.Tensor) -> None:
    expected, found = network(window), converted(window)
    difference = float((found - expected).abs().max())
    allowed = TOLERANCE * max(1.0, float(expected.abs().max()))
    if not difference <= allowed:
        raise OpenVinoUnfitError(
            f"OpenVINO's answer differs by {difference:.2g}, more than {allowed:.2g}"
        )
