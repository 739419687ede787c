"""The demo's model: which profile fits a study, and weights where it comes without them.

Random weights show that a real study goes through the whole chain with this network. What they
find means nothing, and the demo says so.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from infra.demos.study import Study, choose_inputs
from infra.packages.debian import repository_root
from segrelay.errors import FixConfigurationError
from segrelay.profiles import PROFILE_FILE, Profile, load_profile

RANDOM_SEED = 20_240_506
RANDOM_FILE = "random.safetensors"

PHANTOM_PROFILE = "demo"
"""Of the study that the demo makes."""

STUDY_PROFILES = ("glioma", "breast-dce")
"""Shipped with weights that find something in real studies; the first that fits is taken."""

_SHIPPED = repository_root() / "lab_side" / "profiles"


def choose_profile(study: Study) -> str:
    """The name of the shipped profile for whose roles a study has a series each.

    Raises
    ------
    FixConfigurationError
        ``series-not-recognised``: there is none.
    """
    for name in STUDY_PROFILES:
        try:
            choose_inputs(study, load_profile(_SHIPPED / name).inputs)
        except FixConfigurationError:
            continue
        return name
    raise FixConfigurationError(
        f"The series of the study fit none of the profiles {', '.join(STUDY_PROFILES)}.",
        code="series-not-recognised",
        remedy="Name a profile with --profile to see which series it lacks.",
    )


def prepare_profile(name: str, weights: Path | None, folder: Path) -> tuple[Profile, str]:
    """Put a servable copy of a shipped profile below ``folder``; what its weights are, in words.

    Raises
    ------
    FixConfigurationError
        There is no such profile, or the file cannot be read.
    """
    profile = load_profile(_SHIPPED / name)
    target = folder / name
    shutil.copytree(_SHIPPED / name, target)
    if weights is not None:
        digest = _take(weights, target)
        words = f"{weights.name}, SHA-256 {digest}"
        return _with_weights(profile, weights.name, digest, target), words
    if profile.weights.file is not None:
        return profile, "the profile's own"
    digest = _save_random(profile, target / RANDOM_FILE)
    words = "RANDOM: they show that the chain works; what they find means nothing"
    return _with_weights(profile, RANDOM_FILE, digest, target), words


def _take(weights: Path, folder: Path) -> str:
    from lab_side.models.weights import read_file

    data, digest = read_file(weights, sha256=None)
    (folder / weights.name).write_bytes(data)
    return digest


def _save_random(profile: Profile, path: Path) -> str:
    import safetensors.torch
    import torch

    from lab_side.models.networks import build_network

    torch.manual_seed(RANDOM_SEED)
    safetensors.torch.save_file(build_network(profile).state_dict(), path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _with_weights(profile: Profile, file: str, digest: str, folder: Path) -> Profile:
    weights = profile.weights.model_copy(update={"file": file, "sha256": digest})
    changed = profile.model_copy(update={"weights": weights})
    (folder / PROFILE_FILE).write_text(changed.model_dump_json(indent=1), encoding="utf-8")
    return changed
