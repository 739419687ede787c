"""A profile with its network, ready to run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import torch
from torch import nn

from lab_side.models.adapters import fit_names
from lab_side.models.brain import BrainFinder
from lab_side.models.failures import is_gpu_failure
from lab_side.models.fused import fuse_attention
from lab_side.models.inference import WindowMemory
from lab_side.models.layout import lay_out_for_cpu
from lab_side.models.networks import build_network, check_channels
from lab_side.models.torchscript import read_program
from lab_side.models.weights import StateDict, read_checkpoint
from segrelay.errors import FixConfigurationError, InferenceError
from segrelay.profiles import CpuEngine, Profile, load_profile

_WARM_UP_SIDE_ON_CPU = 64
"""Voxels: a full window takes half a minute on a CPU; networks halve their input 5 times."""

_STATISTICS = (".running_mean", ".running_var")
"""Of batch normalisation, which are buffers and no parameters."""

_NAMES_SHOWN = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedModel:
    """A network in evaluation mode on its device."""

    profile: Profile
    network: nn.Module
    device: torch.device
    device_name: str
    """For people and provenance: ``cpu``, ``cpu, OpenVINO 2026.4.1`` or
    ``cuda:0 NVIDIA GeForce RTX 3060``."""
    model_sha256: str
    """Of the weights file's bytes."""
    load_seconds: float
    """From the first byte of the profile to the end of the first forward pass."""
    warm_up_seconds: float
    """Of that first pass alone, which is slower than later ones."""
    memory: WindowMemory | None = None
    """Of the GPU, and what one window takes of it; None on a CPU."""
    engine_doubt: str = ""
    """Why PyTorch runs it although OpenVINO was asked for; else empty."""
    brain_finder: BrainFinder | None = None
    """Where the profile strips the skull."""


def load_model(
    profile_folder: Path,
    *,
    weights: Path | None = None,
    sha256: str | None = None,
    device: str = "cpu",
    cpu_engine: CpuEngine = "torch",
) -> LoadedModel:
    """Load a profile's network and run it once.

    Parameters
    ----------
    profile_folder:
        Folder with ``profile.json`` and usually the weights.
    weights:
        The lab's own weights file instead of the profile's.
    sha256:
        Its expected SHA-256; for the profile's own file the profile says it.
    device:
        A torch device, e.g. ``cpu``, ``cuda`` or ``cuda:1``.
    cpu_engine:
        What runs the network on a CPU; with ``openvino`` PyTorch does where that cannot.

    Raises
    ------
    FixConfigurationError
        ``weights-missing``, ``weights-sha256``, ``weights-unpinned``, ``weights-unsafe``,
        ``weights-unreadable``, ``weights-do-not-fit``, ``weights-not-finite``,
        ``network-arguments``,
        ``network-window``, ``device``, ``skull-strip-missing``, or one of ``load_profile``.
    InferenceError
        ``output-not-finite``
    """
    start = monotonic()
    profile = load_profile(profile_folder)
    path, expected = _weights_file(profile, profile_folder, weights, sha256)
    place = _device(device)
    network, found = _network(profile, path, expected)
    network.to(place)
    if place.type == "cpu" and profile.network.architecture == "SwinUNETR":
        lay_out_for_cpu(network)
    before = _used_bytes(place)
    warm_up_seconds = _warm_up(network, profile, place)
    engine, doubt = "", ""
    if cpu_engine == "openvino" and place.type == "cpu":
        network, engine, doubt = _by_openvino(network, profile)
    return LoadedModel(
        profile=profile,
        network=network,
        device=place,
        device_name=_device_name(place) + engine,
        model_sha256=found,
        load_seconds=round(monotonic() - start, 3),
        warm_up_seconds=warm_up_seconds,
        memory=_memory(place, before),
        engine_doubt=doubt,
        brain_finder=BrainFinder(place) if profile.preprocessing.skull_strip else None,
    )


def load_weights(network: nn.Module, state: StateDict, profile: Profile) -> None:
    """Put the weights of a checkpoint into the network.

    Raises
    ------
    FixConfigurationError
        ``weights-do-not-fit``: names the first parameters that are missing, foreign or of
        another shape.
    """
    own = network.state_dict()
    fitted = fit_names(state, own.keys(), profile.weights.lora)
    problems = {
        "missing": sorted(own.keys() - fitted.keys()),
        "unknown": sorted(fitted.keys() - own.keys()),
        "of another shape": sorted(
            key for key in own.keys() & fitted.keys() if own[key].shape != fitted[key].shape
        ),
    }
    found = [
        f"{len(keys)} {what} ({', '.join(keys[:_NAMES_SHOWN])}{', …' * (len(keys) > _NAMES_SHOWN)})"
        for what, keys in problems.items()
        if keys
    ]
    if found:
        raise FixConfigurationError(
            f"The checkpoint does not fit the network of profile {profile.name}: "
            f"{'; '.join(found)}.",
            code="weights-do-not-fit",
            remedy="Use the checkpoint that was trained with this profile's network, or "
            "correct network.arguments in profile.json.",
        )
    network.load_state_dict(fitted, strict=True)


