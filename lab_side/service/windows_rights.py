"""Rights in Windows: administrator, password of the account, access to the agent's files."""

from __future__ import annotations

import contextlib
import getpass
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from lab_side.service.windows_registration import WindowsRegistration
from segrelay.errors import FixConfigurationError

_DENIED = 5
_NO_PASSWORD = ("nt service\\", "nt authority\\", "localsystem")
_SYSTEM, _ADMINISTRATORS = "*S-1-5-18", "*S-1-5-32-544"
"""By number: their names are translated."""


def password_of(account: str) -> str | None:
    """Read the password of a named account: typed, or a line of standard input."""
    if account.lower().startswith(_NO_PASSWORD):
        return None
    is_terminal = sys.stdin is not None and sys.stdin.isatty()
    password = (
        getpass.getpass(f"Password of {account} (not shown): ")
        if is_terminal
        else (sys.stdin.readline().rstrip("\r\n") if sys.stdin is not None else "")
    )
    if not password:
        raise FixConfigurationError(
            f"There is no password for the account {account}.",
            code="service-account",
            remedy="Run it on a terminal, or give the password on standard input.",
        )
    return password


def give_rights(service: WindowsRegistration) -> None:
    """Close files and folders to all but administrators and the service's account."""
    for folder in service.writable:
        folder.mkdir(parents=True, exist_ok=True)
        _close_to_others(folder, service.account, "(OI)(CI)M")
    if service.secrets is not None:
        _close_to_others(service.secrets, service.account, "(OI)(CI)R")
    _close_to_others(service.config, service.account, "R")
    for path in service.readable:
        inherited = "(OI)(CI)RX" if path.is_dir() else "R"
        _icacls(path, "/grant", f"{service.account}:{inherited}")


def _close_to_others(path: Path, account: str, right: str) -> None:
    full = "(OI)(CI)F" if path.is_dir() else "F"
    owners = [f"{owner}:{full}" for owner in (_SYSTEM, _ADMINISTRATORS)]
    _icacls(path, "/inheritance:r", "/grant:r", *owners, f"{account}:{right}")


def _icacls(path: Path, *arguments: str) -> None:
    done = subprocess.run(  # noqa: S603 (paths of the settings)
        ["icacls", str(path), *arguments],  # noqa: S607 (of the system)
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise _refused(f"icacls {path}: exit code {done.returncode}")


def need_administrator() -> None:
    """Raise FixConfigurationError (``service-root``) for an account without the right."""
    from win32com.shell import shell

    if not shell.IsUserAnAdmin():
        raise _not_administrator()


def _not_administrator() -> FixConfigurationError:
    return FixConfigurationError(
        "Only an administrator can install, remove, start or stop a service.",
        code="service-root",
        remedy="Run it in a terminal opened with: Run as administrator; --print shows what would "
        "be installed.",
    )


def _refused(why: str) -> FixConfigurationError:
    return FixConfigurationError(
        f"The service manager refused ({why}).",
        code="service-refused",
        remedy="Look at: sc.exe query; and at the Application log of Windows.",
    )


@contextlib.contextmanager
def refusals(besides: int = 0) -> Iterator[None]:
    """Raise FixConfigurationError for what Windows refuses, but for the error ``besides``."""
    import pywintypes

    try:
        yield
    except pywintypes.error as error:
        if error.winerror == _DENIED:
            raise _not_administrator() from None
        if error.winerror != besides:
            raise _refused(f"{error.funcname}: {error.strerror} ({error.winerror})") from None
