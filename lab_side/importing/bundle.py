"""The JSON of a MONAI bundle as data.

A bundle's configuration is a program: ``$…`` is Python and ``_target_`` names what to call.
Here nothing is evaluated: known steps are recognised by name, ``@…`` is followed to plain
data, and what would have to be computed is refused or reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue, ValidationError

from segrelay.errors import FixConfigurationError
from segrelay.profiles import Network

Document = Mapping[str, Any]

_NETWORK_KEYS = ("network_def", "network", "net")
_ARCHITECTURES = ("SwinUNETR", "SegResNet", "UNet", "DynUNet")

_NOTHING_TO_DO = frozenset(
    {
        "AddChanneld",
        "AsChannelFirstd",
        "CastToTyped",
        "EnsureChannelFirstd",
        "EnsureTyped",
        "Identityd",
        "LoadImaged",
        "ToDeviced",
        "ToTensord",
    }
)
"""Steps before the network that this product's own reading replaces."""

_TRIMMING = frozenset({"CropForegroundd", "DivisiblePadd", "SpatialPadd"})
"""Steps that change how much is seen at once, not what a voxel holds."""

_OUTPUT_STEPS = frozenset({"EnsureTyped", "Invertd", "SaveImaged", "Lambdad", "ToDeviced"})
"""Steps after the network that this product's own writing replaces."""

_FOLLOWED = 8
"""References to references, at most."""

_LARGEST = 10_000
"""Parts of one value, at most."""

_MISSING = object()


@dataclass
class BundleAttributes:
    """Settings of a bundle, as a profile names them."""

    network: Network | None = None
    preprocessing: dict[str, JsonValue] = field(default_factory=dict)
    inference: dict[str, JsonValue] = field(default_factory=dict)
    postprocessing: dict[str, JsonValue] = field(default_factory=dict)
    citation: str = ""
    title: str = ""
    left_out: list[str] = field(default_factory=list)
    """Sentences: what it says and a profile does not."""


def read_bundle(inference: Document, metadata: Document) -> BundleAttributes:
    """Settings in ``inference.json`` and ``metadata.json`` of a MONAI bundle.

    Raises
    ------
    FixConfigurationError
        ``bundle-network``, ``bundle-step``: it needs something that a profile cannot say.
    """
    facts = BundleAttributes(
        citation="; ".join(_texts(metadata.get("references")))[:1000],
        title=str(metadata.get("name", ""))[:100],
    )
    facts.network = _network(inference)
    for step in _steps(inference, "preprocessing"):
        _take_input_step(step, inference, facts)
    _take_inferer(inference, facts)
    for step in _steps(inference, "postprocessing"):
        _take_output_step(step, inference, facts)
    return facts


def _network(config: Document) -> Network | None:
    found = (config[key] for key in _NETWORK_KEYS if isinstance(config.get(key), Mapping))
    definition = next(found, None)
    if definition is None:
        return None
    name = _target(definition)
    if name not in _ARCHITECTURES:
        raise FixConfigurationError(
            f"The bundle's network is {name!r}, which no profile can name.",
            code="bundle-network",
            remedy="Export it with torch.jit.save and import the .ts file.",
        )
    arguments = {
        key: _plain(value, config, f"network_def.{key}")
        for key, value in definition.items()
        if not key.startswith("_")
    }
    try:
        return Network.model_validate({"architecture": name, "arguments": arguments})
    except ValidationError as error:
        raise FixConfigurationError(
            "The arguments of the bundle's network are not plain data.",
            code="bundle-network",
            remedy="Write architecture and arguments into a JSON file, give it with --network.",
        ) from error


def _take_input_step(step: Document, config: Document, facts: BundleAttributes) -> None:
    name = _target(step)
    if name in _NOTHING_TO_DO:
        return
    if name in _TRIMMING:
        facts.left_out.append(f"{name} before the network: the whole series is looked at.")
    elif name == "Orientationd":
        codes = _plain(step.get("axcodes"), config, "Orientationd.axcodes")
        letters = codes if isinstance(codes, (str, list)) else ()
        facts.preprocessing["orientation"] = "".join(map(str, letters))
    elif name == "Spacingd":
        mode = _plain(step.get("mode", "bilinear"), config, "Spacingd.mode")
        if mode not in ("bilinear", ["bilinear"]):
            raise _unsayable("a Spacingd that is not bilinear")
        facts.preprocessing["spacing_mm"] = _triple(step.get("pixdim"), config, "Spacingd.pixdim")
    elif name == "NormalizeIntensityd":
        facts.preprocessing["normalisation"] = _normalisation(step, config, facts.network)
    else:
        raise _unsayable(f"the step {name} before the network")