def _network(profile: Profile, path: Path, sha256: str | None) -> tuple[nn.Module, str]:
    if profile.network.architecture == "TorchScript":
        check_channels(profile)
        program, found = read_program(path, sha256=sha256)
        _check_finite(program, profile)
        return program, found
    network = build_network(profile)
    state, found = read_checkpoint(path, sha256=sha256)
    load_weights(network, state, profile)
    _check_finite(network, profile)
    fuse_attention(network)
    return network, found


def _check_finite(network: nn.Module, profile: Profile) -> None:
    """Refuse what is lost where 32-bit floats were saved as 16-bit ones.

    A variance that became infinite makes its channel constant, and every output is a number all
    the same. Other buffers may be infinite: masks of attention are.
    """
    values = dict(network.named_parameters()) | {
        name: value for name, value in network.named_buffers() if name.endswith(_STATISTICS)
    }
    lost = sorted(name for name, value in values.items() if not bool(value.isfinite().all()))
    if lost:
        more = ", …" * (len(lost) > _NAMES_SHOWN)
        raise FixConfigurationError(
            f"The weights of profile {profile.name} are not all finite numbers: {len(lost)} "
            f"tensors ({', '.join(lost[:_NAMES_SHOWN])}{more}).",
            code="weights-not-finite",
            remedy="Save them again as 32-bit floats (16-bit ones end at 65504), or use an "
            "earlier checkpoint of the training.",
        )


def _by_openvino(network: nn.Module, profile: Profile) -> tuple[nn.Module, str, str]:
    """The network that runs, what the device's name says of it, and why it is the old one."""
    from lab_side.models.openvino_engine import OpenVinoUnfitError, to_openvino

    try:
        converted = to_openvino(network, profile)
    except OpenVinoUnfitError as error:
        return network, "", str(error)
    return converted, f", {converted.name}", ""


def _weights_file(
    profile: Profile, folder: Path, weights: Path | None, sha256: str | None
) -> tuple[Path, str | None]:
    if weights is not None:
        return weights, sha256
    if profile.weights.file is None:
        raise FixConfigurationError(
            f"Profile {profile.name} comes without weights.",
            code="weights-missing",
            remedy="Configure the path of the weights file, and its SHA-256, for this profile.",
        )
    return folder / profile.weights.file, profile.weights.sha256


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        # Placing a number there proves that the device exists and answers.
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise FixConfigurationError(
            f"The device {name!r} cannot be used.",
            code="device",
            remedy="Install the GPU driver and a torch build for it, or configure cpu.",
        ) from error
    return device


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} {torch.cuda.get_device_name(device)}"
    return str(device)


def _used_bytes(device: torch.device) -> int:
    if device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    return int(torch.cuda.memory_allocated(device))


def _memory(device: torch.device, before: int) -> WindowMemory | None:
    """After the warm-up, which runs a whole window on a GPU."""
    if device.type != "cuda":
        return None

    def free_bytes() -> int:
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + int(kept)

    peak = int(torch.cuda.max_memory_allocated(device))
    return WindowMemory(free_bytes=free_bytes, window_bytes=peak - before)


def _warm_up(network: nn.Module, profile: Profile, device: torch.device) -> float:
    """Seconds of one forward pass, whose output must have the form that the profile says."""
    side_limit = _WARM_UP_SIDE_ON_CPU if device.type == "cpu" else max(profile.inference.window)
    sides = [min(side, side_limit) for side in profile.inference.window]
    sample = torch.zeros(1, len(profile.inputs), *sides, device=device)
    start = monotonic()
    try:
        with torch.inference_mode(), torch.autocast(device.type, enabled=device.type == "cuda"):
            output = network(sample)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError) as error:
        if is_gpu_failure(error):
            raise
        raise _unfit(profile, f"does not take {len(profile.inputs)} x {sides} voxels") from error
    _check_output(output, sample, profile)
    # Reading waits for the GPU to finish.
    if not bool(torch.isfinite(output).all()):
        raise InferenceError(
            f"The first run of the network of profile {profile.name} gave values that are not "
            "finite: its weights or the GPU are damaged.",
            code="output-not-finite",
        )
    return round(monotonic() - start, 3)


def _check_output(output: object, sample: torch.Tensor, profile: Profile) -> None:
    wanted = (1, profile.network.arguments["out_channels"], *sample.shape[2:])
    if not isinstance(output, torch.Tensor):
        raise _unfit(profile, f"answers with a {type(output).__name__}, not with one tensor")
    if tuple(output.shape) != wanted:
        raise _unfit(profile, f"answers with the form {tuple(output.shape)}, not {wanted}")


def _unfit(profile: Profile, what: str) -> FixConfigurationError:
    return FixConfigurationError(
        f"The network of profile {profile.name} {what}.",
        code="network-window",
        remedy="Correct inference.window, inputs or network.arguments in profile.json; the "
        "sides of a window must be multiples of what the network's levels divide them by.",
    )
