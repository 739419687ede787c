"""Import: what is found out, what is written, what is refused; worker within this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lab_side.importing.draft import Wishes
from lab_side.importing.run import Imported, import_profile
from lab_side.models.networks import construct
from lab_side.settings.config import PACKAGED_PROFILES
from lab_side.worker.protocol import LoadReply, LoadRequest
from segrelay.errors import AttemptFailedError, FixConfigurationError
from segrelay.profiles import Network, Profile, load_profile
from tests.support.networks.bomb import Bomb
from tests.support.networks.importing import (
    SEGRESNET,
    NearWorker,
    inference_json,
    save_weights,
    write_bundle,
    zip_folder,
)
from tests.support.networks.lora import adapt
from tests.support.networks.torchscript import save_traced

SHIPPED = {path.name: load_profile(path) for path in PACKAGED_PROFILES.iterdir() if path.is_dir()}
SWIN = Network(
    architecture="SwinUNETR",
    arguments={
        "in_channels": 4,
        "out_channels": 1,
        "feature_size": 12,
        "depths": [2, 2, 2, 2],
        "num_heads": [3, 6, 12, 24],
    },
)


def known(**changed: Profile) -> dict[str, Profile]:
    """The shipped profiles, with windows in which small networks are quick."""
    small = {"window": (64, 32, 32)}
    return {
        name: profile.model_copy(update={"inference": profile.inference.model_copy(update=small)})
        for name, profile in SHIPPED.items()
    } | changed


class Importer:
    """Imports into a fresh folder."""

    def __init__(self, into: Path) -> None:
        self.into = into
        self.worker = NearWorker()
        self.known = known()

    def __call__(self, path: Path, **wishes: Any) -> Imported:
        wishes.setdefault("name", "mine")
        return import_profile(
            path,
            Wishes(**wishes),
            into=self.into,
            known=self.known,
            worker=self.worker,
            device="cpu",
        )

    def refused(self, path: Path, **wishes: Any) -> FixConfigurationError:
        before = sorted(self.into.rglob("*"))
        with pytest.raises(FixConfigurationError) as caught:
            self(path, **wishes)
        assert caught.value.remedy
        assert sorted(self.into.rglob("*")) == before
        return caught.value


@pytest.fixture
def importer(tmp_path: Path) -> Importer:
    return Importer(tmp_path / "profiles")


def test_a_checkpoint_becomes_a_profile(importer: Importer, tmp_path: Path) -> None:
    path = save_weights(SEGRESNET, tmp_path / "best_model.pth")
    imported = importer(path, licence="CC-BY-4.0", citation="Us 2026")
    assert imported.folder == importer.into / "mine"
    profile = load_profile(imported.folder)
    assert profile == imported.profile
    told = {**SEGRESNET.arguments}
    del told["dropout_prob"]  # does nothing at inference, and no weight shows it
    assert profile.network == Network(architecture="SegResNet", arguments=told)
    assert profile.inputs == SHIPPED["brats-segresnet"].inputs
    assert (profile.licence, profile.citation) == ("CC-BY-4.0", "Us 2026")
    assert (imported.folder / "weights.pth").read_bytes() == path.read_bytes()
    assert imported.proof.model_sha256 == profile.weights.sha256
    assert [item.name for item in importer.into.iterdir()] == ["mine"]
    assert any("as in brats-segresnet" in sentence for sentence in imported.found)


def test_adapters_are_found_with_the_alpha_of_their_training(
    importer: Importer, tmp_path: Path
) -> None:
    network = construct(SWIN)
    generator = torch.Generator().manual_seed(1)
    state = adapt(network, rank=4, alpha=32, generator=generator)
    content: dict[str, Any] = {
        "ema_state_dict": {f"module.base_model.model.{k}": v for k, v in state.items()},
        "best": np.float64(0.7),
        "config": {"lora": {"lora_alpha": 32, "r": 4}},
    }
    path = tmp_path / "best_model.pth"
    torch.save(content, path)
    imported = importer(path)
    assert imported.profile.network == SWIN
    assert imported.profile.inputs == SHIPPED["breast-dce-swinunetr"].inputs
    lora = imported.profile.weights.lora
    assert lora is not None
    assert (lora.rank, lora.alpha) == (4, 32.0)

    del content["config"]
    torch.save(content, path)
    assert importer.refused(path, name="other").code == "lora-alpha"
    lora = importer(path, name="other", lora_alpha=8.0).profile.weights.lora
    assert lora is not None
    assert lora.alpha == 8.0


def test_adapters_alone_are_no_network(importer: Importer, tmp_path: Path) -> None:
    path = tmp_path / "adapter_model.bin"
    name = "base_model.model.swinViT.layers1.0.blocks.0.attn.qkv"
    state = {
        f"{name}.lora_A.weight": torch.zeros(8, 12),
        f"{name}.lora_B.weight": torch.zeros(36, 8),
    }
    torch.save(state, path)
    assert importer.refused(path).code == "adapters-alone"


@pytest.mark.parametrize("form", ["folder", "zip", "zip below a folder"])
def test_a_bundle_becomes_a_profile(importer: Importer, tmp_path: Path, form: str) -> None:
    path = write_bundle(tmp_path / "brats")
    if form != "folder":
        below = "brats_mri/" if "below" in form else ""
        path = zip_folder(path, tmp_path / "brats.zip", below=below)
    imported = importer(path)
    profile = imported.profile
    assert profile.network == SEGRESNET
    assert profile.preprocessing.spacing_mm == (2.0, 2.0, 2.0)
    assert profile.preprocessing.orientation == "RAS"
    assert profile.inference.window == (32, 32, 32)
    assert (profile.inference.overlap, profile.inference.blend) == (0.5, "constant")
    assert profile.postprocessing.threshold == 0.4
    assert profile.citation == "Myronenko 2018"
    assert profile.title.en.endswith(": BraTS")


def test_a_program_becomes_a_profile(importer: Importer, tmp_path: Path) -> None:
    path = save_traced(construct(SEGRESNET), tmp_path / "m.ts", torch.zeros(1, 4, 16, 16, 16))
    assert importer.refused(path).code == "template"
    profile = importer(path, like="brats-segresnet").profile
    assert profile.network == Network(
        architecture="TorchScript", arguments={"in_channels": 4, "out_channels": 3}
    )
    # Another number of channels shows when it is run.
    assert importer.refused(path, name="other", like="demo").code == "network-window"


def test_a_network_whose_weights_do_not_tell_needs_a_description(
    importer: Importer, tmp_path: Path
) -> None:
    arguments = {**SHIPPED["demo"].network.arguments, "channels": [4, 8], "strides": [2]}
    unet = Network(architecture="UNet", arguments=arguments)
    path = save_weights(unet, tmp_path / "unet.pth")
    refusal = importer.refused(path)
    assert refusal.code == "network-unknown"
    assert "looks like a UNet" in refusal.message
    imported = importer(path, network=unet, like="demo")
    assert imported.profile.network == unet
    assert any("strides" in sentence for sentence in imported.found)


def test_weights_of_another_network_than_described_are_refused(
    importer: Importer, tmp_path: Path
) -> None:
    path = save_weights(SEGRESNET, tmp_path / "a.pth")
    other = Network(architecture="SegResNet", arguments={**SEGRESNET.arguments, "init_filters": 16})
    assert importer.refused(path, network=other).code == "weights-do-not-fit"


@pytest.mark.parametrize("where", ["file", "folder", "zip"])
def test_code_in_weights_is_refused_and_not_run(
    importer: Importer, tmp_path: Path, where: str
) -> None:
    sentinel = tmp_path / "executed"
    bundle = write_bundle(tmp_path / "bundle")
    weights = bundle / "models/model.pt"
    torch.save({"state_dict": {}, "x": Bomb(sentinel)}, weights)
    path = {"file": weights, "folder": bundle, "zip": tmp_path / "b.zip"}[where]
    if where == "zip":
        zip_folder(bundle, path)
    refusal = importer.refused(path)
    assert refusal.code == "weights-unsafe"
    assert not sentinel.exists()
    # The remedy leads to the person's own file; inside a zip, to unpacking it.
    assert ("Unpack the zip" if where == "zip" else str(weights)) in refusal.remedy


def change(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    def edit(config: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        place: Any = config
        for key in parents:
            place = place[int(key) if key.isdigit() else key]
        place[int(last) if last.isdigit() else last] = value

    return edit


STEP = "preprocessing.transforms.4"


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (
            change("network_def.init_filters", "$__import__('os').system('touch {sentinel}')"),
            "bundle-step",
        ),
        (
            change("network_def._target_", "$__import__('os').system('touch {sentinel}')"),
            "bundle-network",
        ),
        (change("network_def._target_", "os.system"), "bundle-network"),
        (
            change("network_def.norm", {"_target_": "os.system", "command": "touch {sentinel}"}),
            "bundle-step",
        ),
        (change("network_def.init_filters", "@nothing"), "bundle-step"),
        (change("filters", "@filters"), "bundle-step"),
        (change("filters", ["@filters"] * 50), "bundle-step"),
        (change("inferer.roi_size", "$[1] * 3"), "bundle-step"),
        (change("inferer.roi_size", [-1, -1, -1]), "bundle-step"),
        (change("inferer._target_", "SimpleInferer"), "bundle-step"),
        (change("inferer.overlap", 2), "draft-invalid"),
        (change(STEP, {"_target_": "ScaleIntensityRanged", "a_min": 0}), "bundle-step"),
        (change(STEP, "$print('touch {sentinel}')"), "bundle-step"),
        (change("preprocessing.transforms.5.channel_wise", False), "bundle-step"),
        (change("preprocessing.transforms.5.subtrahend", [1, 2, 3, 4]), "bundle-step"),
        (change("preprocessing.transforms.3.mode", "nearest"), "bundle-step"),
        (change("preprocessing.transforms.2.axcodes", "XYZ"), "draft-invalid"),
        (change("network_def.init_filters", 16), "weights-do-not-fit"),
    ],
)
def test_a_bundle_that_a_profile_cannot_follow_is_refused_and_nothing_evaluated(
    importer: Importer, tmp_path: Path, edit: Callable[[dict[str, Any]], None], code: str
) -> None:
    sentinel = tmp_path / "executed"
    config = inference_json()
    edit(config)
    text = json.dumps(config).replace("{sentinel}", str(sentinel))
    bundle = write_bundle(tmp_path / "bundle", json.loads(text))
    assert importer.refused(bundle).code == code
    assert not sentinel.exists()


def test_what_a_bundle_does_besides_is_told(importer: Importer, tmp_path: Path) -> None:
    config = inference_json()
    change(STEP, {"_target_": "CropForegroundd"})(config)
    config["postprocessing"]["transforms"].append({"_target_": "RemoveSmallObjectsd"})
    found = "\n".join(importer(write_bundle(tmp_path / "bundle", config)).found)
    assert "Left out: CropForegroundd" in found
    assert "Left out: RemoveSmallObjectsd" in found


@pytest.mark.parametrize(
    ("file", "content", "code"),
    [
        ("configs/inference.json", b"[1, 2]", "bundle-json"),
        ("configs/inference.json", b"{", "bundle-json"),
        ("configs/inference.json", b"[" * 100_000, "bundle-json"),
        ("configs/metadata.json", b"\xff", "bundle-json"),
        ("configs/inference.json", None, "bundle-incomplete"),
        ("models/model.pt", None, "bundle-incomplete"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_a_broken_bundle_is_named(
    importer: Importer, tmp_path: Path, file: str, content: bytes | None, code: str, zipped: bool
) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    (bundle / file).unlink()
    if content is not None:
        (bundle / file).write_bytes(content)
    path = zip_folder(bundle, tmp_path / "b.zip") if zipped else bundle
    assert importer.refused(path).code == code


def test_names_and_templates_are_checked(importer: Importer, tmp_path: Path) -> None:
    path = save_weights(SEGRESNET, tmp_path / "a.pth")
    assert importer.refused(path, name="Über").code == "profile-name"
    assert importer.refused(path, name="../x").code == "profile-name"
    assert importer.refused(path, name="demo").code == "profile-exists"
    assert importer.refused(path, like="nobody").code == "template"
    assert importer.refused(tmp_path / "gone.pth").code == "source-missing"
    importer(path)
    assert importer.refused(path).code == "profile-exists"
    importer.known |= {"mine": load_profile(importer.into / "mine")}
    # Two profiles have such a network now.
    refusal = importer.refused(path, name="second")
    assert refusal.code == "template"
    assert "brats-segresnet, mine" in refusal.remedy


def test_nothing_stays_where_the_worker_dies(importer: Importer, tmp_path: Path) -> None:
    class Dies(NearWorker):
        def load(self, request: LoadRequest) -> LoadReply:
            assert (request.folder / "profile.json").is_file()
            raise AttemptFailedError("gone", code="worker-died")

    importer.worker = Dies()
    with pytest.raises(AttemptFailedError):
        importer(save_weights(SEGRESNET, tmp_path / "a.pth"))
    assert list(importer.into.iterdir()) == []
