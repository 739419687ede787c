"""Checkpoints: what is read, what is refused, and that none can run code."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from lab_side.models.adapters import PREFIXES, fit_names
from lab_side.models.loaded import LoadedModel, load_model, load_weights
from lab_side.models.networks import build_network
from lab_side.models.weights import WRAPPERS, read_checkpoint
from segrelay.errors import FixConfigurationError
from segrelay.profiles import Lora, Network, Profile
from tests.support.dicom.imaging_cases import SMALL_UNET, make_profile
from tests.support.networks.bomb import Bomb
from tests.support.networks.lora import adapt


def swin(feature_size: int = 12) -> Network:
    return Network(
        architecture="SwinUNETR",
        arguments={
            "in_channels": 1,
            "out_channels": 1,
            "feature_size": feature_size,
            "depths": [2, 2, 2, 2],
            "num_heads": [3, 6, 12, 24],
        },
    )


def seeded(profile: Profile) -> nn.Module:
    """The profile's network with random weights, always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return build_network(profile)


def save(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(FixConfigurationError) as caught:
        action()
    assert caught.value.remedy
    return caught.value.code


def loads_into_unet(state: dict[str, torch.Tensor]) -> None:
    profile = make_profile(network=SMALL_UNET)
    network = build_network(profile)
    expected = unet_state()
    load_weights(network, state, profile)
    for key, value in network.state_dict().items():
        assert torch.equal(value, expected[key]), key


def unet_state() -> dict[str, torch.Tensor]:
    return dict(seeded(make_profile(network=SMALL_UNET)).state_dict())


@pytest.mark.parametrize("wrapper", [None, *WRAPPERS])
@pytest.mark.parametrize("prefix", ["", *PREFIXES, "module.model.", "model._orig_mod.net."])
def test_every_usual_wrapping_is_opened(tmp_path: Path, wrapper: str | None, prefix: str) -> None:
    state = {prefix + key: value for key, value in unet_state().items()}
    content = state if wrapper is None else {"epoch": 7, "optimizer": {"lr": 1e-3}, wrapper: state}
    loaded, _ = read_checkpoint(save(tmp_path / "a.pth", content), sha256=None)
    loads_into_unet(loaded)


def test_nested_wrappers_and_averaged_models_are_opened(tmp_path: Path) -> None:
    state = {f"module.{key}": value for key, value in unet_state().items()}
    content = {"state_dict": {"model": {"n_averaged": torch.tensor(4), **state}}}
    loaded, _ = read_checkpoint(save(tmp_path / "a.pt", content), sha256=None)
    loads_into_unet(loaded)


def test_the_weights_come_before_their_average(tmp_path: Path) -> None:
    content = {"ema_state_dict": {"a": torch.zeros(1)}, "model_state_dict": unet_state()}
    loads_into_unet(read_checkpoint(save(tmp_path / "a.pt", content), sha256=None)[0])


def test_safetensors_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file(unet_state(), path)
    state, sha256 = read_checkpoint(path, sha256=None)
    loads_into_unet(state)
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_numbers_of_the_training_do_not_matter(tmp_path: Path) -> None:
    content = {
        "model_state_dict": unet_state(),
        "best_metric": np.float64(0.81),
        "best_loss": np.float32(0.2),
        "best_epoch": np.int64(9),
        "history": [0.1, 0.2],
    }
    loads_into_unet(read_checkpoint(save(tmp_path / "best.pth", content), sha256=None)[0])


def test_the_sha256_is_checked_before_anything_is_parsed(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pth", Bomb(tmp_path / "executed"))
    assert code_of(lambda: read_checkpoint(path, sha256="0" * 64)) == "weights-sha256"
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    assert code_of(lambda: read_checkpoint(path, sha256=right)) == "weights-unsafe"


@pytest.mark.parametrize("hidden", ["bare", "beside weights", "inside weights"])
@pytest.mark.parametrize("old_format", [False, True])
def test_a_checkpoint_with_code_is_refused_and_not_run(
    tmp_path: Path, hidden: str, old_format: bool
) -> None:
    sentinel = tmp_path / "executed"
    bomb = Bomb(sentinel)
    content = {
        "bare": bomb,
        "beside weights": {"model_state_dict": unet_state(), "extra": bomb},
        "inside weights": {**unet_state(), "bomb": bomb},
    }[hidden]
    path = tmp_path / "bad.pth"
    torch.save(content, path, _use_new_zipfile_serialization=not old_format)
    with pytest.raises(FixConfigurationError) as caught:
        read_checkpoint(path, sha256=None)
    assert caught.value.code == "weights-unsafe"
    assert "save_file" in caught.value.remedy
    assert str(path.with_suffix(".safetensors")) in caught.value.remedy
    assert not sentinel.exists()


@pytest.mark.process
def test_the_bomb_of_these_tests_would_go_off(tmp_path: Path) -> None:
    path = save(tmp_path / "bad.pth", Bomb(tmp_path / "executed"))
    torch.load(path, weights_only=False)
    assert (tmp_path / "executed").exists()


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "model.pth", build_network(make_profile(network=SMALL_UNET)))
    assert code_of(lambda: read_checkpoint(path, sha256=None)) == "weights-unsafe"


def test_the_conversion_command_works_as_printed(tmp_path: Path) -> None:
    network = build_network(make_profile(network=SMALL_UNET))
    network.load_state_dict(unet_state())
    path = save(tmp_path / "model.pth", network)
    with pytest.raises(FixConfigurationError) as caught:
        read_checkpoint(path, sha256=None)
    script = caught.value.remedy.split('python -c "')[1].split('" and configure')[0]
    exec(compile(script, "remedy", "exec"), {})
    loads_into_unet(read_checkpoint(path.with_suffix(".safetensors"), sha256=None)[0])


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.pth", b"not a checkpoint", "weights-unsafe"),
        ("a.pth", b"", "weights-unreadable"),
        ("a.pth", b"PK\x03\x04 broken zip", "weights-unreadable"),
        ("a.safetensors", b"not safetensors", "weights-unreadable"),
        ("a.safetensors", b"", "weights-unreadable"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, name: str, content: bytes, code: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert code_of(lambda: read_checkpoint(path, sha256=None)) == code


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1, 2], torch.zeros(3)])
def test_a_file_without_weights_is_refused(tmp_path: Path, content: object) -> None:
    path = save(tmp_path / "a.pth", content)
    assert code_of(lambda: read_checkpoint(path, sha256=None)) == "weights-do-not-fit"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "gone.pth"
    assert code_of(lambda: read_checkpoint(path, sha256=None)) == "weights-missing"


