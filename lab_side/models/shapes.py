"""The network that a checkpoint belongs to, by the names and shapes of its weights.

SwinUNETR and SegResNet show all of their structure. A UNet or a DynUNet does not show its
strides, and a network with wrong strides computes without complaint: those are named and not
guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from segrelay.profiles import Architecture, Network

Shapes = Mapping[str, tuple[int, ...]]
"""Parameter name to shape."""

_SWIN_STAGES = 4


def infer_network(shapes: Shapes) -> Network | None:
    """The network that has such weights; None where they do not show it.

    Whether all of them fit is for the caller to check.
    """
    architecture = recognise(shapes)
    try:
        if architecture == "SwinUNETR":
            return Network(architecture=architecture, arguments=_swin_arguments(shapes))
        if architecture == "SegResNet":
            return Network(architecture=architecture, arguments=_segresnet_arguments(shapes))
    except (KeyError, IndexError, ValueError):
        # A network of this kind with a part that is not MONAI's.
        return None
    return None


def recognise(shapes: Shapes) -> Architecture | None:
    """The kind of network, by names that only it has."""
    names = shapes.keys()
    if "swinViT.patch_embed.proj.weight" in names:
        return "SwinUNETR"
    if "convInit.conv.weight" in names:
        return "SegResNet"
    if "input_block.conv1.conv.weight" in names:
        return "DynUNet"
    if any(re.match(r"model\.\d\.(submodule|conv)\.", name) for name in names):
        return "UNet"
    return None


def _swin_arguments(shapes: Shapes) -> dict[str, JsonValue]:
    features, inputs, patch, *_ = shapes["swinViT.patch_embed.proj.weight"]
    blocks = [f"swinViT.layers{stage}.0.blocks" for stage in range(1, _SWIN_STAGES + 1)]
    tables = [shapes[f"{block}.0.attn.relative_position_bias_table"] for block in blocks]
    sides = len(shapes["swinViT.patch_embed.proj.weight"]) - 2
    arguments: dict[str, JsonValue] = {
        "in_channels": inputs,
        "out_channels": shapes["out.conv.conv.weight"][0],
        "feature_size": features,
        "depths": [_count(shapes, rf"{re.escape(block)}\.(\d+)\.") for block in blocks],
        "num_heads": [heads for _, heads in tables],
    }
    # A window of w voxels has (2 w - 1) relative positions along each axis.
    window = (round(tables[0][0] ** (1 / sides)) + 1) // 2
    if window != 7:
        arguments["window_size"] = window
    if patch != 2:
        arguments["patch_size"] = patch
    if any(name.startswith("swinViT.layers1c.") for name in shapes):
        arguments["use_v2"] = True
    if "encoder1.layer.norm1.running_mean" in shapes:
        arguments["norm_name"] = "batch"
    return arguments


def _segresnet_arguments(shapes: Shapes) -> dict[str, JsonValue]:
    features, inputs, *sides = shapes["convInit.conv.weight"]
    levels = _count(shapes, r"down_layers\.(\d+)\.")
    down = [_blocks(shapes, rf"down_layers\.{level}\.(\d+)\.conv1\.") for level in range(levels)]
    up_levels = _count(shapes, r"up_layers\.(\d+)\.")
    up = [_blocks(shapes, rf"up_layers\.{level}\.(\d+)\.conv1\.") for level in range(up_levels)]
    arguments: dict[str, JsonValue] = {
        "spatial_dims": len(sides),
        "in_channels": inputs,
        "out_channels": shapes["conv_final.2.conv.weight"][0],
        "init_filters": features,
        "blocks_down": list(down),
        "blocks_up": list(up),
    }
    if "up_samples.0.1.deconv.weight" in shapes:
        arguments["upsample_mode"] = "deconv"
    if "down_layers.0.1.norm1.running_mean" in shapes:
        arguments["norm"] = "BATCH"
    return arguments


def _blocks(names: Iterable[str], pattern: str) -> int:
    """How many different numbers the pattern meets."""
    return len({match[1] for name in names if (match := re.match(pattern, name))})


def _count(names: Iterable[str], pattern: str) -> int:
    """One more than the highest number that the pattern meets."""
    return max(int(match[1]) for name in names if (match := re.match(pattern, name))) + 1
