"""The agent's settings: one TOML file, and environment variables that overrule it.

Where the file lies: ``lab_side.settings.settings_file``.

Secrets are never in the file: password, token and the proxy's password come from the
environment, a file that it names, a systemd credential, a folder of private files or the
keyring; a token may come from a command (``lab_side.settings.secrets``).
"""

from __future__ import annotations

import os
import socket
import threading
import time
import tomllib
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)

from lab_side.computer.extras import check_extras
from lab_side.settings.secrets import (
    FOLDER_VARIABLE,
    SECRET_VARIABLES,
    orthanc_password,
    orthanc_token,
    proxy_password,
    token_from_command,
)
from lab_side.settings.settings_file import CONFIG_VARIABLE, SettingsFile, find_settings
from segrelay.errors import FixConfigurationError
from segrelay.manifest import Labels
from segrelay.names import agent_id_of, is_agent_id, why_no_agent_id
from segrelay.orthanc import OrthancSettings
from segrelay.parsing.text_files import SAVE_AS_UTF_8, UnreadableTextError, read_text
from segrelay.parsing.validation import describe_first_error, form
from segrelay.profiles import PROFILE_FILE, CpuEngine, Profile, Sha256, load_profile
from segrelay.system.nearest import did_you_mean, nearest
from segrelay.system.system_limits import raise_if_limit
from segrelay.transient import PATIENCE