@pytest.mark.parametrize("fault", ["missing", "unknown", "of another shape"])
def test_what_does_not_fit_is_named(fault: str) -> None:
    state = unet_state()
    name = sorted(state)[0]
    if fault == "missing":
        del state[name]
    elif fault == "unknown":
        state["head.extra.weight"] = torch.zeros(1)
        name = "head.extra.weight"
    else:
        state[name] = torch.zeros(1, 2, 3)
    profile = make_profile(network=SMALL_UNET)
    with pytest.raises(FixConfigurationError) as caught:
        load_weights(build_network(profile), state, profile)
    assert caught.value.code == "weights-do-not-fit"
    assert f"1 {fault} ({name})" in caught.value.message


def test_a_wholly_foreign_checkpoint_names_only_a_few() -> None:
    profile = make_profile(network=SMALL_UNET)
    state = {f"encoder.{index}.weight": torch.zeros(1) for index in range(500)}
    with pytest.raises(FixConfigurationError) as caught:
        load_weights(build_network(profile), state, profile)
    assert len(caught.value.message) < 1000


@pytest.mark.parametrize(
    "network",
    [
        Network(architecture="UNet", arguments={"spatial_dims": 3, "in_channels": 1}),
        Network(architecture="UNet", arguments={**SMALL_UNET.arguments, "colour": "red"}),
        Network(architecture="UNet", arguments={**SMALL_UNET.arguments, "in_channels": 4}),
        Network(architecture="SegResNet", arguments={"in_channels": 1, "out_channels": 0}),
    ],
)
def test_network_arguments_that_do_not_fit_are_refused(network: Network) -> None:
    profile = make_profile(network=network)
    assert code_of(lambda: build_network(profile)) == "network-arguments"


def profile_folder(tmp_path: Path, *, with_weights: bool = True) -> Path:
    """A profile's folder with a small UNet."""
    profile = make_profile(network=SMALL_UNET, window=(16, 16, 16))
    folder = tmp_path / "profile"
    folder.mkdir()
    weights = {}
    if with_weights:
        safetensors.torch.save_file(unet_state(), folder / "weights.safetensors")
        digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
        weights = {
            "weights": profile.weights.model_copy(
                update={"file": "weights.safetensors", "sha256": digest}
            )
        }
    (folder / "profile.json").write_text(profile.model_copy(update=weights).model_dump_json())
    return folder


def test_a_model_is_loaded_warm_and_in_evaluation_mode(tmp_path: Path) -> None:
    folder = profile_folder(tmp_path)
    model = load_model(folder, device="cpu")
    assert isinstance(model, LoadedModel)
    assert not any(module.training for module in model.network.modules())
    assert model.device_name == "cpu"
    assert model.load_seconds >= model.warm_up_seconds >= 0
    digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    assert model.model_sha256 == digest


