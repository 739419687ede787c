"""Where secrets come from: environment, systemd credential, keyring."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from common.errors import FixConfigurationError
from common.signing import SigningKey

PASSWORD_VARIABLE = "SEGRELAY_ORTHANC_PASSWORD"  # noqa: S105
CREDENTIAL_NAME = "orthanc-password"
KEYRING_SERVICE = "segrelay-orthanc"

SIGNING_VARIABLE = "SEGRELAY_SIGNING_KEY"
SIGNING_CREDENTIAL = "signing-key"
SIGNING_SERVICE = "segrelay-signing"

SECRET_PLACES = frozenset({PASSWORD_VARIABLE, SIGNING_VARIABLE, "CREDENTIALS_DIRECTORY"})
"""Variables that lead to secrets; the worker, which runs the models, gets none of them."""


def orthanc_password(user: str, environment: Mapping[str, str]) -> str:
    """The password of ``user``; empty when no user is configured.

    Looked for in the environment, in ``$CREDENTIALS_DIRECTORY`` (systemd's
    ``LoadCredential=``) and in the keyring of the account that runs this.

    Raises
    ------
    FixConfigurationError
        ``orthanc-password-missing``
    """
    if not user:
        return ""
    password = (
        environment.get(PASSWORD_VARIABLE)
        or _from_systemd(CREDENTIAL_NAME, environment)
        or _from_keyring(KEYRING_SERVICE, user)
    )
    if not password:
        raise FixConfigurationError(
            f"There is no password for the Orthanc user {user}.",
            code="orthanc-password-missing",
            remedy=f"Set {PASSWORD_VARIABLE}, a systemd credential named {CREDENTIAL_NAME}, "
            f"or store it: keyring set {KEYRING_SERVICE} {user}",
        )
    return password


def signing_key(agent_id: str, environment: Mapping[str, str]) -> SigningKey | None:
    """This agent's key, None where it has none; looked for in the same places.

    Raises
    ------
    FixConfigurationError
        ``key-invalid``
    """
    text = (
        environment.get(SIGNING_VARIABLE)
        or _from_systemd(SIGNING_CREDENTIAL, environment)
        or _from_keyring(SIGNING_SERVICE, agent_id)
    )
    return SigningKey.from_text(text) if text else None


def _from_systemd(credential: str, environment: Mapping[str, str]) -> str | None:
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    try:
        return (Path(folder) / credential).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError:
        return None


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
