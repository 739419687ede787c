"""TorchScript: a program as weights file; what is run and what is not."""

from __future__ import annotations

import hashlib
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from lab_side.models.loaded import load_model
from lab_side.models.networks import build_network
from lab_side.models.torchscript import read_program
from lab_side.models.weights import read_checkpoint
from segrelay.errors import FixConfigurationError
from segrelay.profiles import Network, Profile
from tests.support.dicom.imaging_cases import SMALL_UNET, make_profile
from tests.support.networks.torchscript import WritesWhenLoaded, save_scripted, save_traced

SCRIPT = Network(architecture="TorchScript", arguments={"in_channels": 1, "out_channels": 1})


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(5)
    return build_network(make_profile(network=SMALL_UNET))


@pytest.fixture
def traced(tmp_path: Path, network: nn.Module) -> Path:
    return save_traced(network, tmp_path / "model.ts", torch.zeros(1, 1, 16, 16, 16))


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def script_folder(tmp_path: Path, weights: Path, profile: Profile | None = None) -> Path:
    """A profile's folder around a TorchScript file."""
    profile = profile or make_profile(network=SCRIPT, window=(16, 16, 16))
    document = profile.model_dump(mode="json")
    document["weights"] = {"file": weights.name, "sha256": sha256_of(weights)}
    folder = tmp_path / "profile"
    folder.mkdir()
    (folder / "profile.json").write_text(Profile.model_validate(document).model_dump_json())
    (folder / weights.name).write_bytes(weights.read_bytes())
    return folder


def code_of(path: Path, sha256: str | None = None) -> str:
    with pytest.raises(FixConfigurationError) as caught:
        read_program(path, sha256=sha256 or sha256_of(path))
    assert caught.value.remedy
    return caught.value.code


def test_a_program_answers_as_the_network_it_was_exported_from(
    tmp_path: Path, traced: Path, network: nn.Module
) -> None:
    model = load_model(script_folder(tmp_path, traced))
    # Another size than the one that was recorded.
    values = torch.randn(1, 1, 24, 16, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert (model.network(values) - network(values)).abs().max() <= 1e-4
    assert model.model_sha256 == sha256_of(traced)


def test_a_program_is_run_only_where_its_sha256_is_written_down(traced: Path) -> None:
    with pytest.raises(FixConfigurationError) as caught:
        read_program(traced, sha256=None)
    assert caught.value.code == "weights-unpinned"
    assert sha256_of(traced) in caught.value.remedy
    assert code_of(traced, "0" * 64) == "weights-sha256"


class WritesWhenRun(nn.Module):
    """An operator of TorchScript that writes a file."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        torch.save(values, self.path)
        return values


@pytest.mark.parametrize("evil", [WritesWhenRun, WritesWhenLoaded])
def test_a_program_that_writes_files_is_refused_and_not_run(
    tmp_path: Path, evil: type[nn.Module]
) -> None:
    sentinel = tmp_path / "written"
    path = save_scripted(evil(str(sentinel)), tmp_path / "evil.ts")
    assert code_of(path) == "weights-unsafe"
    assert not sentinel.exists()


@pytest.mark.parametrize("evil", [WritesWhenRun, WritesWhenLoaded])
def test_the_programs_of_this_test_would_write(tmp_path: Path, evil: type[nn.Module]) -> None:
    sentinel = tmp_path / "written"
    path = save_scripted(evil(str(sentinel)), tmp_path / "evil.ts")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.load(path)(torch.zeros(1))
    assert sentinel.exists()


@pytest.mark.parametrize(
    "line",
    [
        "t = torch\n    t.save(x, p)",
        'getattr(torch, "save")(x, p)',
        'getattr(torch, "\\x73ave")(x, p)',
        "torch . save(x, p)",
        "ops.aten.save(x, p)",
        "torch.from_file(p, True, 4)",
        "ops.image.read_file(p)",
        "ops . c10d.send(x)",
        "__torch__.torch.classes.c10d.FileStore(p, 1)",
    ],
)
def test_disguises_are_seen_through(tmp_path: Path, traced: Path, line: str) -> None:
    assert code_of(with_line(traced, tmp_path / "changed.ts", line)) == "weights-unsafe"


@pytest.mark.parametrize("line", ["x = torch.add(x, 1)", "y = ops.prim.NumToTensor(1)"])
def test_ordinary_operators_are_no_reason(tmp_path: Path, traced: Path, line: str) -> None:
    changed = with_line(traced, tmp_path / "changed.ts", line)
    read_program(changed, sha256=sha256_of(changed))


def with_line(source: Path, target: Path, line: str) -> Path:
    """A TorchScript file with one more line after the last one of each class."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.infolist():
            content = old.read(member)
            if member.filename.endswith(".py"):
                content += f"\n    {line}\n".encode()
            new.writestr(member.filename, content)
    return target


def test_a_checkpoint_is_no_program_and_a_program_no_checkpoint(
    tmp_path: Path, traced: Path, network: nn.Module
) -> None:
    path = tmp_path / "a.pth"
    torch.save(network.state_dict(), path)
    assert code_of(path) == "weights-do-not-fit"
    with pytest.raises(FixConfigurationError, match="TorchScript program") as caught:
        read_checkpoint(traced, sha256=None)
    assert caught.value.code == "weights-do-not-fit"


def test_a_damaged_program_is_named(tmp_path: Path, traced: Path) -> None:
    path = tmp_path / "cut.ts"
    with zipfile.ZipFile(traced) as old, zipfile.ZipFile(path, "w") as new:
        for member in old.infolist():
            if not member.filename.endswith("data/0"):
                new.writestr(member.filename, old.read(member))
    assert code_of(path) == "weights-unreadable"


class Narrow(nn.Module):
    """Answers with half as many voxels."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values[:, :, ::2]


class Two(nn.Module):
    """Answers with two tensors, as with deep supervision."""

    def forward(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return values, values


class Fixed(nn.Module):
    """Takes one size only."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values.reshape(1, 1, 96, 96, 96)


@pytest.mark.parametrize(
    ("network", "told"),
    [(Narrow(), "with the form"), (Two(), "with a tuple"), (Fixed(), "does not take")],
)
def test_a_program_of_another_form_is_refused_at_start(
    tmp_path: Path, network: nn.Module, told: str
) -> None:
    folder = script_folder(tmp_path, save_scripted(network, tmp_path / "m.ts"))
    with pytest.raises(FixConfigurationError, match=told) as caught:
        load_model(folder)
    assert caught.value.code == "network-window"


def test_a_window_that_the_network_cannot_halve_is_refused_at_start(tmp_path: Path) -> None:
    network = Network(
        architecture="SegResNet",
        arguments={"init_filters": 8, "in_channels": 1, "out_channels": 1},
    )
    profile = make_profile(network=network, window=(17, 16, 16))
    weights = tmp_path / "a.pth"
    torch.save(build_network(profile).state_dict(), weights)
    with pytest.raises(FixConfigurationError) as caught:
        load_model(script_folder(tmp_path, weights, profile))
    assert caught.value.code == "network-window"


def test_channels_that_do_not_fit_the_inputs_are_refused(tmp_path: Path, traced: Path) -> None:
    profile = make_profile(network=SCRIPT, roles=("a", "b"), window=(16, 16, 16))
    with pytest.raises(FixConfigurationError) as caught:
        load_model(script_folder(tmp_path, traced, profile))
    assert caught.value.code == "network-arguments"
