"""Building the MONAI network that a profile describes, as data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monai.networks.nets.dynunet import DynUNet
from monai.networks.nets.segresnet import SegResNet
from monai.networks.nets.swin_unetr import SwinUNETR
from monai.networks.nets.unet import UNet
from torch import nn

from segrelay.errors import FixConfigurationError
from segrelay.profiles import Network, Profile

_ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "DynUNet": DynUNet,
    "SegResNet": SegResNet,
    "SwinUNETR": SwinUNETR,
    "UNet": UNet,
}

_CONSTRUCTOR_ERRORS = (
    AssertionError,
    AttributeError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What MONAI and PyTorch raise for arguments that make no network."""


def build_network(profile: Profile) -> nn.Module:
    """The network with random weights, in evaluation mode.

    Raises
    ------
    FixConfigurationError
        ``network-arguments``: the profile's arguments do not fit the architecture, or its
        inputs or segments do not fit the network's channels.
    """
    check_channels(profile)
    return construct(profile.network)


def construct(network: Network) -> nn.Module:
    """Construct a network from its description alone.

    Raises
    ------
    FixConfigurationError
        ``network-arguments``.
    """
    arguments: dict[str, Any] = dict(network.arguments)
    try:
        return _ARCHITECTURES[network.architecture](**arguments).eval()
    except _CONSTRUCTOR_ERRORS as error:
        raise FixConfigurationError(
            f"{network.architecture} cannot be built with these arguments ({error}).",
            code="network-arguments",
            remedy="Correct network.arguments in the profile's profile.json.",
        ) from error


def check_channels(profile: Profile) -> None:
    """Check that inputs and segments fit the network's channels.

    Raises
    ------
    FixConfigurationError
        ``network-arguments``.
    """
    arguments = profile.network.arguments
    inputs, outputs = arguments.get("in_channels"), arguments.get("out_channels")
    highest = max(max(segment.channels) for segment in profile.segments)
    if inputs != len(profile.inputs) or not isinstance(outputs, int) or outputs <= highest:
        raise FixConfigurationError(
            f"Profile {profile.name} has {len(profile.inputs)} inputs and uses output channel "
            f"{highest}; its network has in_channels={inputs}, out_channels={outputs}.",
            code="network-arguments",
            remedy="Correct network.arguments, inputs or segments in profile.json.",
        )
