"""Where the Orthanc password comes from: environment, systemd credential, keyring."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from common.errors import FixConfigurationError

PASSWORD_VARIABLE = "SEGRELAY_ORTHANC_PASSWORD"  # noqa: S105
CREDENTIAL_NAME = "orthanc-password"
KEYRING_SERVICE = "segrelay-orthanc"


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
        environment.get(PASSWORD_VARIABLE) or _from_systemd(environment) or _from_keyring(user)
    )
    if not password:
        raise FixConfigurationError(
            f"There is no password for the Orthanc user {user}.",
            code="orthanc-password-missing",
            remedy=f"Set {PASSWORD_VARIABLE}, a systemd credential named {CREDENTIAL_NAME}, "
            f"or store it: keyring set {KEYRING_SERVICE} {user}",
        )
    return password


def _from_systemd(environment: Mapping[str, str]) -> str | None:
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    try:
        return (Path(folder) / CREDENTIAL_NAME).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError:
        return None


def _from_keyring(user: str) -> str | None:
    # Imported late: a machine without a keyring back-end must still be able to start.
    import keyring
    from keyring.errors import KeyringError

    try:
        return keyring.get_password(KEYRING_SERVICE, user)
    except KeyringError:
        return None
