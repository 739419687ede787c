"""Profiles of this computer: the lab's own, and the shipped ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab_side.computer.extras import check_extras
from lab_side.settings.config import PACKAGED_PROFILES, ModelConfig, ModelsConfig
from segrelay.errors import FixConfigurationError
from segrelay.profiles import PROFILE_FILE, Profile, load_profile


@dataclass(frozen=True, kw_only=True)
class InstalledProfile:
    """One profile folder."""

    name: str
    folder: Path
    profile: Profile | None
    """None where it is not valid."""
    problem: FixConfigurationError | None
    """Why it cannot be used: it is not valid, or an extra that it needs is not installed."""
    model: ModelConfig | None
    """As the agent serves it; None: it does not."""

    @property
    def is_shipped(self) -> bool:
        """Whether it came with SegRelay."""
        return self.folder.parent == PACKAGED_PROFILES


def installed_profiles(config: ModelsConfig) -> dict[str, InstalledProfile]:
    """Every profile folder by name; the lab's own go before shipped ones of the same name."""
    places = [PACKAGED_PROFILES, *([config.profiles_dir] if config.profiles_dir else [])]
    folders = {path.parent.name: path.parent for place in places for path in _files(place)}
    served = {model.profile: model for model in config.models}
    return {name: _installed(folders[name], served.get(name)) for name in sorted(folders)}


def valid_profiles(config: ModelsConfig) -> Mapping[str, Profile]:
    """Return the profiles that can be read, by name."""
    found = installed_profiles(config)
    return {name: item.profile for name, item in found.items() if item.profile is not None}


def _files(place: Path) -> list[Path]:
    # A folder with a dot is an import that was broken off.
    return [path for path in place.glob(f"*/{PROFILE_FILE}") if path.parent.name[0] != "."]


def _installed(folder: Path, model: ModelConfig | None) -> InstalledProfile:
    profile, problem = None, None
    try:
        profile = load_profile(folder, name=folder.name)
        check_extras(profile)
    except FixConfigurationError as error:
        problem = error
    return InstalledProfile(
        name=folder.name, folder=folder, profile=profile, problem=problem, model=model
    )
