"""Files and folders that the account of a service must be able to read and write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lab_side.settings.config import AgentConfig
from lab_side.settings.secrets import EVERY_SECRET
from segrelay.bucket import directory_at

GOOGLE_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"


def writable(config: AgentConfig) -> tuple[Path, ...]:
    """Work folder, logs that lie elsewhere, and the queue where it is a directory."""
    folders = (config.work_dir, config.log_dir, directory_at(config.bucket))
    return tuple(folder for folder in folders if folder is not None)


def readable(config: AgentConfig) -> tuple[Path, ...]:
    """Weights, profiles and certificates."""
    orthanc = config.orthanc
    paths = [config.profiles_dir, orthanc.ca_file, orthanc.client_cert, orthanc.client_key]
    paths += [model.weights for model in config.models]
    return tuple(path for path in paths if path is not None)


def secret_files(config: AgentConfig) -> dict[str, Path]:
    """The files of secrets that are there, by the name of the secret."""
    folder = config.credentials_dir
    if folder is None:
        return {}
    files = {places.credential: folder / places.credential for places in EVERY_SECRET}
    return {name: path for name, path in files.items() if path.exists()}


def google_key(config: AgentConfig, environment: Mapping[str, str]) -> Path | None:
    """The key of the service account, where the queue is a bucket and needs one."""
    path = environment.get(GOOGLE_VARIABLE, "") if config.bucket.startswith("gs:") else ""
    return Path(path).absolute() if path else None
