"""The weights of a trained network, beside the profile that describes it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

WEIGHTS_FILE = "weights.safetensors"


def store(network: nn.Module, folder: Path, *, dtype: torch.dtype | None = None) -> None:
    """Write the weights beside the profile and their SHA-256 into it.

    ``dtype``: of the numbers, None for as they are; a tensor with a number that it cannot hold
    stays as it is (16-bit floats end at 65504, a variance in a deep layer does not).

    Raises
    ------
    ValueError
        A weight is no finite number; nothing is written.
    """
    path = folder / WEIGHTS_FILE
    kept = {name: _shortened(value, dtype) for name, value in network.state_dict().items()}
    lost = [name for name, value in kept.items() if not bool(value.isfinite().all())]
    if lost:
        raise ValueError(f"not finite: {', '.join(lost)}")
    save_file({name: value.contiguous() for name, value in kept.items()}, path)
    # Files in the repository can be read by everybody.
    path.chmod(0o644)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    profile_path = folder / "profile.json"
    text = profile_path.read_text(encoding="utf-8")
    weights = json.dumps({"file": WEIGHTS_FILE, "sha256": digest, "lora": None})
    text = re.sub(r'"weights": \{[^}]*\}', f'"weights": {weights}', text, count=1)
    profile_path.write_text(text, encoding="utf-8")
    print(f"{path.stat().st_size} bytes of weights, sha256 {digest}", flush=True)


def _shortened(value: Tensor, dtype: torch.dtype | None) -> Tensor:
    if dtype is None or not value.is_floating_point():
        return value
    shorter = value.to(dtype)
    return shorter if bool(shorter.isfinite().all()) else value


def save_checkpoint(state: Mapping[str, object], path: Path) -> None:
    """Write a checkpoint, never half of one."""
    torch.save(dict(state), path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)