VARIABLES: Mapping[str, tuple[str, ...]] = {
    "SEGRELAY_BUCKET": ("bucket",),
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

_SECRETS = ("password", "token", "proxy_password")
"""Keys of ``[orthanc]`` that must not be in the file."""

SERVICE_NAME = "segrelay-agent"
"""Of the agent as a service, unless the settings say otherwise."""

COMMAND_PAUSE_S = 5.0
"""Between two runs of a command that prints a token: many requests may be refused at once."""

PACKAGED_PROFILES = Path(__file__).parents[1] / "profiles"


class ModelConfig(BaseModel):
    """A model that this agent serves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: str
    """Name of a profile folder, in ``profiles_dir`` or shipped with SegRelay."""
    weights: Annotated[Path | None, AfterValidator(_is_text)] = None
    """The lab's own weights file; the profile's own unless given."""
    sha256: Sha256 | None = None
    """Of ``weights``: what is loaded is what was meant."""


def _split(value: object) -> object:
    """A variable holds a list as words between commas."""
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    return value


class TrustConfig(BaseModel):
    """Whom this agent believes; public keys as ``lab-agent keygen`` prints them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    site_keys: Annotated[tuple[str, ...], BeforeValidator(_split)] = ()
    """With any, only jobs that one of these sites signed are run."""
    agent_keys: Annotated[tuple[str, ...], BeforeValidator(_split)] = ()
    """Of the other agents on the same queue: only their signed results end a job here."""
    accept_unsigned_records: bool = False
    """While agents or a site that do not sign attempts and heartbeats yet are being updated."""


def _fits_object_names(value: str) -> str:
    if not is_agent_id(value):
        raise ValueError(why_no_agent_id(value))
    return value


def _is_absolute(value: Path | None) -> Path | None:
    # A service starts in a system folder: a relative path would lead there.
    if value is not None and not value.is_absolute():
        raise ValueError("give an absolute path")
    return _is_text(value)


def _is_text(value: Path | None) -> Path | None:
    # The worker is told of paths in JSON. In a locale without Korean, Korean is not text either.
    try:
        str(value).encode()
    except UnicodeEncodeError:
        raise ValueError(
            "give a path in UTF-8, in a locale that has it (LANG=C.UTF-8, or PYTHONUTF8=1)"
        ) from None
    return value


AgentId = Annotated[str, AfterValidator(_fits_object_names)]


class SecretsPart(BaseModel):
    """Where the files of secrets lie."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    credentials_dir: Annotated[Path | None, AfterValidator(_is_absolute)] = None
    """One file for each secret, which no other account may read; as ``lab-agent setup`` writes."""

    def secret_environment(self, environment: Mapping[str, str]) -> Mapping[str, str]:
        """``environment``, from which every secret can be found."""
        return _with_folder(environment, self.credentials_dir)


class QueueConfig(SecretsPart):
    """What looking at the queue needs: where it is, who asks, and whom to believe."""

    bucket: str
    agent_id: AgentId
    trust: TrustConfig = TrustConfig()


class OrthancPart(BaseModel):
    """What looking at Orthanc needs."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    orthanc: OrthancSettings


PatienceMinutes = Annotated[float, Field(ge=0, le=7 * 24 * 60)]


class LocalConfig(SecretsPart):
    """What looking at an agent on its own computer needs: its folder, and its queue if any."""

    bucket: str = ""
    """The queue: ``gs://bucket/prefix`` or ``file:///directory``; not needed to segment by hand."""
    agent_id: AgentId
    """This agent's name in the queue; one per running agent."""
    work_dir: Annotated[Path, AfterValidator(_is_absolute)]
    """Downloads, and the outbox of SEGs that wait for Orthanc. Absolute, on a local disk."""
    trust: TrustConfig = TrustConfig()
    patience_minutes: PatienceMinutes = PATIENCE.total_seconds() / 60
    """Wrong answers of Orthanc or the bucket (login pages, refused passwords) are momentary for so
    long, once it has answered rightly; then the agent ends."""
    min_free_gb: Annotated[float, Field(ge=0)] = 2.0
    """No job is claimed with less free disk under ``work_dir``."""
    log_dir: Annotated[Path | None, AfterValidator(_is_absolute)] = None
    """Where the agent's log files lie; ``logs`` in the agent's own folder unless given."""
    log_megabytes: Annotated[float, Field(ge=0.01, le=1000)] = 10.0
    """Of one log file; then the next one is begun."""
    log_files: Annotated[int, Field(ge=2, le=100)] = 5
    """So many log files are kept."""
    service_name: Annotated[
        str, form(r"^[A-Za-z0-9][A-Za-z0-9-]{0,62}$", "letters, digits and hyphens")
    ] = SERVICE_NAME
    """What systemd or Windows calls it: one for each agent of this computer."""

    @property
    def patience(self) -> timedelta:
        """``patience_minutes``."""
        return timedelta(minutes=self.patience_minutes)

    @property
    def home(self) -> Path:
        """This agent's own folder under ``work_dir``."""
        return self.work_dir / self.agent_id

    @property
    def log_path(self) -> Path:
        """The newest log file."""
        return (self.log_dir or self.home / "logs") / f"{self.agent_id}.log"


class ModelsConfig(BaseModel):
    """What looking at profiles and loading their models needs; no queue, no Orthanc."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    models: Annotated[tuple[ModelConfig, ...], Field(min_length=1)]
    profiles_dir: Annotated[Path | None, AfterValidator(_is_text)] = None
    """The lab's own profiles."""
    device: Annotated[
        str, form(r"^(auto|cpu|cuda(:\d+)?)$", "auto, cpu, cuda or, for the second GPU, cuda:1")
    ] = "auto"
    """``auto`` takes the first GPU, else the CPU."""
    cpu_engine: CpuEngine = "torch"
    """What runs the networks where the device is a CPU; ``openvino`` is an extra."""
    hang_minutes: Annotated[float, Field(gt=0)] = 15.0
    """The worker is killed after this long without progress."""
    worker_max_gb: Annotated[float, Field(ge=0)] = 0.0
    """The worker is killed above this use of main memory; 0: nine tenths of the computer's."""
    drain_minutes: Annotated[float, Field(gt=0)] = 10.0
    """A stop waits for what is in hand for so long; then it is handed back."""

    def profile_names(self) -> list[str]:
        """Every profile that is here, the lab's own and the shipped ones."""
        return profile_names(self.profiles_dir)

    def profile_folder(self, name: str) -> Path:
        """Where a profile lies: the lab's own folder first, then the shipped ones."""
        if self.profiles_dir is not None and (self.profiles_dir / name).is_dir():
            return self.profiles_dir / name
        return PACKAGED_PROFILES / name


class AgentConfig(LocalConfig, ModelsConfig):
    """Everything the agent needs to know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    orthanc: OrthancSettings
    labels: Annotated[Labels, BeforeValidator(_split)] = ()
    """What this agent is or has; it runs jobs that ask for none, or for some of these."""
    poll_seconds: Annotated[float, Field(ge=0.2, le=60)] = 2.0
    """Between two looks at the queue: always at a directory, soon after activity at a bucket."""
    idle_poll_seconds: Annotated[float, Field(ge=0.2, le=60)] = 15.0
    """Between two looks at a cloud bucket in which nothing has happened for some minutes."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Figures for Prometheus on this port of 127.0.0.1; 0: none."""
    guard_failures: Annotated[int, Field(ge=0, le=100)] = 3
    """After so many different jobs in a row have failed here, the agent pauses; 0: never."""
    directory_events: Literal["native", "polling", "off"] = "native"
    """How a queue directory rings: ``polling`` for network shares, which send no events."""

    def load_profiles(self) -> dict[str, Profile]:
        """Every configured profile's description, by name.

        Raises
        ------
        FixConfigurationError
            A profile is missing or not valid, or needs an extra that is not installed.
        """
        for model in self.models:
            if not self.profile_folder(model.profile).is_dir():
                raise unknown_profile(model.profile, self.profiles_dir)
        profiles = {
            model.profile: load_profile(self.profile_folder(model.profile), name=model.profile)
            for model in self.models
        }
        for profile in profiles.values():
            check_extras(profile)
        return profiles


def profile_names(profiles_dir: Path | None) -> list[str]:
    """The folders with a profile, the lab's own and the shipped ones, by name."""
    places = [PACKAGED_PROFILES, *([profiles_dir] if profiles_dir else [])]
    # A folder with a dot is an import that was broken off.
    found = (path.parent.name for place in places for path in place.glob(f"*/{PROFILE_FILE}"))
    return sorted({name for name in found if not name.startswith(".")})


def unknown_profile(name: str, profiles_dir: Path | None) -> FixConfigurationError:
    """There is no profile of this name, neither shipped nor in ``profiles_dir``."""
    names = profile_names(profiles_dir)
    own = f" or {profiles_dir}" if profiles_dir else ""
    return FixConfigurationError(
        f"There is no profile {name!r} among the shipped ones{own}"
        + (did_you_mean(name, names) or "."),
        code="profile-missing",
        remedy=f"Name one of: {', '.join(names)}; or set profiles_dir to where yours lie.",
    )


Config = TypeVar("Config", bound=BaseModel)


def load_config(
    path: Path | None = None, environment: Mapping[str, str] | None = None
) -> AgentConfig:
    """Read the settings.

    Raises
    ------
    FixConfigurationError
        Names the first setting that is missing or wrong, never its value.
    """
    environment = os.environ if environment is None else environment
    values, file = _gather(path, environment)
    _add_secrets(values, environment)
    config = _validated(AgentConfig, values, file)
    return config.model_copy(update={"orthanc": config.orthanc.checked()})


def check_values(text: str) -> AgentConfig:
    """What a configuration file with this text says; asks for no password, and no environment.

    Raises
    ------
    FixConfigurationError
        Names the first setting that is missing or wrong, never its value.
    """
    config = _validated(AgentConfig, tomllib.loads(text))
    return config.model_copy(update={"orthanc": config.orthanc.checked()})


def load_orthanc_settings(
    path: Path | None = None, environment: Mapping[str, str] | None = None
) -> OrthancSettings | None:
    """Where Orthanc is; needs no setting of the queue. None where no address is configured.

    Raises
    ------
    FixConfigurationError
        Names the first setting that is missing or wrong, never its value.
    """
    environment = os.environ if environment is None else environment
    values, file = _gather(path, environment)
    if not values.get("orthanc", {}).get("url"):
        return None
    _add_secrets(values, environment)
    return _validated(OrthancPart, values, file).orthanc.checked()


def has_settings(path: Path | None = None, environment: Mapping[str, str] | None = None) -> bool:
    """Whether there is a settings file, or the environment says where anything is.

    Raises
    ------
    FixConfigurationError
        The file cannot be read.
    """
    values, file = _gather(path, environment)
    return file.path is not None or any(
        values.get(key) for key in ("bucket", "work_dir", "orthanc")
    )


def has_agent(path: Path | None = None, environment: Mapping[str, str] | None = None) -> bool:
    """Whether this computer is configured to run an agent: it has a work folder.

    Raises
    ------
    FixConfigurationError
        The file cannot be read.
    """
    return bool(_gather(path, environment)[0].get("work_dir"))


def load_local_config(
    path: Path | None = None, environment: Mapping[str, str] | None = None
) -> LocalConfig:
    """What looking at this computer's agent needs; no setting of Orthanc, no password.

    Raises
    ------
    FixConfigurationError
        Names the first setting that is missing or wrong, never its value.
    """
    return _validated(LocalConfig, *_gather(path, environment))


def load_models_config(
    path: Path | None = None, environment: Mapping[str, str] | None = None
) -> ModelsConfig:
    """What looking at profiles needs; no setting of the queue or of Orthanc, no password.

    Raises
    ------
    FixConfigurationError
        Names the first setting that is missing or wrong, never its value.
    """
    return _validated(ModelsConfig, *_gather(path, environment))


def load_queue_address(
    path: Path | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """Where the queue is; needs no other setting, and no password.

    Raises
    ------
    FixConfigurationError
        ``bucket-address``: none is configured; or the file cannot be read.
    """
    return _queue_address(*_gather(path, environment))


def load_queue_config(
    path: Path | None = None, environment: Mapping[str, str] | None = None
) -> QueueConfig:
    """What looking at the queue needs; no setting of Orthanc or of the work folder, no password.

    Raises
    ------
    FixConfigurationError
        Names the first setting that is missing or wrong, never its value.
    """
    values, file = _gather(path, environment)
    address = _queue_address(values, file)
    return _validated(QueueConfig, {**values, "bucket": address}, file)


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
    environment = _with_folder(environment, values.get("credentials_dir"))
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
    """A function that reads Orthanc's secrets again and returns the settings with them.

    Files and the keyring are read whenever it is called; a command for the token is not run more
    often than every :data:`COMMAND_PAUSE_S`, and what it printed last is given until then.

    Raises
    ------
    FixConfigurationError
        Raised by the function: a secret cannot be read.
    """
    environment = config.secret_environment(os.environ if environment is None else environment)
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


def _with_folder(environment: Mapping[str, str], folder: object) -> Mapping[str, str]:
    return environment if not folder else {**environment, FOLDER_VARIABLE: str(folder)}


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
    model: type[Config], values: Mapping[str, Any], file: SettingsFile | None = None
) -> Config:
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


def misspelt_variables(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables that no command reads, with the one that was probably meant.

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
    """There is no settings file, and the environment does not say what is needed."""
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


def _gather(
    path: Path | None, environment: Mapping[str, str] | None
) -> tuple[dict[str, Any], SettingsFile]:
    """The file's settings, overruled by the environment's; the agent id is always there."""
    environment = os.environ if environment is None else environment
    file = find_settings(path, environment)
    values = {} if file.path is None else read_settings(file.path)
    _overrule(values, environment)
    values.setdefault("agent_id", default_agent_id())
    return values, file


def read_settings(path: Path) -> dict[str, Any]:
    """What a settings file says, unchecked.

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
    """The host's name, as it fits into object names."""
    return agent_id_of(socket.gethostname())
