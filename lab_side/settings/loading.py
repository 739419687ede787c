"""Reads and checks the settings: of the whole agent, or of the part that a command needs.

Every function looks in the places of ``lab_side.settings.settings_file`` unless ``path`` is given,
and raises FixConfigurationError, which names the first setting that is missing or wrong, never
its value. A part needs no password, and no setting of another part.
"""

from __future__ import annotations

import os
import threading
import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError

from lab_side.settings.config import (
    AgentConfig,
    LocalConfig,
    ModelsConfig,
    OrthancPart,
    QueueConfig,
)
from lab_side.settings.secrets import (
    orthanc_password,
    orthanc_token,
    proxy_password,
    secret_environment,
    token_from_command,
)
from lab_side.settings.settings_file import SettingsFile
from lab_side.settings.sources import gather, no_settings
from segrelay.errors import FixConfigurationError
from segrelay.orthanc import OrthancSettings
from segrelay.parsing.validation import describe_first_error
from segrelay.system.nearest import nearest

_SECRETS = ("password", "token", "proxy_password")
"""Keys of ``[orthanc]`` that must not be in the file."""

COMMAND_PAUSE_S = 5.0
"""Between two runs of a command that prints a token: many requests may be refused at once."""

Part = TypeVar("Part", LocalConfig, ModelsConfig)
Model = TypeVar("Model", bound=BaseModel)


def load_config(
    path: Path | None = None, environment: Mapping[str, str] | None = None
) -> AgentConfig:
    """Read all settings and the secrets of Orthanc."""
    environment = os.environ if environment is None else environment
    values, file = gather(path, environment)
    _add_secrets(values, environment)
    return _checked(_validated(AgentConfig, values, file))


def check_values(text: str) -> AgentConfig:
    """Check the text of a configuration file; neither secrets nor environment are read."""
    return _checked(_validated(AgentConfig, tomllib.loads(text)))


def load_part(
    part: type[Part], path: Path | None = None, environment: Mapping[str, str] | None = None
) -> Part:
    """Read the settings of this computer's agent, or of its models."""
    return _validated(part, *gather(path, environment))


def load_queue_config(
    path: Path | None = None, environment: Mapping[str, str] | None = None
) -> QueueConfig:
    """Read the settings of the queue; ``bucket-address`` where none is configured."""
    values, file = gather(path, environment)
    _queue_address(values, file)
    return _validated(QueueConfig, values, file)


def load_queue_address(
    path: Path | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """Read where the queue is, and nothing else; ``bucket-address`` where none is configured."""
    return _queue_address(*gather(path, environment))


def load_orthanc_settings(
    path: Path | None = None, environment: Mapping[str, str] | None = None
) -> OrthancSettings | None:
    """Read where Orthanc is, with its secrets; None where no address is configured."""
    environment = os.environ if environment is None else environment
    values, file = gather(path, environment)
    if not values.get("orthanc", {}).get("url"):
        return None
    _add_secrets(values, environment)
    return _validated(OrthancPart, values, file).orthanc.checked()


def has_settings(path: Path | None = None) -> bool:
    """Return whether there is a settings file, or the environment says where anything is."""
    values, file = gather(path, None)
    return file.path is not None or any(
        values.get(key) for key in ("bucket", "work_dir", "orthanc")
    )


def has_agent(path: Path | None = None) -> bool:
    """Return whether this computer is configured to run an agent: it has a work folder."""
    return bool(gather(path, None)[0].get("work_dir"))


def _checked(config: AgentConfig) -> AgentConfig:
    return config.model_copy(update={"orthanc": config.orthanc.checked()})


def _add_secrets(values: dict[str, Any], environment: Mapping[str, str]) -> None:
    orthanc = values.setdefault("orthanc", {})
    for key in _SECRETS:
        if key in orthanc:
            raise FixConfigurationError(
                f"The configuration file contains a secret (orthanc.{key}).",
                code="secret-in-file",
                remedy="Remove it; give it by environment variable, systemd credential or "
                "keyring, see lab_side/README.md.",
            )
    environment = secret_environment(environment, values.get("credentials_dir"))
    orthanc |= _orthanc_secrets(
        user=str(orthanc.get("user", "")),
        proxy_user=str(orthanc.get("proxy_user", "")),
        token_command=orthanc.get("token_command"),
        agent_id=str(values["agent_id"]),
        environment=environment,
    )


def _orthanc_secrets(
    *,
    user: str,
    proxy_user: str,
    token_command: object,
    agent_id: str,
    environment: Mapping[str, str],
) -> dict[str, SecretStr]:
    command = token_command if isinstance(token_command, (list, tuple)) else ()
    # Of another type than text, the settings' own check refuses it.
    is_command = bool(command) and all(isinstance(word, str) for word in command)
    token = token_from_command(command) if is_command else ""
    return {
        "password": SecretStr(orthanc_password(user, environment)),
        "token": SecretStr(token or orthanc_token(user, agent_id, environment)),
        "proxy_password": SecretStr(proxy_password(proxy_user, environment)),
    }


def secret_renewal(
    config: AgentConfig,
    environment: Mapping[str, str] | None = None,
    *,
    monotonic: Callable[[], float] = time.monotonic,
) -> Callable[[], OrthancSettings]:
    """Return a function that reads Orthanc's secrets again and returns the settings with them.

    Files and the keyring are read whenever it is called; a command for the token is not run more
    often than every :data:`COMMAND_PAUSE_S`, and what it printed last is given until then.

    Raises
    ------
    FixConfigurationError
        Raised by the function: a secret cannot be read.
    """
    environment = secret_environment(
        os.environ if environment is None else environment, config.credentials_dir
    )
    orthanc, lock = config.orthanc, threading.Lock()
    held: list[tuple[float, OrthancSettings]] = []

    def renew() -> OrthancSettings:
        with lock:
            now = monotonic()
            if orthanc.token_command and held and now - held[-1][0] < COMMAND_PAUSE_S:
                return held[-1][1]
            secrets = _orthanc_secrets(
                user=orthanc.user,
                proxy_user=orthanc.proxy_user,
                token_command=orthanc.token_command,
                agent_id=config.agent_id,
                environment=environment,
            )
            settings = orthanc.model_copy(update=dict(secrets))
            held[:] = [(now, settings)]
            return settings

    return renew


def _queue_address(values: Mapping[str, Any], file: SettingsFile) -> str:
    address = values.get("bucket")
    if isinstance(address, str) and address:
        return address
    if file.path is None:
        raise no_settings(file, "bucket")
    slip = next((key for key in values if nearest(key, ("bucket",))), None)
    raise FixConfigurationError(
        f"No queue is configured in {file.path}"
        + (f"; {slip} is not a known key, did you mean bucket?" if slip else "."),
        code="bucket-address",
        remedy=f"Set bucket in {file.path}, or SEGRELAY_BUCKET.",
    )


def _validated(
    model: type[Model], values: Mapping[str, Any], file: SettingsFile | None = None
) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        what = describe_first_error(error, model)
        if file is not None and file.path is None and what.endswith(" is missing"):
            raise no_settings(file, what.removesuffix(" is missing")) from None
        where = "it" if file is None or file.path is None else f"it in {file.path}"
        raise FixConfigurationError(
            f"The configuration is not valid: {what}" + ("" if what.endswith("?") else "."),
            remedy=f"Correct {where}, or by environment variable; see lab_side/README.md.",
        ) from None
