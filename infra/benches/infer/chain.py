"""MONAI's plain chain over a case, as trainings and their inference scripts have it."""

from __future__ import annotations

import importlib.util
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers.utils import sliding_window_inference
from monai.transforms.compose import Compose
from monai.transforms.intensity.dictionary import NormalizeIntensityd
from monai.transforms.io.dictionary import LoadImaged
from monai.transforms.post.dictionary import Activationsd, AsDiscreted, Invertd
from monai.transforms.spatial.dictionary import Orientationd, Spacingd
from monai.transforms.utility.dictionary import ConcatItemsd, EnsureChannelFirstd

from segrelay.profiles import Profile

HAS_ORIENTATION = importlib.util.find_spec("nibabel") is not None
"""MONAI's Orientationd needs nibabel; where it is missing the chain goes without."""


@dataclass(frozen=True)
class ChainResult:
    """Seconds of its parts, and the mask on the reference series' grid."""

    prepare_s: float
    network_s: float
    restore_s: float
    mask: MetaTensor
    """[1, first, second, third axis of the series]."""

    @property
    def total_s(self) -> float:
        """Sum of the parts."""
        return self.prepare_s + self.network_s + self.restore_s


def run_chain(
    folders: Mapping[str, Path],
    profile: Profile,
    network: torch.nn.Module,
    *,
    window: Sequence[int],
    overlap: float,
    is_turned: bool = HAS_ORIENTATION,
) -> ChainResult:
    """Read, prepare, sliding windows, back to the reference series' grid, threshold.

    ``is_turned``: with Orientationd; else the series' axes are taken for the network's.
    """
    start = time.perf_counter()
    before = _before(profile, is_turned=is_turned)
    data: dict[str, Any] = before({role: str(folder) for role, folder in folders.items()})
    prepared = time.perf_counter()
    with torch.inference_mode():
        logits = sliding_window_inference(
            data["image"][None], window, 1, network, overlap=overlap, mode="gaussian"
        )
    computed = time.perf_counter()
    reference = profile.reference_role
    data["pred"] = MetaTensor(cast("torch.Tensor", logits)[0], meta=data[reference].meta)
    after = Compose(
        [
            Activationsd("pred", sigmoid=True),
            Invertd("pred", transform=before, orig_keys=reference, nearest_interp=False),
            AsDiscreted("pred", threshold=profile.postprocessing.threshold),
        ]
    )
    mask: MetaTensor = after(data)["pred"]
    ended = time.perf_counter()
    return ChainResult(prepared - start, computed - prepared, ended - computed, mask)


def _before(profile: Profile, *, is_turned: bool) -> Compose:
    keys = list(profile.roles)
    with warnings.catch_warnings():
        # MONAI makes every reader that it knows, and warns of those that it lacks.
        warnings.simplefilter("ignore")
        load = LoadImaged(keys, reader="PydicomReader")
    axes = profile.preprocessing.orientation
    turn = [Orientationd(keys, axcodes=axes, labels=None)] if is_turned else []
    return Compose(
        [
            load,
            EnsureChannelFirstd(keys),
            *turn,
            Spacingd(keys, pixdim=profile.preprocessing.spacing_mm, mode="bilinear"),
            NormalizeIntensityd(keys, nonzero=True, channel_wise=True),
            ConcatItemsd(keys, name="image"),
        ]
    )
