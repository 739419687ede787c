"""Sources of the settings: one TOML file, overruled by environment variables.

Not by pydantic-settings: its variables follow the fields' names, and these do not
(``SEGRELAY_SITE_KEYS`` is ``trust.site_keys``).
"""

from __future__ import annotations

import os
import socket
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab_side.settings.secrets import SECRET_VARIABLES
from lab_side.settings.settings_file import CONFIG_VARIABLE, SettingsFile, find_settings
from segrelay.errors import FixConfigurationError
from segrelay.names import agent_id_of
from segrelay.parsing.text_files import SAVE_AS_UTF_8, UnreadableTextError, read_text
from segrelay.system.nearest import nearest
from segrelay.system.system_limits import raise_if_limit

VARIABLES: Mapping[str, tuple[str, ...]] = {
    "SEGRELAY_BUCKET": ("bucket",),
    "SEGRELAY_QUEUE_CA_FILE": ("queue_ca_file",),
    "SEGRELAY_AGENT_ID": ("agent_id",),
    "SEGRELAY_LABELS": ("labels",),
    "SEGRELAY_WORK_DIR": ("work_dir",),
    "SEGRELAY_DEVICE": ("device",),
    "SEGRELAY_PROFILES_DIR": ("profiles_dir",),
    "SEGRELAY_CREDENTIALS_DIR": ("credentials_dir",),
    "SEGRELAY_ORTHANC_URL": ("orthanc", "url"),
    "SEGRELAY_ORTHANC_USER": ("orthanc", "user"),
    "SEGRELAY_ORTHANC_CA_FILE": ("orthanc", "ca_file"),
    "SEGRELAY_ORTHANC_CLIENT_CERT": ("orthanc", "client_cert"),
    "SEGRELAY_ORTHANC_CLIENT_KEY": ("orthanc", "client_key"),
    "SEGRELAY_ORTHANC_PROXY": ("orthanc", "proxy"),
    "SEGRELAY_ORTHANC_PROXY_USER": ("orthanc", "proxy_user"),
    "SEGRELAY_SITE_KEYS": ("trust", "site_keys"),
    "SEGRELAY_AGENT_KEYS": ("trust", "agent_keys"),
    "SEGRELAY_ACCEPT_UNSIGNED_RECORDS": ("trust", "accept_unsigned_records"),
}
"""Environment variable to the setting that it overrules."""

_PREFIX = "SEGRELAY_"

PROFILES_VARIABLE = "SEGRELAY_PROFILES"
"""Comma-separated profile names: overrules the ``[[models]]`` of the file."""


def gather(
    path: Path | None, environment: Mapping[str, str] | None
) -> tuple[dict[str, Any], SettingsFile]:
    """Return the file's settings, overruled by the environment's, unchecked, and the file.

    ``environment``: that of the process unless given. ``agent_id`` and ``models`` are always there.

    Raises
    ------
    FixConfigurationError
        The file cannot be read, or is not TOML.
    """
    environment = os.environ if environment is None else environment
    file = find_settings(path, environment)
    values = {} if file.path is None else read_settings(file.path)
    _overrule(values, environment)
    values.setdefault("agent_id", default_agent_id())
    return values, file


def read_settings(path: Path) -> dict[str, Any]:
    """Return what a settings file contains, unchecked.

    Raises
    ------
    FixConfigurationError
        It cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(read_text(path))
    except PermissionError:
        raise FixConfigurationError(
            f"The configuration file {path} may not be read by this account.",
            remedy=f"Run it as the account whose file it is (sudo lab-agent …), or give another "
            f"file with --config or {CONFIG_VARIABLE}.",
        ) from None
    except OSError as error:
        raise_if_limit(error)
        raise FixConfigurationError(
            f"The configuration file {path} cannot be read ({error.strerror}).",
            remedy=f"Give an existing file with --config or {CONFIG_VARIABLE}, or write one with "
            "lab-agent setup.",
        ) from None
    except UnreadableTextError as error:
        raise FixConfigurationError(
            f"The configuration file {path} {error}.", remedy=SAVE_AS_UTF_8
        ) from None
    except ValueError as error:
        raise FixConfigurationError(
            f"The configuration file {path} is not TOML: {error}.",
            remedy="Correct the line; text goes between quotation marks, as in bucket = "
            '"gs://bucket/prefix".',
        ) from None


def _overrule(values: dict[str, Any], environment: Mapping[str, str]) -> None:
    for variable, (*sections, key) in VARIABLES.items():
        if environment.get(variable):
            place = values
            for section in sections:
                place = place.setdefault(section, {})
            place[key] = environment[variable]
    if environment.get(PROFILES_VARIABLE):
        named = [name.strip() for name in environment[PROFILES_VARIABLE].split(",")]
        known = {model.get("profile"): model for model in values.get("models", [])}
        values["models"] = [known.get(name, {"profile": name}) for name in named if name]
    values.setdefault("models", [{"profile": "demo"}])


def default_agent_id() -> str:
    """Return the host's name in the form of an agent id."""
    return agent_id_of(socket.gethostname())


def misspelt_variables(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Find variables that no command reads, each with the one that was probably meant.

    >>> misspelt_variables({"SEGRELAY_DEVCE": "cuda:1", "SEGRELAY_DATABASE": "/srv/site.db"})
    {'SEGRELAY_DEVCE': 'SEGRELAY_DEVICE'}
    """
    environment = os.environ if environment is None else environment
    known = {*VARIABLES, PROFILES_VARIABLE, CONFIG_VARIABLE, *SECRET_VARIABLES}
    words = [name.removeprefix(_PREFIX) for name in known if name.startswith(_PREFIX)]
    slips: dict[str, str] = {}
    for name in sorted(environment):
        if name.startswith(_PREFIX) and name not in known:
            # The site's variables begin the same, and may be set on the same computer.
            meant = nearest(name.removeprefix(_PREFIX), words, alike=0.8)
            if meant is not None:
                slips[name] = _PREFIX + meant
    return slips


def no_settings(file: SettingsFile, key: str) -> FixConfigurationError:
    """Make the error of a missing ``key`` where there is no settings file."""
    variable = next((name for name, at in VARIABLES.items() if ".".join(at) == key), "")
    return FixConfigurationError(
        f"There are no settings: {key} is missing, and there is no settings file. "
        f"Looked at: {', '.join(file.looked_at)}."
        + "".join(
            f" {name} is not a known variable; did you mean {meant}?"
            for name, meant in misspelt_variables().items()
        ),
        code="settings-missing",
        remedy="Run lab-agent setup, which asks what is needed and writes the file; or give "
        "--config FILE" + (f"; or set {variable}." if variable else "."),
    )
