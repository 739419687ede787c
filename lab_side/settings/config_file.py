"""The configuration file that ``lab-agent setup`` writes: commented, without secrets."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segrelay.errors import FixConfigurationError
from segrelay.system.durable import write_durably

TEMPLATE = """\
# The agent's settings. No secret belongs here: password, token and keys lie elsewhere, see below.
# Environment variables overrule this file; lab_side/README.md lists all settings.

# The queue: https://site/…/queue of a site that keeps it, rediss://user@host/0/segrelay (token and
# password lie elsewhere, see above), gs://bucket/prefix, or file:///directory.
bucket = {bucket}
{queue}
# This agent's name in the queue. Two agents that run at the same time need two names.
agent_id = {agent_id}

# Downloads, and the SEGs that wait for Orthanc. On a local disk, with some gigabytes free.
work_dir = {work_dir}

# auto takes the first GPU, else the CPU; cuda:1 the second GPU.
device = {device}

# No job is claimed with less free disk under work_dir.
min_free_gb = {min_free_gb}

# A stop waits for that long for the job in hand, then hands it back.
drain_minutes = {drain_minutes}
{optional}
[orthanc]
url = {url}
{orthanc}
[[models]]
profile = {profile}
{model}{others}"""

PROFILES_DIR = """
# The lab's own profiles.
profiles_dir = {}
"""
QUEUE_CA_FILE = """\
# What is trusted for the queue instead of the public authorities.
queue_ca_file = {}
"""
CREDENTIALS_DIR = """
# One file for each secret, which no other account may read.
credentials_dir = {}
"""
USER = """\
# Its password is in {}.
user = {}
"""
CA_FILE = """\
# What is trusted instead of the public authorities.
ca_file = {}
"""
WEIGHTS = """\
# The lab's own weights; the agent refuses a file with another SHA-256.
weights = {}
sha256 = {}
"""


_ANSWERED = (
    *("bucket", "agent_id", "work_dir", "device", "min_free_gb", "drain_minutes"),
    *("profiles_dir", "credentials_dir", "queue_ca_file"),
)
_ANSWERED_OF_ORTHANC = ("url", "user", "ca_file", "password", "token", "proxy_password")
"""Keys that the template writes itself, and secrets, which no file keeps."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The answers of the set-up; empty where one is not needed."""

    bucket: str
    queue_ca_file: Path | None
    agent_id: str
    work_dir: Path
    device: str
    url: str
    user: str
    ca_file: Path | None
    profile: str
    profiles_dir: Path | None
    weights: Path | None
    sha256: str
    credentials_dir: Path | None
    """Where the secrets' files lie; None where a keyring keeps them, or there are none."""


def as_toml(answers: Answers, earlier: Mapping[str, Any] | None = None) -> str:
    """The file's text; what ``earlier`` settings say beyond the answers is kept."""
    earlier = earlier or {}
    place = "the keyring of this account"
    optional = orthanc = model = queue = ""
    if answers.queue_ca_file is not None:
        queue = QUEUE_CA_FILE.format(_text(answers.queue_ca_file))
    if answers.profiles_dir is not None:
        optional += PROFILES_DIR.format(_text(answers.profiles_dir))
    if answers.credentials_dir is not None:
        place = "credentials_dir"
        optional += CREDENTIALS_DIR.format(_text(answers.credentials_dir))
    if answers.user:
        orthanc += USER.format(place, _text(answers.user))
    if answers.ca_file is not None:
        orthanc += CA_FILE.format(_text(answers.ca_file))
    if answers.weights is not None:
        model = WEIGHTS.format(_text(answers.weights), _text(answers.sha256))
    models = list(earlier.get("models", []))
    others = [item for item in models[1:] if item.get("profile") != answers.profile]
    tables = {key: value for key, value in earlier.items() if isinstance(value, dict)}
    optional += _kept({**earlier, **dict.fromkeys((*tables, "models"))}, _ANSWERED)
    orthanc += _kept(tables.pop("orthanc", {}), _ANSWERED_OF_ORTHANC)
    rest = [f"\n[[models]]\n{_kept(item, ())}" for item in others]
    rest += [f"\n[{name}]\n{_kept(table, ())}" for name, table in tables.items()]
    return TEMPLATE.format(
        min_free_gb=_value(earlier.get("min_free_gb", 2)),
        drain_minutes=_value(earlier.get("drain_minutes", 10)),
        others="".join(rest),
        bucket=_text(answers.bucket),
        queue=queue,
        agent_id=_text(answers.agent_id),
        work_dir=_text(answers.work_dir),
        device=_text(answers.device),
        optional=optional,
        url=_text(answers.url),
        orthanc=orthanc,
        profile=_text(answers.profile),
        model=model,
    )


def _kept(table: Mapping[str, Any], answered: Collection[str]) -> str:
    """The keys of a table that nothing was asked of, a line each."""
    return "".join(
        f"{key} = {_value(value)}\n"
        for key, value in table.items()
        if key not in answered and value is not None
    )


def _value(value: object) -> str:
    """A TOML value; those that settings have are written as in JSON."""
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value) if isinstance(value, bool | int | float) else _text(str(value))


def check_free(path: Path) -> None:
    """Refuse to write over a file.

    Raises
    ------
    FixConfigurationError
        ``setup-exists``
    """
    if path.exists():
        raise FixConfigurationError(
            f"There is a file at {path} already.",
            code="setup-exists",
            remedy="Change it with an editor, give another --config, or replace it with --force.",
        )


def write_config(path: Path, text: str) -> None:
    """Write the file so that this account alone may read it.

    Raises
    ------
    FixConfigurationError
        ``setup-refused``: the system refused.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(path, text.encode(), private=True)
    except OSError as error:
        raise refused(path, error) from None


def refused(path: Path, error: OSError) -> FixConfigurationError:
    """Return what the system said when a file was to be written."""
    return FixConfigurationError(
        f"{path} cannot be written ({error.strerror or type(error).__name__}).",
        code="setup-refused",
        remedy="Give a --config in a folder of this account, or run it as the account that will "
        "run the agent.",
    )


def _text(value: str | Path) -> str:
    """A TOML string; its escapes are those of JSON."""
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
