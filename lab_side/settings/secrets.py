"""Sources of secrets: environment, a file, systemd credential, a folder of files, keyring.

A bearer token may also come from a command (``orthanc.token_command``), as that of the cloud's
own tools: such tokens live for an hour.
"""

from __future__ import annotations

import codecs
import os
import stat
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segrelay.errors import FixConfigurationError
from segrelay.parsing.text_files import SAVE_AS_UTF_8, UnreadableTextError, read_text
from segrelay.signing import SigningKey
from segrelay.system.durable import write_durably
from segrelay.system.system_limits import raise_if_limit


@dataclass(frozen=True, kw_only=True)
class SecretPlaces:
    """Places of one secret, in the order in which they are read."""

    variable: str
    """Of the environment; with ``_FILE`` after it, the name of a file that holds the secret."""
    credential: str
    """A file in ``$CREDENTIALS_DIRECTORY``, systemd's ``LoadCredential=``, or in the folder that
    ``credentials_dir`` names."""
    service: str
    """In the keyring of the account that runs this, with a name beside it."""


PASSWORD = SecretPlaces(
    variable="SEGRELAY_ORTHANC_PASSWORD",
    credential="orthanc-password",
    service="segrelay-orthanc",
)
TOKEN = SecretPlaces(
    variable="SEGRELAY_ORTHANC_TOKEN",
    credential="orthanc-token",
    service="segrelay-orthanc-token",
)
PROXY_PASSWORD = SecretPlaces(
    variable="SEGRELAY_ORTHANC_PROXY_PASSWORD",
    credential="orthanc-proxy-password",
    service="segrelay-orthanc-proxy",
)
SIGNING = SecretPlaces(
    variable="SEGRELAY_SIGNING_KEY", credential="signing-key", service="segrelay-signing"
)
QUEUE_TOKEN = SecretPlaces(
    variable="SEGRELAY_QUEUE_TOKEN", credential="queue-token", service="segrelay-queue"
)
REDIS_PASSWORD = SecretPlaces(
    variable="SEGRELAY_REDIS_PASSWORD", credential="redis-password", service="segrelay-redis"
)
EVERY_SECRET = (PASSWORD, TOKEN, PROXY_PASSWORD, SIGNING, QUEUE_TOKEN, REDIS_PASSWORD)

COMMAND_TIMEOUT_S = 30.0
"""For a command that prints a token: one that asks the cloud takes a second or two."""

FOLDER_VARIABLE = "SEGRELAY_CREDENTIALS_DIR"
"""The setting ``credentials_dir``, for a computer without keyring and without systemd."""

_FILE = "_FILE"

SECRET_VARIABLES = frozenset(
    {"CREDENTIALS_DIRECTORY", FOLDER_VARIABLE}
    | {places.variable for places in EVERY_SECRET}
    | {places.variable + _FILE for places in EVERY_SECRET}
)
"""Variables that lead to secrets; the worker, which runs the models, gets none of them."""


def secret_environment(environment: Mapping[str, str], folder: object) -> Mapping[str, str]:
    """Add the folder of secrets that the settings name, so that every secret can be found."""
    return environment if not folder else {**environment, FOLDER_VARIABLE: str(folder)}


def orthanc_password(user: str, environment: Mapping[str, str]) -> str:
    """The password of ``user``; empty when no user is configured.

    Raises
    ------
    FixConfigurationError
        ``orthanc-password-missing``
    """
    return _password(
        PASSWORD, user, environment, whose="Orthanc user", code="orthanc-password-missing"
    )


def orthanc_token(user: str, agent_id: str, environment: Mapping[str, str]) -> str:
    """The bearer token in place of user and password; empty where there is none.

    The keyring is asked only where no user is configured.
    """
    return _find(TOKEN, "" if user else agent_id, environment)


