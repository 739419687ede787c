"""The weights of a trained network, beside the profile that describes it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

WEIGHTS_FILE = "weights.safetensors"


def store(network: nn.Module, folder: Path, *, dtype: torch.dtype | None = None) -> None:
    """Write the weights beside the profile and their SHA-256 into it; ``dtype`` None: as is."""
    path = folder / WEIGHTS_FILE
    state = network.state_dict()
    kept = {
        name: value.to(dtype or value.dtype) if value.is_floating_point() else value
        for name, value in state.items()
    }
    save_file({name: value.contiguous() for name, value in kept.items()}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    profile_path = folder / "profile.json"
    text = profile_path.read_text(encoding="utf-8")
    weights = json.dumps({"file": WEIGHTS_FILE, "sha256": digest, "lora": None})
    text = re.sub(r'"weights": \{[^}]*\}', f'"weights": {weights}', text, count=1)
    profile_path.write_text(text, encoding="utf-8")
    print(f"{path.stat().st_size} bytes of weights, sha256 {digest}", flush=True)


def save_checkpoint(state: Mapping[str, object], path: Path) -> None:
    """Write a checkpoint, never half of one."""
    torch.save(dict(state), path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)
