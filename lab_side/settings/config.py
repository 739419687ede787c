"""The settings of an agent, by what they are needed for; ``lab_side.settings.loading`` reads them.

Secrets are never in the file: password, token and the proxy's password come from the
environment, a file that it names, a systemd credential, a folder of private files or the
keyring; a token may come from a command (``lab_side.settings.secrets``).
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from lab_side.computer.extras import check_extras
from segrelay.errors import FixConfigurationError
from segrelay.manifest import Labels
from segrelay.names import is_agent_id, why_no_agent_id
from segrelay.orthanc import OrthancSettings
from segrelay.parsing.validation import form
from segrelay.profiles import PROFILE_FILE, CpuEngine, Profile, Sha256, load_profile
from segrelay.system.nearest import did_you_mean
from segrelay.transient import PATIENCE

SERVICE_NAME = "segrelay-agent"
"""Of the agent as a service, unless the settings say otherwise."""

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
    """Whose signatures this agent believes; public keys as ``lab-agent keygen`` prints them."""

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
    # The worker gets paths in JSON. In a locale without Korean, Korean is not text either.
    try:
        str(value).encode()
    except UnicodeEncodeError:
        raise ValueError(
            "give a path in UTF-8, in a locale that has it (LANG=C.UTF-8, or PYTHONUTF8=1)"
        ) from None
    return value


AgentId = Annotated[str, AfterValidator(_fits_object_names)]


class SecretsPart(BaseModel):
    """The folder of secrets."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    credentials_dir: Annotated[Path | None, AfterValidator(_is_absolute)] = None
    """One file for each secret, which no other account may read; as ``lab-agent setup`` writes."""


QueueCaFile = Annotated[Path | None, AfterValidator(_is_absolute)]
"""Certificates to trust for a site or a Redis as queue instead of the public authorities, PEM."""


class QueueConfig(SecretsPart):
    """The settings of the queue: where it is, who asks, and whom to believe."""

    bucket: str
    agent_id: AgentId
    queue_ca_file: QueueCaFile = None
    trust: TrustConfig = TrustConfig()


class OrthancPart(BaseModel):
    """The settings of Orthanc."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    orthanc: OrthancSettings


PatienceMinutes = Annotated[float, Field(ge=0, le=7 * 24 * 60)]


class LocalConfig(SecretsPart):
    """The settings of an agent on its own computer: its folder, and its queue if any."""

    bucket: str = ""
    """The queue, as :mod:`segrelay.bucket.address` reads it; not needed to segment by hand."""
    agent_id: AgentId
    """This agent's name in the queue; one per running agent."""
    work_dir: Annotated[Path, AfterValidator(_is_absolute)]
    """Downloads, and the outbox of SEGs that wait for Orthanc. Absolute, on a local disk."""
    queue_ca_file: QueueCaFile = None
    trust: TrustConfig = TrustConfig()
    patience_minutes: PatienceMinutes = PATIENCE.total_seconds() / 60
    """How long wrong answers of Orthanc or the bucket (login pages, refused passwords) are
    transient, once it has answered correctly; then the agent ends."""
    min_free_gb: Annotated[float, Field(ge=0)] = 2.0
    """No job is claimed with less free disk under ``work_dir``."""
    log_dir: Annotated[Path | None, AfterValidator(_is_absolute)] = None
    """Where the agent's log files lie; ``logs`` in the agent's own folder unless given."""
    log_megabytes: Annotated[float, Field(ge=0.01, le=1000)] = 10.0
    """Of one log file; then the next one is begun."""
    log_files: Annotated[int, Field(ge=2, le=100)] = 5
    """Log files that are kept."""
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
    """The settings of profiles and models; no queue, no Orthanc."""

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
    """A stop waits for what is in hand for that long; then it is handed back."""

    def profile_names(self) -> list[str]:
        """List the profiles that are here, the lab's own and the shipped ones."""
        return profile_names(self.profiles_dir)

    def profile_folder(self, name: str) -> Path:
        """Return the folder of a profile: the lab's own first, then the shipped one."""
        if self.profiles_dir is not None and (self.profiles_dir / name).is_dir():
            return self.profiles_dir / name
        return PACKAGED_PROFILES / name


class AgentConfig(LocalConfig, ModelsConfig):
    """Settings of an agent, complete."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    orthanc: OrthancSettings
    labels: Annotated[Labels, BeforeValidator(_split)] = ()
    """What this agent is or has; it runs jobs that ask for none, or for some of these."""
    poll_seconds: Annotated[float, Field(ge=0.2, le=60)] = 2.0
    """Between two scans of the queue: always of a directory, soon after activity of a bucket."""
    idle_poll_seconds: Annotated[float, Field(ge=0.2, le=60)] = 15.0
    """Between two scans of a cloud bucket in which nothing has happened for some minutes."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Figures for Prometheus on this port of 127.0.0.1; 0: none."""
    guard_failures: Annotated[int, Field(ge=0, le=100)] = 3
    """After so many different jobs in a row have failed here, the agent pauses; 0: never."""
    directory_events: Literal["native", "polling", "off"] = "native"
    """How a queue directory rings: ``polling`` for network shares, which send no events."""

    def load_profiles(self) -> dict[str, Profile]:
        """Read every configured profile's description, by name.

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
    """List the profiles that are here, the lab's own and the shipped ones, by name."""
    places = [PACKAGED_PROFILES, *([profiles_dir] if profiles_dir else [])]
    # A folder with a dot is an import that was broken off.
    found = (path.parent.name for place in places for path in place.glob(f"*/{PROFILE_FILE}"))
    return sorted({name for name in found if not name.startswith(".")})


def unknown_profile(name: str, profiles_dir: Path | None) -> FixConfigurationError:
    """Make the error of a profile that is neither shipped nor in ``profiles_dir``."""
    names = profile_names(profiles_dir)
    own = f" or {profiles_dir}" if profiles_dir else ""
    return FixConfigurationError(
        f"There is no profile {name!r} among the shipped ones{own}"
        + (did_you_mean(name, names) or "."),
        code="profile-missing",
        remedy=f"Name one of: {', '.join(names)}; or set profiles_dir to where yours lie.",
    )
