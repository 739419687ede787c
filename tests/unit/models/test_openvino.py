"""OpenVINO runs a network where it answers as PyTorch does; else PyTorch does, and why is told."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from lab_side.model_files import sha256_of
from lab_side.models.fused import fuse_attention
from lab_side.models.inference import infer
from lab_side.models.loaded import load_model
from lab_side.models.networks import build_network
from lab_side.models.openvino_engine import TOLERANCE, OpenVinoUnfitError, to_openvino
from lab_side.settings.config import PACKAGED_PROFILES
from segrelay.profiles import Profile, load_profile
from tests.conftest import SEED
from tests.support.networks.tiny_profile import write_tiny_profile
from tests.support.networks.torchscript import save_traced

Answer = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def as_openvino(answer: Callable[[nn.Module], Answer]) -> SimpleNamespace:
    """A module with the part of OpenVINO's interface that is used."""

    class Model:
        def __init__(self, run: Answer) -> None:
            self.run = run

        def reshape(self, shape: list[int]) -> None:
            assert len(shape) == 5

    class Core:
        def compile_model(self, model: Model, *_: object) -> Callable[[Any], list[Any]]:
            return lambda windows: [model.run(windows)]

    def convert_model(network: nn.Module, **_: object) -> Model:
        return Model(answer(network))

    return SimpleNamespace(
        Core=Core,
        PartialShape=list,
        convert_model=convert_model,
        get_version=lambda: "1.2.3-99-abc",
    )


def exact(network: nn.Module, wrong_by: float = 0.0) -> Answer:
    return lambda windows: network(torch.from_numpy(windows)).numpy() + np.float32(wrong_by)


def slightly(network: nn.Module) -> Answer:
    return exact(network, TOLERANCE / 2)


def wrongly(network: nn.Module) -> Answer:
    return exact(network, 0.1)


def without_number(network: nn.Module) -> Answer:
    return exact(network, float("nan"))


def not_at_all(_network: nn.Module) -> Answer:
    raise RuntimeError("Model wasn't fully converted.")


@pytest.mark.parametrize(
    ("answer", "doubt"),
    [
        (exact, ""),
        (slightly, ""),
        (wrongly, r"OpenVINO's answer differs by 0\.1, more than 0\.000\d+"),
        (without_number, r"OpenVINO's answer differs by nan, more than 0\.000\d+"),
        (not_at_all, r"OpenVINO does not take the network \(RuntimeError\)"),
    ],
)
def test_it_is_used_where_it_answers_as_pytorch_does(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[nn.Module], Answer],
    doubt: str,
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", as_openvino(answer))
    model = load_model(write_tiny_profile(tmp_path), cpu_engine="openvino")
    assert re.fullmatch(doubt, model.engine_doubt)
    assert model.device_name == ("cpu" if doubt else "cpu, OpenVINO 1.2.3")


def test_where_it_is_not_installed_pytorch_runs_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    model = load_model(write_tiny_profile(tmp_path), cpu_engine="openvino")
    assert (model.device_name, model.engine_doubt) == ("cpu", "OpenVINO is not installed")


def test_it_is_left_alone_unless_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", as_openvino(exact))
    model = load_model(write_tiny_profile(tmp_path))
    assert (model.device_name, model.engine_doubt) == ("cpu", "")


@pytest.fixture
def openvino() -> Iterator[None]:
    """The real one, with what it would tell its makers left out."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    yield
    from openvino.tools.ovc import telemetry_utils

    assert telemetry_utils.tm.__name__ == "openvino.tools.ovc.telemetry_stub"


def random_network(profile: Profile) -> nn.Module:
    torch.manual_seed(SEED)
    return build_network(profile)


@pytest.mark.usefixtures("openvino")
def test_brats_segresnet_gives_the_same_in_boxes_of_any_size() -> None:
    document = json.loads((PACKAGED_PROFILES / "brats-segresnet/profile.json").read_text())
    document["network"]["arguments"] |= {"init_filters": 8}
    profile = Profile.model_validate(document)
    network = random_network(profile)
    converted = to_openvino(network, profile)
    generator = torch.Generator().manual_seed(SEED)
    for size in ((32, 32, 32), (24, 40, 32), (32, 32, 32)):
        window = torch.randn(1, 4, *size, generator=generator)
        with torch.inference_mode():
            assert (network(window) - converted(window)).abs().max() <= 1e-4


@pytest.mark.usefixtures("openvino")
@pytest.mark.parametrize("is_script", [False, True])
def test_a_loaded_model_infers_the_same(tmp_path: Path, is_script: bool) -> None:
    folder = write_tiny_profile(tmp_path)
    profile = load_profile(folder)
    expected = load_model(folder)
    weights = folder / "weights.safetensors"
    if is_script:
        weights = save_traced(expected.network, tmp_path / "net.pt", torch.zeros(1, 4, 32, 32, 32))
        document = json.loads((folder / "profile.json").read_text())
        arguments = {"in_channels": 4, "out_channels": 1}
        document["network"] = {"architecture": "TorchScript", "arguments": arguments}
        (folder / "profile.json").write_text(json.dumps(document))
    model = load_model(folder, weights=weights, sha256=sha256_of(weights), cpu_engine="openvino")
    assert re.fullmatch(r"cpu, OpenVINO \d+\.\d+\.\d+", model.device_name), model.engine_doubt
    values = np.random.default_rng(SEED).normal(size=(4, 40, 30, 36)).astype(np.float32)
    found = infer(model.network, values, profile.inference, model.device)
    plain = infer(expected.network, values, profile.inference, expected.device)
    np.testing.assert_allclose(found, plain, atol=1e-4)


def test_window_attention_stays_with_pytorch() -> None:
    document = json.loads((PACKAGED_PROFILES / "breast-dce-swinunetr/profile.json").read_text())
    document["network"]["arguments"] |= {"feature_size": 12}
    profile = Profile.model_validate(document)
    network = random_network(profile)
    fuse_attention(network)
    with pytest.raises(OpenVinoUnfitError, match="SwinUNETR"):
        to_openvino(network, profile)
