"""From the parameter names in a checkpoint to those of the network.

Wrappers put prefixes before every name. PEFT (low-rank adapters, Hu et al. 2021, "LoRA:
Low-Rank Adaptation of Large Language Models") splits a layer ``x`` into ``x.base_layer``,
``x.lora_A.default`` and ``x.lora_B.default``; the layer that they replace has the weight
``W + (alpha / r) B A``, so no adapter is left at run time.
"""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from lab_side.models.weights import StateDict
from segrelay.errors import FixConfigurationError
from segrelay.profiles import Lora

PREFIXES = ("module.", "_orig_mod.", "net.", "base_model.model.", "model.", "network.")
"""Of DataParallel, torch.compile, Lightning modules, PEFT and common training programs."""

MOST_PREFIXES = 10
"""One after another; wrappers around wrappers have three or four."""

_COUNTERS = ("n_averaged",)
"""Bookkeeping of ``torch.optim.swa_utils.AveragedModel``; no weights."""

_BASE = ".base_layer."
_DOWN = ".lora_A.default.weight"
_UP = ".lora_B.default.weight"
_TRAINED_COPY = ".modules_to_save.default."
_FROZEN_COPY = ".original_module."


def fit_names(state: StateDict, wanted: Collection[str], lora: Lora | None) -> StateDict:
    """Strip prefixes and merge adapters until the names are those of the network.

    A prefix goes only when all names have it, and of all ways to strip the one is taken that
    meets most names of the network: some networks have a part called ``model`` themselves.

    Parameters
    ----------
    wanted:
        Parameter and buffer names of the network.
    lora:
        Rank and alpha of the adapters, from the profile.

    Returns
    -------
    Merged weights under the best names found; whether they fit is for the caller to check.

    Raises
    ------
    FixConfigurationError
        ``weights-do-not-fit``: adapters that the profile does not describe.
    """
    known = set(wanted)
    spelled = max(spellings(state), key=lambda item: len(known & merged_shapes(item).keys()))
    return _merge(spelled, lora)


def adapter_rank(state: StateDict) -> int | None:
    """``r`` of the adapters in a checkpoint; None where it has none."""
    ranks = (len(value) for key, value in state.items() if key.endswith(_DOWN))
    return next(ranks, None)


def are_adapters_alone(state: StateDict) -> bool:
    """Whether this is what PEFT saves of the adapters, without the layers that they adapt."""
    return any(".lora_A." in key for key in state) and not any(_BASE in key for key in state)


def merged_shapes(state: StateDict) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights once the adapters are merged."""
    return {
        _merged_name(key): tuple(value.shape)
        for key, value in state.items()
        if not _is_adapter(key)
    }


def spellings(state: StateDict) -> list[StateDict]:
    """The state as it is, and after each prefix that all its names share."""
    found = [{key: value for key, value in state.items() if key not in _COUNTERS}]
    for _ in range(MOST_PREFIXES):
        shared = (item for item in PREFIXES if all(key.startswith(item) for key in found[-1]))
        prefix = next(shared, None)
        if prefix is None:
            return found
        found.append({key[len(prefix) :]: value for key, value in found[-1].items()})
    return found


def _is_adapter(key: str) -> bool:
    return key.endswith((_DOWN, _UP)) or _FROZEN_COPY in key


def _merged_name(key: str) -> str:
    return key.replace(_BASE, ".").replace(_TRAINED_COPY, ".")


def _merge(state: StateDict, lora: Lora | None) -> StateDict:
    merged = {_merged_name(key): value for key, value in state.items() if not _is_adapter(key)}
    for key, down in state.items():
        if not key.endswith(_DOWN):
            continue
        layer = key[: -len(_DOWN)]
        up, weight = state.get(layer + _UP), merged.get(layer + ".weight")
        if lora is None or up is None or weight is None or not _matches(weight, down, up, lora):
            raise FixConfigurationError(
                f"The adapters of {layer} in the checkpoint do not fit the profile"
                f"{'' if lora else ', which describes none'}.",
                code="weights-do-not-fit",
                remedy="Write the rank and alpha of the training under weights.lora in the "
                "profile, or use the checkpoint that belongs to it.",
            )
        change = (up.double() @ down.double()) * (lora.alpha / lora.rank)
        merged[layer + ".weight"] = (weight.double() + change).to(weight.dtype)
    return merged


def _matches(weight: Tensor, down: Tensor, up: Tensor, lora: Lora) -> bool:
    rank = lora.rank
    return (
        weight.ndim == 2
        and tuple(down.shape) == (rank, weight.shape[1])
        and tuple(up.shape) == (weight.shape[0], rank)
    )