def test_the_labs_own_weights_take_their_place(tmp_path: Path) -> None:
    folder = profile_folder(tmp_path, with_weights=False)
    assert code_of(lambda: load_model(folder)) == "weights-missing"
    own = save(tmp_path / "own.pth", {"model_state_dict": unet_state()})
    digest = hashlib.sha256(own.read_bytes()).hexdigest()
    assert load_model(folder, weights=own, sha256=digest).model_sha256 == digest
    assert code_of(lambda: load_model(folder, weights=own, sha256="1" * 64)) == "weights-sha256"


def test_altered_shipped_weights_are_refused(tmp_path: Path) -> None:
    folder = profile_folder(tmp_path)
    with (folder / "weights.safetensors").open("ab") as file:
        file.write(b"\0")
    assert code_of(lambda: load_model(folder)) == "weights-sha256"


@pytest.mark.parametrize("device", ["cuda:99", "no-such-device"])
def test_an_absent_device_is_named(tmp_path: Path, device: str) -> None:
    assert code_of(lambda: load_model(profile_folder(tmp_path), device=device)) == "device"


RANK, ALPHA = 8, 16.0
SWIN_PROFILE = make_profile(network=swin(), lora=Lora(rank=RANK, alpha=ALPHA), window=(64, 64, 64))


@pytest.fixture(scope="module")
def adapted() -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    """PEFT-named weights of a SwinUNETR with adapters on qkv; an input; the unmerged output."""
    network = seeded(SWIN_PROFILE)
    generator = torch.Generator().manual_seed(11)
    state = adapt(network, rank=RANK, alpha=ALPHA, generator=generator)
    values = torch.randn(1, 1, 64, 32, 32, generator=generator)
    with torch.inference_mode():
        expected = network(values)
    return state, values, expected


def merged_output(state: dict[str, torch.Tensor], values: torch.Tensor) -> torch.Tensor:
    network = build_network(SWIN_PROFILE)
    load_weights(network, state, SWIN_PROFILE)
    with torch.inference_mode():
        output: torch.Tensor = network(values)
    return output


def test_merged_adapters_give_the_unmerged_forward_pass(
    adapted: tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor],
) -> None:
    state, values, expected = adapted
    without = {k.replace(".base_layer", ""): v for k, v in state.items() if ".lora_" not in k}
    found = merged_output({f"base_model.model.{k}": v for k, v in state.items()}, values)
    assert (found - expected).abs().max() <= 1e-4
    # The adapters matter: leaving them out is far off.
    assert (merged_output(without, values) - expected).abs().max() > 1e-2


@pytest.mark.parametrize("wrapper", [None, *WRAPPERS])
@pytest.mark.parametrize("prefix", ["base_model.model.", "module.base_model.model.", ""])
def test_adapters_merge_under_every_wrapping(
    tmp_path: Path,
    adapted: tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor],
    wrapper: str | None,
    prefix: str,
) -> None:
    state, _, _ = adapted
    named = {prefix + key: value for key, value in state.items()}
    path = save(tmp_path / "a.pth", named if wrapper is None else {wrapper: named, "epoch": 1})
    wanted = {key.replace(".base_layer", "") for key in state if ".lora_" not in key}
    fitted = fit_names(read_checkpoint(path, sha256=None)[0], wanted, SWIN_PROFILE.weights.lora)
    assert fitted.keys() == wanted
    layer = "swinViT.layers1.0.blocks.0.attn.qkv"
    change = state[f"{layer}.lora_B.default.weight"] @ state[f"{layer}.lora_A.default.weight"]
    expected = state[f"{layer}.base_layer.weight"] + ALPHA / RANK * change
    assert (fitted[f"{layer}.weight"] - expected).abs().max() <= 1e-5


def test_layers_that_were_trained_whole_win_over_their_frozen_copy(
    adapted: tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor],
) -> None:
    state = dict(adapted[0])
    trained = state.pop("out.conv.conv.weight")
    state["out.conv.modules_to_save.default.conv.weight"] = trained
    state["out.conv.original_module.conv.weight"] = torch.zeros_like(trained)
    network = build_network(SWIN_PROFILE)
    load_weights(network, state, SWIN_PROFILE)
    assert torch.equal(network.get_parameter("out.conv.conv.weight"), trained)


@pytest.mark.parametrize("lora", [None, Lora(rank=4, alpha=16)])
def test_adapters_that_the_profile_does_not_describe_are_refused(
    adapted: tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor], lora: Lora | None
) -> None:
    profile = make_profile(network=swin(), lora=lora)
    network = build_network(profile)
    assert code_of(lambda: load_weights(network, adapted[0], profile)) == "weights-do-not-fit"


def test_half_an_adapter_is_refused(
    adapted: tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor],
) -> None:
    state = {
        k: v
        for k, v in adapted[0].items()
        if not k.endswith("layers2.0.blocks.1.attn.qkv.lora_B.default.weight")
    }
    network = build_network(SWIN_PROFILE)
    assert code_of(lambda: load_weights(network, state, SWIN_PROFILE)) == "weights-do-not-fit"
