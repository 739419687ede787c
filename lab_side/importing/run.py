"""The whole import: copy, identify, draft, prove, put in place."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from lab_side.importing.draft import Draft, Wishes, choose_template, make_draft
from lab_side.importing.source import Source, open_source
from lab_side.worker.protocol import IdentifyReply, IdentifyRequest, LoadReply, LoadRequest
from segrelay.errors import FixConfigurationError
from segrelay.names import is_reserved
from segrelay.profiles import MAX_PROFILE_LENGTH, PROFILE_FILE, PROFILE_NAME, Network, Profile
from segrelay.system.durable import disk_errors, sync_folder, write_durably
from segrelay.ulid import new_ulid


class Worker(Protocol):
    """Calls of the worker process that the import needs."""

    def identify(self, request: IdentifyRequest) -> IdentifyReply:
        """Find out what a weights file holds."""

    def load(self, request: LoadRequest) -> LoadReply:
        """Load a profile and run it once."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """Imported profile, its folder, and what was found in the weights."""

    profile: Profile
    folder: Path
    found: tuple[str, ...]
    """Sentences, in the order in which they were found."""
    proof: LoadReply
    """That the worker loaded it as it does for jobs."""


def import_profile(
    path: Path,
    wishes: Wishes,
    *,
    into: Path,
    known: Mapping[str, Profile],
    worker: Worker,
    device: str,
) -> Imported:
    """Make a profile of a file of weights or of a MONAI bundle.

    The folder appears only once the worker has loaded it and run the network; before that,
    nothing of its name is there.

    Parameters
    ----------
    into:
        The lab's folder of profiles; made where it does not exist.
    known:
        Profiles to take inputs and segments from, by name.

    Raises
    ------
    FixConfigurationError
        ``profile-name``, ``profile-exists``, one of ``open_source``, ``choose_template`` and
        ``make_draft``, or what the worker says of the weights.
    AttemptFailedError
        The worker died.
    LocalDiskError
    """
    target = into / wishes.name
    _check_name(wishes.name, target, known)
    aside = into / f".{wishes.name}-{new_ulid()}"
    with disk_errors("The profile could not be written"):
        aside.mkdir(parents=True)
    try:
        with open_source(path) as source:
            with disk_errors("The weights could not be copied"):
                source.copy_weights(aside / source.weights_name)
            weights = _identify(aside, source, wishes, known, worker)
            draft = _draft(source, wishes, weights, known)
        with disk_errors("The profile could not be written"):
            write_durably(aside / PROFILE_FILE, draft.profile.model_dump_json(indent=2).encode())
        proof = worker.load(LoadRequest(folder=aside, weights=None, sha256=None, device=device))
        with disk_errors("The profile could not be written"):
            aside.rename(target)
            sync_folder(into)
    finally:
        with suppress(OSError):
            shutil.rmtree(aside)
    return Imported(profile=draft.profile, folder=target, found=draft.found, proof=proof)


def _check_name(name: str, target: Path, known: Mapping[str, Profile]) -> None:
    is_name = PROFILE_NAME.fullmatch(name) and len(name) <= MAX_PROFILE_LENGTH
    if not is_name or is_reserved(name):
        raise FixConfigurationError(
            "This cannot be the name of a profile.",
            code="profile-name",
            remedy="Use lower-case letters, digits and single hyphens, at most "
            f"{MAX_PROFILE_LENGTH}.",
        )
    if name in known or target.exists():
        raise FixConfigurationError(
            f"There is a profile {name} already.",
            code="profile-exists",
            remedy="Choose another name, or remove the profile's folder first.",
        )


def _identify(
    folder: Path, source: Source, wishes: Wishes, known: Mapping[str, Profile], worker: Worker
) -> IdentifyReply:
    # The person's own file, not the copy: what is said of it must lead there.
    path = source.weights_path or folder / source.weights_name
    said = _said(source, wishes)
    candidates = (said,) if said is not None else _candidates(wishes, known)
    try:
        reply = worker.identify(IdentifyRequest(path=path.absolute(), networks=candidates))
    except FixConfigurationError as error:
        if source.weights_path is None:
            error.remedy = "Unpack the zip and import its folder: the message then says more."
        raise
    if None not in (said, reply.network) and reply.network != said:
        raise FixConfigurationError(
            f"The weights are not those of the {said.architecture if said else ''} that is named "
            "beside them.",
            code="weights-do-not-fit",
            remedy="Use the checkpoint that belongs to the description, or leave --network out "
            "and import the weights' file by itself.",
        )
    return reply


def _draft(
    source: Source, wishes: Wishes, weights: IdentifyReply, known: Mapping[str, Profile]
) -> Draft:
    template = choose_template(known, wishes.like, weights.network or _said(source, wishes))
    draft = make_draft(template, wishes, weights, source.weights_name, source.bundle)
    size = f"{weights.parameters:,} numbers, " if weights.parameters else ""
    what = f"It is {source.kind}: {weights.format}, {size}SHA-256 {weights.sha256}."
    return replace(draft, found=(what, *draft.found))


def _said(source: Source, wishes: Wishes) -> Network | None:
    """The network that the person or the bundle names."""
    return wishes.network or (source.bundle.network if source.bundle else None)


def _candidates(wishes: Wishes, known: Mapping[str, Profile]) -> tuple[Network, ...]:
    """The networks of the profiles here, the wished one first."""
    names = sorted(known, key=lambda name: name != wishes.like)
    return tuple(known[name].network for name in names)
