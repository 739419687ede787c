"""A worker for imports within this process, and files to import."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import torch

from lab_side.models.loaded import load_model
from lab_side.models.networks import construct
from lab_side.worker.protocol import IdentifyReply, IdentifyRequest, LoadReply, LoadRequest
from lab_side.worker.server import identify_weights
from segrelay.profiles import Network

SEGRESNET = Network(
    architecture="SegResNet",
    arguments={
        "spatial_dims": 3,
        "in_channels": 4,
        "out_channels": 3,
        "init_filters": 8,
        "blocks_down": [1, 1],
        "blocks_up": [1],
        "dropout_prob": 0.2,
    },
)


class NearWorker:
    """Does what the worker process does, without a process."""

    def identify(self, request: IdentifyRequest) -> IdentifyReply:
        return identify_weights(request)

    def load(self, request: LoadRequest) -> LoadReply:
        model = load_model(request.folder, device=request.device)
        return LoadReply(
            profile=model.profile.name,
            model_sha256=model.model_sha256,
            device=model.device_name,
            seconds=model.load_seconds,
        )


def save_weights(network: Network, path: Path, *, seed: int = 9) -> Path:
    """A state dict with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = construct(network).state_dict()
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return path


def inference_json() -> dict[str, Any]:
    """The configuration of a bundle with one small SegResNet, laid out as MONAI's BraTS one."""
    return {
        "imports": ["$import glob"],
        "bundle_root": "/workspace/brats",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "filters": 8,
        "network_def": {
            "_target_": "SegResNet",
            **SEGRESNET.arguments,
            "init_filters": "@filters",
        },
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image"},
                {"_target_": "monai.transforms.EnsureChannelFirstd", "keys": "image"},
                {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
                {"_target_": "Spacingd", "keys": "image", "pixdim": [2.0, 2.0, 2.0]},
                {"_target_": "ScaleIntensityd", "keys": "image", "_disabled_": True},
                {
                    "_target_": "NormalizeIntensityd",
                    "keys": "image",
                    "nonzero": True,
                    "channel_wise": True,
                },
            ],
        },
        "dataset": {"_target_": "Dataset", "data": "$[{'image': i} for i in @datalist]"},
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": [32, 32, 32],
            "sw_batch_size": 1,
            "overlap": 0.5,
        },
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
                {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing"},
                {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.4},
                {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir"},
            ],
        },
    }


def write_bundle(root: Path, config: dict[str, Any] | None = None) -> Path:
    """The bundle as a folder."""
    metadata = {"name": "BraTS", "version": "0.5.2", "references": ["Myronenko 2018"]}
    (root / "configs").mkdir(parents=True)
    (root / "configs/inference.json").write_text(json.dumps(config or inference_json()))
    (root / "configs/metadata.json").write_text(json.dumps(metadata))
    save_weights(SEGRESNET, root / "models/model.pt")
    return root


def zip_folder(folder: Path, target: Path, *, below: str = "") -> Path:
    """The same as a zip, optionally below a folder of its own."""
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, below + path.relative_to(folder).as_posix())
    return target
