"""The questions of ``lab-agent setup``, with the check and the trial of each answer."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from pydantic import SecretStr

from lab_side.commands.setup.dialogue import Found, Question
from lab_side.computer.extras import check_extras
from lab_side.model_files import sha256_of
from lab_side.settings.config import PACKAGED_PROFILES, ModelsConfig, profile_names, unknown_profile
from segrelay import names
from segrelay.bucket import open_bucket
from segrelay.bucket.address import CloudAddress, SiteAddress, directory_address, parse_address
from segrelay.errors import FixConfigurationError, SegRelayError, StoreUnavailableError
from segrelay.orthanc import OrthancClient, OrthancSettings
from segrelay.orthanc.tls import client_context
from segrelay.profiles import Profile, load_profile
from segrelay.system.nearest import did_you_mean, nearest

_GPUS = {"gpu": "cuda", "nvidia": "cuda"}
"""What a device is called elsewhere."""

_HOST_AND_PATH = re.compile(r"[\w-]+(\.[\w-]+)*\.[A-Za-z]{2,}(:[0-9]+)?/|localhost(:[0-9]+)?/")
"""How an address begins that lacks its ``https://``."""

TRIAL_SECONDS = 10.0
"""For a server to answer: the next question waits."""


def questions(
    earlier: Mapping[str, Any],
    *,
    profiles_dir: Path | None,
    work_dir: str,
    ca_file: Path | None,
) -> list[Question]:
    """Return every question of the set-up, in order.

    Parameters
    ----------
    earlier:
        The settings of an earlier run, offered again as defaults.
    work_dir:
        The default of the work folder.
    """
    return [
        *_server_questions(earlier, ca_file),
        *_profile_questions(earlier, profiles_dir),
        Question(
            key="work_dir",
            text="Work folder, on a local disk",
            option="--work-dir",
            judge=work_folder,
            default=earlier.get("work_dir") or work_dir,
        ),
    ]


def _server_questions(earlier: Mapping[str, Any], ca_file: Path | None) -> list[Question]:
    orthanc = earlier.get("orthanc", {})
    return [
        Question(
            key="bucket",
            text="Queue (https://site/…/queue, gs://bucket/prefix, or a directory)",
            option="--bucket",
            judge=queue_address,
            default=earlier.get("bucket") or None,
            trial=try_queue,
        ),
        Question(
            key="url",
            text="Orthanc's address (https://…)",
            option="--orthanc-url",
            judge=orthanc_address,
            default=orthanc.get("url"),
            trial=partial(try_orthanc, ca_file=ca_file),
        ),
        Question(
            key="user",
            text="Orthanc's user (empty: none)",
            option="--orthanc-user",
            judge=orthanc_user,
            default=orthanc.get("user", ""),
        ),
    ]


def _profile_questions(earlier: Mapping[str, Any], profiles_dir: Path | None) -> list[Question]:
    model: Mapping[str, Any] = next(iter(earlier.get("models", [])), {})
    known = profile_names(profiles_dir)

    def needs_weights(found: Found) -> bool:
        profile: Profile = found["profile"]
        return profile.weights.file is None

    return [
        Question(
            key="profile",
            text=f"Profile ({', '.join(known)})",
            option="--profile",
            judge=partial(profile_of, profiles_dir=profiles_dir),
            default=model.get("profile", "demo"),
        ),
        Question(
            key="weights",
            text="Weights file of this profile",
            option="--weights",
            judge=weights_file,
            default=model.get("weights"),
            applies=needs_weights,
        ),
    ]


def queue_address(text: str) -> str:
    """The queue's address, of an address or of a directory that this account may write to."""
    if "://" not in text and not text.startswith("file:"):
        if text.startswith(("gs:", "gcs:")) or (text.count(".") > 1 and "/" not in text):
            raise FixConfigurationError(
                "This is neither an address nor a directory.",
                code="bucket-address",
                remedy="Use https://site.example.org/…/queue, gs://bucket/prefix, or a directory "
                "like /srv/segrelay/queue.",
            )
        if _HOST_AND_PATH.match(text) and not Path(text).exists():
            raise FixConfigurationError(
                "The queue's address has no https:// before it.",
                code="bucket-address",
                remedy=f"Did you mean https://{text}?",
            )
        text = directory_address(absolute(Path(text)))
    where = parse_address(text)
    if isinstance(where, PurePath):
        writable_folder(Path(where), "The queue's directory")
    return text


def orthanc_address(text: str) -> str:
    """Orthanc's address, tidied."""
    begins_as_one = text.lower().startswith(("http:", "https:", "http/", "https/"))
    if text.strip() and "://" not in text and not begins_as_one:
        here = text.partition(":")[0] in ("localhost", "127.0.0.1")
        raise FixConfigurationError(
            "The Orthanc address has no https:// before it.",
            code="orthanc-address",
            remedy=f"Did you mean {'http' if here else 'https'}://{text}?",
        )
    return OrthancSettings(url=text).checked().url


def orthanc_user(text: str) -> str:
    """A user's name; empty for none."""
    return OrthancSettings(url="https://localhost", user=text.strip()).checked().user


def profile_of(name: str, profiles_dir: Path | None) -> Profile:
    """The profile of this name, whose extras are installed."""
    for place in (profiles_dir, PACKAGED_PROFILES):
        if place is not None and (place / name).is_dir() and Path(name).name == name:
            profile = load_profile(place / name, name=name)
            check_extras(profile)
            return profile
    raise unknown_profile(name, profiles_dir)