def _normalisation(step: Document, config: Document, network: Network | None) -> str:
    by_itself = _plain(step.get("channel_wise", False), config, "NormalizeIntensityd.channel_wise")
    is_one = network is not None and network.arguments.get("in_channels") == 1
    given = [key for key in ("subtrahend", "divisor") if step.get(key) is not None]
    if given or not (by_itself is True or is_one):
        raise _unsayable("a NormalizeIntensityd over all channels at once or with given numbers")
    nonzero = _plain(step.get("nonzero", False), config, "NormalizeIntensityd.nonzero")
    return "zscore-nonzero" if nonzero is True else "zscore"


def _take_inferer(config: Document, facts: BundleAttributes) -> None:
    inferer = config.get("inferer")
    if not isinstance(inferer, Mapping):
        return
    name = _target(inferer)
    if name != "SlidingWindowInferer":
        raise _unsayable(f"the inferer {name}")
    facts.inference["window"] = _triple(inferer.get("roi_size"), config, "inferer.roi_size")
    # Both defaults are MONAI's.
    facts.inference["overlap"] = _plain(inferer.get("overlap", 0.25), config, "inferer.overlap")
    facts.inference["blend"] = _plain(inferer.get("mode", "constant"), config, "inferer.mode")


def _take_output_step(step: Document, config: Document, facts: BundleAttributes) -> None:
    name = _target(step)
    if name in _OUTPUT_STEPS:
        return
    if name == "Activationsd" and (step.get("sigmoid") is True or step.get("softmax") is True):
        activation = "sigmoid" if step.get("sigmoid") is True else "softmax"
        facts.inference["activation"] = activation
    elif name == "AsDiscreted" and step.get("threshold") is not None:
        facts.postprocessing["threshold"] = _plain(step["threshold"], config, "AsDiscreted")
    elif name == "FillHolesd":
        facts.postprocessing["fill_holes"] = True
    elif name == "KeepLargestConnectedComponentd":
        facts.postprocessing["keep_largest_component"] = True
    else:
        facts.left_out.append(f"{name} after the network: look at threshold and segments.")


def _steps(config: Document, key: str) -> Iterator[Document]:
    chain = config.get(key)
    steps = chain.get("transforms") if isinstance(chain, Mapping) else chain
    for step in steps if isinstance(steps, list) else ():
        if not isinstance(step, Mapping):
            raise _unsayable(f"a step of {key} that is an expression")
        if step.get("_disabled_") is not True:
            yield step


def _target(definition: Document) -> str:
    """The class's own name, as ``SegResNet`` in ``monai.networks.nets.SegResNet``."""
    target = definition.get("_target_", "")
    name = target.rpartition(".")[2] if isinstance(target, str) else ""
    # Only a name is ever shown: the rest is the file's words.
    return name if re.fullmatch(r"[A-Za-z_]\w{0,60}", name) else "?"


def _triple(value: Any, config: Document, where: str) -> JsonValue:
    plain = _plain(value, config, where)
    numbers: list[JsonValue] = plain if isinstance(plain, list) else [plain] * 3
    if len(numbers) != 3 or not all(isinstance(n, (int, float)) and n > 0 for n in numbers):
        raise _unsayable(f"{where} that is not three sizes")
    return numbers


def _plain(value: Any, config: Document, where: str) -> JsonValue:
    """Plain data, with references to plain data followed."""
    plain: JsonValue = _Follow(config, where).follow(value, _FOLLOWED)
    return plain


@dataclass
class _Follow:
    """Follows references, but not for ever: a file can refer to itself many times over."""

    config: Document
    where: str
    parts_left: int = _LARGEST

    def follow(self, item: Any, references_left: int) -> Any:
        self.parts_left -= 1
        if isinstance(item, str) and item.startswith("@") and references_left:
            return self.follow(_referred(item[1:], self.config), references_left - 1)
        if self.parts_left < 0 or not _is_data(item):
            raise _unsayable(f"{self.where}, which would have to be computed")
        if isinstance(item, list):
            return [self.follow(part, references_left) for part in item]
        if isinstance(item, Mapping):
            return {key: self.follow(part, references_left) for key, part in item.items()}
        return item


def _is_data(item: Any) -> bool:
    if isinstance(item, str):
        return not item.startswith(("$", "@", "%"))
    return item is not _MISSING and not (isinstance(item, Mapping) and "_target_" in item)


def _referred(path: str, config: Document) -> Any:
    place: Any = config
    for part in re.split(r"::|#", path):
        if isinstance(place, Mapping) and part in place:
            place = place[part]
        elif isinstance(place, list) and part in map(str, range(len(place))):
            place = place[int(part)]
        else:
            return _MISSING
    return place


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _unsayable(what: str) -> FixConfigurationError:
    return FixConfigurationError(
        f"The bundle asks for {what}: a profile has no words for it.",
        code="bundle-step",
        remedy="Import its models/model.pt by itself, with --like a profile whose preprocessing "
        "and inference are those of the training.",
    )
