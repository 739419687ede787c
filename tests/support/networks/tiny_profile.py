"""A profile with a very small network and random weights: fast, and its mask means nothing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from lab_side.models.networks import build_network
from lab_side.settings.config import PACKAGED_PROFILES
from segrelay.profiles import load_profile

WEIGHTS_SEED = 4


def write_tiny_profile(profiles: Path, name: str = "tiny", *, slow: bool = False) -> Path:
    """Write the profile folder ``profiles/name`` and return it.

    ``slow``: small windows that overlap much on a fine grid, so that inference takes some
    seconds on a fast machine too and a test can break in.
    """
    folder = profiles / name
    folder.mkdir(parents=True)
    document: dict[str, Any] = json.loads((PACKAGED_PROFILES / "demo/profile.json").read_text())
    document["name"] = name
    document["network"]["arguments"]["channels"] = [4, 8]
    document["network"]["arguments"]["strides"] = [2]
    document["preprocessing"]["spacing_mm"] = [3.0, 3.0, 3.0] if slow else [4.0, 4.0, 4.0]
    document["inference"]["window"] = [16, 16, 16] if slow else [32, 32, 32]
    document["inference"]["overlap"] = 0.85 if slow else 0.25
    document["weights"] = {"file": None}
    (folder / "profile.json").write_text(json.dumps(document))
    torch.manual_seed(WEIGHTS_SEED)
    network = build_network(load_profile(folder))
    weights = folder / "weights.safetensors"
    save_file(network.state_dict(), str(weights))
    document["weights"] = {
        "file": weights.name,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
    }
    (folder / "profile.json").write_text(json.dumps(document))
    return folder
