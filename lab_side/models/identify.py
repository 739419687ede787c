"""Identify what a weights file holds, from its content alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lab_side.models.adapters import adapter_rank, are_adapters_alone, merged_shapes, spellings
from lab_side.models.networks import construct
from lab_side.models.shapes import Shapes, infer_network, recognise
from lab_side.models.weights import (
    StateDict,
    is_safetensors,
    is_torchscript,
    parse_checkpoint,
    read_file,
)
from segrelay.errors import FixConfigurationError
from segrelay.profiles import Network

Format = Literal["safetensors", "checkpoint", "TorchScript"]

_NAMES_SHOWN = 3
_NAME_LENGTH = 60
_DEEPEST = 4
"""Levels of a training's settings that are searched for ``lora_alpha``."""


@dataclass(frozen=True, kw_only=True)
class Identified:
    """Format, hash and network of a weights file."""

    format: Format
    sha256: str
    network: Network | None
    """Whose weights it holds; None for TorchScript, which does not name its channels."""
    parameters: int
    """Numbers in the network, adapters merged; 0 for TorchScript."""
    lora_rank: int | None
    """Of its adapters; None: it has none."""
    lora_alpha: float | None
    """As the training's settings beside the weights have it."""


def identify(path: Path, known: Sequence[Network]) -> Identified:
    """Find out what a weights file is. Nothing in it is run.

    Parameters
    ----------
    known:
        Networks to try before guessing from shapes, the likeliest first.

    Raises
    ------
    FixConfigurationError
        One of ``read_checkpoint``; ``adapters-alone``; ``network-unknown``: no network that is
        known here has such weights.
    """
    data, sha256 = read_file(path, sha256=None)
    if is_torchscript(data):
        return Identified(
            format="TorchScript",
            sha256=sha256,
            network=None,
            parameters=0,
            lora_rank=None,
            lora_alpha=None,
        )
    state, everything = parse_checkpoint(data, path)
    if are_adapters_alone(state):
        raise FixConfigurationError(
            f"The file {path} holds adapters without the network that they adapt.",
            code="adapters-alone",
            remedy="Save the whole network's state_dict, or merge the adapters before saving "
            "(PEFT: merge_and_unload).",
        )
    network, shapes = _find(state, known, path)
    return Identified(
        format="safetensors" if is_safetensors(data, path) else "checkpoint",
        sha256=sha256,
        network=network,
        parameters=sum(_size(shape) for shape in shapes.values()),
        lora_rank=adapter_rank(state),
        lora_alpha=_number_named("lora_alpha", everything),
    )


def _find(state: StateDict, known: Sequence[Network], path: Path) -> tuple[Network, Shapes]:
    spelled = [merged_shapes(item) for item in spellings(state)]
    for network in known:
        own = _own_shapes(network)
        if own in spelled:
            return network, own
    for shapes in spelled:
        guess = infer_network(shapes)
        if guess is not None and _own_shapes(guess) == shapes:
            return guess, shapes
    raise _unknown(spelled, path)


def _own_shapes(network: Network) -> Shapes | None:
    if network.architecture == "TorchScript":
        return None
    try:
        built = construct(network)
    except FixConfigurationError:
        return None
    return {key: tuple(value.shape) for key, value in built.state_dict().items()}


def _unknown(spelled: Sequence[Shapes], path: Path) -> FixConfigurationError:
    kinds = [kind for shapes in spelled if (kind := recognise(shapes)) is not None]
    names = [_short(name) for name in sorted(spelled[-1])[:_NAMES_SHOWN]]
    what = (
        f"looks like a {kinds[0]}, whose arguments its weights do not tell in full"
        if kinds
        else f"holds weights of no network that is known here ({', '.join(names)}, …)"
    )
    return FixConfigurationError(
        f"The file {path} {what}.",
        code="network-unknown",
        remedy="Write architecture and arguments of the training into a JSON file and give it "
        "with --network; a network that is not MONAI's is imported as TorchScript.",
    )


def _short(name: str) -> str:
    """A name out of the file, fit for a terminal."""
    return "".join(c if c.isprintable() else "?" for c in name[:_NAME_LENGTH])


def _size(shape: Sequence[int]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total


def _number_named(name: str, everything: Any) -> float | None:
    """The number of this name in the settings that a training saved beside the weights."""
    numbers = {float(value) for value in _values_named(name, everything, _DEEPEST)}
    return numbers.pop() if len(numbers) == 1 else None


def _values_named(name: str, place: Any, deeper: int) -> Iterator[int | float]:
    if not isinstance(place, Mapping) or not deeper:
        return
    for key, value in place.items():
        if key == name and isinstance(value, (int, float)) and value > 0:
            yield value
        else:
            yield from _values_named(name, value, deeper - 1)
