"""A profile out of a template, what the weights file is, and what its bundle says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from lab_side.importing.bundle import BundleAttributes
from lab_side.worker.protocol import IdentifyReply
from segrelay.errors import FixConfigurationError
from segrelay.parsing.validation import describe_first_error
from segrelay.profiles import Network, Profile

_HIDDEN_STRIDES = ("UNet", "DynUNet")


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """Options of the command; None: whatever is found."""

    name: str
    like: str | None = None
    network: Network | None = None
    lora_alpha: float | None = None
    licence: str | None = None
    citation: str | None = None


@dataclass(frozen=True, kw_only=True)
class Draft:
    """The profile, and where its parts come from, in sentences."""

    profile: Profile
    found: tuple[str, ...]


def choose_template(
    known: Mapping[str, Profile], like: str | None, network: Network | None
) -> Profile:
    """The profile whose inputs, preprocessing and segments the new one takes over.

    Without ``like``, the only one of the same architecture and channels.

    Raises
    ------
    FixConfigurationError
        ``template``: there is none of this name, or not exactly one that fits.
    """
    if like is not None:
        if like not in known:
            raise FixConfigurationError(
                f"There is no profile {like!r} to take the rest from.",
                code="template",
                remedy=f"Give --like one of: {', '.join(sorted(known))}.",
            )
        return known[like]
    fitting = [] if network is None else [p for p in known.values() if _alike(p.network, network)]
    if len(fitting) == 1:
        return fitting[0]
    which = ", ".join(sorted(profile.name for profile in fitting or known.values()))
    raise FixConfigurationError(
        "Weights do not tell what their inputs and outputs mean, and not exactly one profile "
        "here has such a network.",
        code="template",
        remedy=f"Name the profile that has the same inputs and segments with --like: {which}.",
    )


def _alike(first: Network, second: Network) -> bool:
    """Same kind, same channels in and out."""
    return first.architecture == second.architecture and all(
        first.arguments.get(key) == second.arguments.get(key)
        for key in ("in_channels", "out_channels")
    )


def make_draft(
    template: Profile,
    wishes: Wishes,
    weights: IdentifyReply,
    weights_name: str,
    bundle: BundleAttributes | None,
) -> Draft:
    """Put the profile together.

    Raises
    ------
    FixConfigurationError
        ``lora-alpha``: nothing says how much the adapters count; ``draft-invalid``.
    """
    facts = bundle or BundleAttributes()
    network, of_network = _network(template, wishes, weights, facts)
    lora, of_lora = _lora(template, wishes, weights)
    document = template.model_dump(mode="json")
    title = facts.title or wishes.name
    document |= {
        "name": wishes.name,
        "version": "1.0.0",
        "title": {key: f"{text}: {title}" for key, text in document["title"].items()},
        "licence": wishes.licence or "That of the imported weights; not stated",
        "citation": wishes.citation or facts.citation,
        "network": network.model_dump(mode="json"),
        "weights": {"file": weights_name, "sha256": weights.sha256, "lora": lora},
    }
    of_settings = []
    for part in ("preprocessing", "inference", "postprocessing"):
        said = getattr(facts, part)
        document[part] |= said
        of_settings += [_told(part, said, template)]
    return Draft(
        profile=_validated(document),
        found=(
            *of_network,
            *of_lora,
            f"Inputs, segments and intended use: as in {template.name}.",
            *of_settings,
            *(f"Left out: {sentence}" for sentence in facts.left_out),
        ),
    )


def _network(
    template: Profile, wishes: Wishes, weights: IdentifyReply, facts: BundleAttributes
) -> tuple[Network, Sequence[str]]:
    if weights.network is None:
        said = facts.network or wishes.network or template.network
        channels = {key: said.arguments.get(key) for key in ("in_channels", "out_channels")}
        script = Network.model_validate({"architecture": "TorchScript", "arguments": channels})
        return script, [f"Network: a TorchScript program, {_channels(script)}."]
    network = weights.network
    sentences = [f"Network: {network.architecture}, {_channels(network)}; {_arguments(network)}."]
    if network.architecture in _HIDDEN_STRIDES:
        sentences.append("Its strides are taken on trust: weights do not show them.")
    return network, sentences


def _channels(network: Network) -> str:
    inputs, outputs = (network.arguments.get(key) for key in ("in_channels", "out_channels"))
    return f"{inputs} channels in, {outputs} out"


def _arguments(network: Network) -> str:
    said = {k: v for k, v in network.arguments.items() if not k.endswith("_channels")}
    return ", ".join(f"{key} {value}" for key, value in said.items())


def _lora(
    template: Profile, wishes: Wishes, weights: IdentifyReply
) -> tuple[dict[str, Any] | None, Sequence[str]]:
    rank = weights.lora_rank
    if rank is None:
        return None, []
    own = template.weights.lora
    choices = (
        (wishes.lora_alpha, "as you say"),
        (weights.lora_alpha, "as its training's settings in the file say"),
        (own.alpha if own is not None and own.rank == rank else None, f"as in {template.name}"),
    )
    for alpha, source in choices:
        if alpha is not None:
            sentence = f"Adapters (LoRA): rank {rank}, alpha {alpha:g}, {source}; merged at load."
            return {"rank": rank, "alpha": alpha}, [sentence]
    raise FixConfigurationError(
        f"The checkpoint has adapters of rank {rank}, and nothing tells how much they count.",
        code="lora-alpha",
        remedy="Give --lora-alpha: lora_alpha of the training's LoraConfig.",
    )


def _told(part: str, said: Mapping[str, Any], template: Profile) -> str:
    rest = f"as in {template.name}"
    if not said:
        return f"{part.capitalize()}: {rest}."
    values = ", ".join(f"{key} {value}" for key, value in said.items())
    return f"{part.capitalize()}: {values}, from the bundle; the rest {rest}."


def _validated(document: Mapping[str, Any]) -> Profile:
    try:
        return Profile.model_validate(document)
    except ValidationError as error:
        raise FixConfigurationError(
            f"No profile can be made of this: {describe_first_error(error, Profile)}.",
            code="draft-invalid",
            remedy="Correct what is named: by the command's options, or in the bundle.",
        ) from error
