"""The questions of ``lab-agent setup``, with the check and the trial of each answer."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from lab_side.commands.setup.dialogue import Found, Question
from lab_side.commands.setup.trials import try_orthanc, try_queue
from lab_side.computer.extras import check_extras
from lab_side.model_files import sha256_of
from lab_side.settings.config import PACKAGED_PROFILES, ModelsConfig, profile_names, unknown_profile
from segrelay import names
from segrelay.bucket import require_redis
from segrelay.bucket.address import RedisAddress, directory_address, parse_address
from segrelay.errors import FixConfigurationError, SegRelayError
from segrelay.http.certificate_fault import is_of_unknown_authority
from segrelay.http.proxy_environment import check_certificates
from segrelay.orthanc import OrthancSettings
from segrelay.orthanc.tls import client_context
from segrelay.profiles import Profile, load_profile
from segrelay.system.nearest import did_you_mean, nearest

_GPUS = {"gpu": "cuda", "nvidia": "cuda"}
"""What a device is called elsewhere."""

_HOST_AND_PATH = re.compile(r"[\w-]+(\.[\w-]+)*\.[A-Za-z]{2,}(:[0-9]+)?/|localhost(:[0-9]+)?/")
"""How an address begins that lacks its ``https://``."""


def questions(
    earlier: Mapping[str, Any],
    *,
    profiles_dir: Path | None,
    work_dir: str,
    ca_file: Path | None,
    queue: QueueTrial,
    name: str,
) -> list[Question]:
    """Return every question of the set-up, in order.

    Parameters
    ----------
    earlier:
        The settings of an earlier run, offered again as defaults.
    work_dir:
        The default of the work folder.
    queue:
        Tries the queue's address.
    name:
        The default of the agent's name.
    """
    return [
        *_queue_questions(earlier, queue, name),
        *_orthanc_questions(earlier, ca_file),
        *_profile_questions(earlier, profiles_dir),
        Question(
            key="work_dir",
            text="Work folder, on a local disk",
            option="--work-dir",
            judge=work_folder,
            default=earlier.get("work_dir") or work_dir,
        ),
    ]


def _queue_questions(earlier: Mapping[str, Any], queue: QueueTrial, name: str) -> list[Question]:
    return [
        Question(
            key="bucket",
            text="Queue (https://site/…/queue, rediss://user@host/0/segrelay, "
            "gs://bucket/prefix, or a directory)",
            option="--bucket",
            judge=queue_address,
            default=earlier.get("bucket") or None,
            trial=queue.try_address,
        ),
        Question(
            key="queue_ca_file",
            text="The certificate of the queue's server is of an authority that this computer does "
            "not know. File with the authority's certificate (PEM)",
            option="--queue-ca-file",
            judge=lambda text: authority_of_queue(Path(text)),
            applies=queue.needs_authority,
            trial=queue.try_authority,
        ),
        Question(
            key="agent_id",
            text="Name of this computer in the queue (a site's token belongs to one name)",
            option="--agent-id",
            judge=agent_id,
            default=name,
        ),
    ]


def _orthanc_questions(earlier: Mapping[str, Any], ca_file: Path | None) -> list[Question]:
    orthanc = earlier.get("orthanc", {})
    return [
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


class QueueTrial:
    """Tries the queue's address, and once more with an authority where its certificate needs one.

    Parameters
    ----------
    ca_file:
        What is trusted instead of the public authorities, where it is known already.
    asks:
        Whether there is a terminal; without one nothing is tried.
    """

    def __init__(self, ca_file: Path | None, *, asks: bool) -> None:
        self._ca_file = ca_file
        self._asks = asks
        self._address = ""
        self._needs_authority = False

    def try_address(self, address: str) -> SegRelayError | None:
        """Return what is wrong; not that an authority is unknown, which is asked for next."""
        self._address = address
        problem = try_queue(address, ca_file=self._ca_file)
        self._needs_authority = (
            problem is not None and self._ca_file is None and is_of_unknown_authority(problem)
        )
        return None if self._needs_authority else problem

    def needs_authority(self, found: Found) -> bool:
        """Return whether the server's certificate is of an authority that is not known here."""
        if self._asks and self._address != found["bucket"]:
            # It came as an option, which is not tried when it is judged.
            self.try_address(found["bucket"])
        return self._needs_authority

    def try_authority(self, ca_file: Path) -> SegRelayError | None:
        """Return what is wrong with this authority."""
        return try_queue(self._address, ca_file=ca_file)


def queue_address(text: str) -> str:
    """The queue's address, of an address or of a directory that this account may write to."""
    if "://" not in text and not text.startswith("file:"):
        if text.startswith(("gs:", "gcs:")) or (text.count(".") > 1 and "/" not in text):
            raise FixConfigurationError(
                "This is neither an address nor a directory.",
                code="bucket-address",
                remedy="Use https://site.example.org/…/queue, rediss://user@host/0/segrelay, "
                "gs://bucket/prefix, or a directory like /srv/segrelay/queue.",
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
    if isinstance(where, RedisAddress):
        require_redis()
    return text


def authority_of_queue(path: Path | None) -> Path | None:
    """A file of certificates to trust for the queue, if any, that can be read as one."""
    if path is None:
        return None
    path = absolute(path)
    check_certificates(str(path), "queue_ca_file")
    return path


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