def weights_file(text: str) -> tuple[Path, str]:
    """A file of weights and its SHA-256."""
    path = absolute(Path(text))
    if path.is_dir():
        inside = sorted(item.name for item in path.iterdir() if item.is_file())
        raise FixConfigurationError(
            f"{path} is a folder, not a file of weights.",
            code="weights-missing",
            remedy=f"Name the file: {', '.join(inside[:5]) or 'the folder is empty'}.",
        )
    try:
        return path, sha256_of(path)
    except FixConfigurationError as error:
        beside = [item.name for item in path.parent.glob("*")] if path.parent.is_dir() else []
        meant = nearest(path.name, beside)
        if meant is not None:
            error.remedy += f" Did you mean {meant}?"
        raise


def authority(path: Path | None) -> Path | None:
    """A file of certificates to trust, if any, that can be read as one."""
    if path is not None:
        client_context(OrthancSettings(url="https://localhost", ca_file=path))
    return path


def folder_of_profiles(path: Path | None) -> Path | None:
    """The folder with the lab's own profiles, if any; one that is not there yet is made later."""
    if path is not None and _is_there(path) and not path.is_dir():
        raise FixConfigurationError(
            f"{path} is a file, not a folder of profiles.",
            code="setup-refused",
            remedy="Name the folder in which the profiles' folders lie.",
        )
    return path


def device(text: str) -> str:
    """A device as the settings take it."""
    try:
        return ModelsConfig(models=({"profile": "demo"},), device=text).device
    except ValueError:
        raise FixConfigurationError(
            "The device must be auto, cpu, cuda or, for the second GPU, cuda:1"
            + (did_you_mean(_GPUS.get(text.lower(), text), ("auto", "cpu", "cuda")) or "."),
            remedy="Give --device auto: it takes the first GPU, else the CPU.",
        ) from None


def agent_id(text: str) -> str:
    """An agent's name that fits into object names."""
    if names.is_agent_id(text):
        return text
    raise FixConfigurationError(
        f"agent_id: {names.why_no_agent_id(text)}; did you mean {names.agent_id_of(text)}?",
        remedy="Give --agent-id, like lab-gpu-1.",
    )


def work_folder(text: str) -> Path:
    """The work folder, which this account may write to."""
    return writable_folder(absolute(Path(text)), "The work folder")


def writable_folder(path: Path, what: str) -> Path:
    """A folder that this account may write to, or may make; makes nothing."""
    there = next(folder for folder in (path, *path.parents) if _is_there(folder))
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return path
    is_closed = there.is_dir()
    why = "may not be written to by this account" if is_closed else "is a file, not a folder"
    raise FixConfigurationError(
        f"{what} cannot be used: {there} {why}.",
        code="setup-refused",
        remedy="Name another folder, or run it as the account that will run the agent.",
    )


def _is_there(path: Path) -> bool:
    try:
        return path.exists() or path.parent == path
    except PermissionError:
        return True


def absolute(path: Path) -> Path:
    """Without ``~``, from the root on."""
    if os.name == "posix" and re.match(r"[A-Za-z]:[\\/]", str(path)):
        # Here it would be a file or folder of this strange name where the command was started.
        raise FixConfigurationError(
            f"{path} is a path of Windows, and this computer runs another system.",
            code="setup-refused",
            remedy="Give a path of this computer, like /srv/segrelay.",
        )
    return path.expanduser().absolute()


def try_orthanc(
    url: str, *, ca_file: Path | None = None, user: str = "", password: SecretStr | None = None
) -> SegRelayError | None:
    """Ask Orthanc who it is; None where it answers as it should.

    Without ``user``, one that asks for credentials is there, and that is enough.
    """
    settings = OrthancSettings(
        url=url,
        user=user,
        password=password or SecretStr(""),
        ca_file=ca_file,
        connect_timeout=TRIAL_SECONDS,
        read_timeout=TRIAL_SECONDS,
        retries=0,
    )
    try:
        client = OrthancClient(settings)
        try:
            client.system()
        finally:
            client.close()
    except SegRelayError as error:
        if error.code == "orthanc-credentials" and not user:
            return None
        return error
    return None


def try_queue(address: str) -> SegRelayError | None:
    """List one folder of the queue; None where that works, or where it is a directory.

    A site that asks for a token is there, and that is enough.
    """
    where = parse_address(address)
    if isinstance(where, SiteAddress):
        error = try_site(where.url)
        return None if error is not None and error.code == "bucket-credentials" else error
    if not isinstance(where, CloudAddress):
        return None
    try:
        open_bucket(address).list(names.PROBE)
    except SegRelayError as error:
        return error
    return None


def try_site(url: str, *, agent: str = "", token: SecretStr | None = None) -> SegRelayError | None:
    """Ask the site's queue; None where it lets this agent in with its token.

    Parameters
    ----------
    agent:
        Whose token it must be; empty asks without one.
    """
    # Imported here: another queue needs no client of the site's.
    from segrelay.bucket.site import open_site_bucket

    secret = "" if token is None else token.get_secret_value()
    try:
        bucket = open_site_bucket(url, lambda: secret, deadline=TRIAL_SECONDS)
        try:
            bucket.list(names.PROBE)
            if agent:
                bucket.verify_agent(agent)
        finally:
            bucket.close()
    except StoreUnavailableError as error:
        error.remedy = (
            "Check the address, and what is between this computer and the site (proxy, login page, "
            "firewall)."
        )
        return error
    except SegRelayError as error:
        return error
    return None