def token_from_command(command: Sequence[str]) -> str:
    """Run a command and return what it prints, without the blanks around it; run without a shell.

    Neither its output nor its error output appears in an error or a log: both may hold the token.

    Raises
    ------
    FixConfigurationError
        ``orthanc-token-command``: it cannot be run, fails, takes too long or prints nothing.
    """
    try:
        done = subprocess.run(  # noqa: S603 (a list from the settings' own file)
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _no_token(f"took longer than {COMMAND_TIMEOUT_S:.0f} s") from None
    except (OSError, ValueError) as error:
        raise _no_token(f"cannot be run ({type(error).__name__})") from None
    if done.returncode != 0:
        raise _no_token(f"ended with {done.returncode}")
    # PowerShell writes a byte order mark.
    token = done.stdout.removeprefix(codecs.BOM_UTF8).decode("ascii", "replace").strip()
    if not token:
        raise _no_token("printed nothing")
    return token


def _no_token(what: str) -> FixConfigurationError:
    return FixConfigurationError(
        f"The command for the Orthanc token (orthanc.token_command) {what}.",
        code="orthanc-token-command",
        remedy="Run it by hand as the account that runs the agent: it must print the token alone.",
    )


def proxy_password(user: str, environment: Mapping[str, str]) -> str:
    """The password of the proxy's ``user``; empty when none is configured.

    Raises
    ------
    FixConfigurationError
        ``orthanc-proxy-password-missing``
    """
    return _password(
        PROXY_PASSWORD,
        user,
        environment,
        whose="proxy's user",
        code="orthanc-proxy-password-missing",
    )


def queue_token(agent_id: str, environment: Mapping[str, str]) -> str:
    """This agent's token for a queue that the site keeps; empty where there is none."""
    return _find(QUEUE_TOKEN, agent_id, environment)


def redis_password(agent_id: str, environment: Mapping[str, str]) -> str:
    """The password of the queue's user in a Redis; empty where there is none."""
    return _find(REDIS_PASSWORD, agent_id, environment)


def signing_key(agent_id: str, environment: Mapping[str, str]) -> SigningKey | None:
    """This agent's key, None where it has none.

    Raises
    ------
    FixConfigurationError
        ``key-invalid``
    """
    text = _find(SIGNING, agent_id, environment)
    return SigningKey.from_text(text) if text else None


def _password(
    places: SecretPlaces, user: str, environment: Mapping[str, str], *, whose: str, code: str
) -> str:
    if not user:
        return ""
    password = _find(places, user, environment)
    if not password:
        raise FixConfigurationError(
            f"There is no password for the {whose} {user}.",
            code=code,
            remedy=f"Set {places.variable}, a systemd credential named {places.credential}, "
            f"store it: keyring set {places.service} {user}, or run lab-agent setup.",
        )
    return password


def _find(places: SecretPlaces, name: str, environment: Mapping[str, str]) -> str:
    """The secret, empty where there is none; without a ``name`` no keyring is asked."""
    return (
        environment.get(places.variable)
        or _from_named_file(places.variable, environment)
        or _from_systemd(places.credential, environment)
        or _from_folder(places.credential, environment)
        or (_from_keyring(places.service, name) if name else None)
        or ""
    )


def _from_named_file(variable: str, environment: Mapping[str, str]) -> str | None:
    path = environment.get(variable + _FILE)
    if not path:
        return None
    try:
        return read_text(Path(path)).strip()
    except UnreadableTextError as error:
        raise _not_utf_8(f"The file that {variable}{_FILE} names", error) from None
    except (OSError, ValueError) as error:
        raise_if_limit(error)
        raise FixConfigurationError(
            f"{variable}{_FILE} names a file that cannot be read ({type(error).__name__}).",
            code="secret-file-unreadable",
            remedy="Correct the path, or let the account that runs the agent read the file.",
        ) from None


def _not_utf_8(what: str, error: UnreadableTextError) -> FixConfigurationError:
    return FixConfigurationError(
        f"{what} {error}.", code="secret-file-unreadable", remedy=SAVE_AS_UTF_8
    )


def _from_systemd(credential: str, environment: Mapping[str, str]) -> str | None:
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    try:
        return read_text(Path(folder) / credential).rstrip("\r\n")
    except UnreadableTextError as error:
        raise _not_utf_8(f"The credential {credential}", error) from None
    except OSError as error:
        raise_if_limit(error)
        return None


def _from_folder(credential: str, environment: Mapping[str, str]) -> str | None:
    folder = environment.get(FOLDER_VARIABLE)
    # A service is given what it needs by systemd, and may not look into the folder.
    if not folder or environment.get("CREDENTIALS_DIRECTORY"):
        return None
    path = Path(folder) / credential
    try:
        text = read_text(path).rstrip("\r\n")
        is_open = os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077
    except FileNotFoundError:
        return None
    except UnreadableTextError as error:
        raise _not_utf_8(f"The file of a secret, {path},", error) from None
    except (OSError, ValueError) as error:
        raise_if_limit(error)
        raise FixConfigurationError(
            f"The file of a secret, {path}, cannot be read ({type(error).__name__}).",
            code="secret-file-unreadable",
            remedy=f"Give it to the account that runs the agent: chown ACCOUNT {path}",
        ) from None
    if is_open:
        raise FixConfigurationError(
            f"Other accounts may read the file of a secret, {path}.",
            code="secret-file-open",
            remedy=f"Change the password if it may have been read, and run: chmod 600 {path}",
        )
    return text


def keep_in_folder(folder: Path, credential: str, secret: str) -> Path:
    """Store a secret in a file that this account alone may read; returns the file.

    Raises
    ------
    OSError
        The disk refused.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / credential
    write_durably(path, f"{secret}\n".encode(), private=True)
    return path


def _from_keyring(service: str, name: str) -> str | None:
    # Imported late: a machine without a keyring back-end must still be able to start.
    import keyring
    from keyring.errors import KeyringError

    try:
        return keyring.get_password(service, name)
    except KeyringError:
        return None


def keep_in_keyring(service: str, name: str, secret: str) -> bool:
    """Store a secret for this account; whether the keyring has kept it."""
    import keyring
    from keyring.errors import KeyringError

    try:
        keyring.set_password(service, name, secret)
        # A null keyring takes everything and keeps nothing.
        return keyring.get_password(service, name) == secret
    except KeyringError:
        return False
