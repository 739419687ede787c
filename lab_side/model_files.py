"""The files of the models, without loading them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from segrelay.errors import FixConfigurationError
from segrelay.system.system_limits import raise_if_limit

_CHUNK = 1 << 20


def sha256_of(path: Path) -> str:
    """SHA-256 of a weights file, in hexadecimal.

    Raises
    ------
    FixConfigurationError
        ``weights-missing``
    """
    digest = hashlib.sha256()
    try:
        # A device such as /dev/zero never ends.
        if path.exists() and not path.is_file():
            raise FixConfigurationError(
                f"{path} is not a file of weights.",
                code="weights-missing",
                remedy="Put the weights there, or correct the path.",
            )
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise_if_limit(error)
        raise FixConfigurationError(
            f"The weights file {path} cannot be read ({error.strerror or type(error).__name__}).",
            code="weights-missing",
            remedy="Put the weights there, or correct the path.",
        ) from None
    return digest.hexdigest()
