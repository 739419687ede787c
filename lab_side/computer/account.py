"""An account that the system hardly knows: a user id without a name, or without a home folder.

``docker run --user 54321`` and OpenShift start programs so. Libraries that look such an account up
raise KeyError (``getpass.getuser``, which torch calls when it is imported) or RuntimeError
(``Path.home``, which keyring calls); what they look for is said in the environment instead.
Source: https://docs.python.org/3/library/getpass.html#getpass.getuser,
https://docs.openshift.com/container-platform/4.17/openshift_images/create-images.html
"""

from __future__ import annotations

import getpass
import os
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

from segrelay.errors import FixConfigurationError

NO_HOME = "/nonexistent"
"""The home folder of accounts that have none, as in Debian's passwd; never made."""


def complete_environment(environment: MutableMapping[str, str] | None = None) -> None:
    """Name the account and its home folder in the environment, where the system cannot.

    What is there already stays; an account that the system knows gets no variable.
    """
    environment = os.environ if environment is None else environment
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):
        # KeyError before Python 3.13.
        environment["LOGNAME"] = f"uid{os.getuid()}" if hasattr(os, "getuid") else "nobody"
    try:
        Path.home()
    except RuntimeError:
        environment["HOME"] = NO_HOME


def home_folder() -> Path:
    """This account's home folder.

    Raises
    ------
    FixConfigurationError
        ``no-home``: it has none.
    """
    try:
        home = Path.home()
    except RuntimeError:
        home = Path(NO_HOME)
    if home != Path(NO_HOME):
        return home
    raise FixConfigurationError(
        "This account has no home folder.",
        code="no-home",
        remedy="Set HOME to a folder that the account may write to, or give --config and "
        "--work-dir.",
    )


def give_folders(environment: MutableMapping[str, str], folder: Path) -> None:
    """Let a program with this environment keep its caches and temporary files in ``folder``.

    Only where it could keep them nowhere: the home folder is missing, or no folder for temporary
    files can be written to. ``folder`` is made then.
    """
    needed = {}
    if not os.path.isdir(environment.get("HOME") or os.path.expanduser("~")):
        needed["HOME"] = str(folder)
    try:
        tempfile.gettempdir()
    except OSError:
        needed["TMPDIR"] = str(folder)
    if needed:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        environment.update(needed)
