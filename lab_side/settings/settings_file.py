"""Finds the settings file: every command reads the same places, in this order.

1. ``--config FILE``
2. ``SEGRELAY_CONFIG``; set and empty: no file is read, the environment alone counts
3. this account's file, ``~/.config/segrelay/agent.toml``
4. this computer's file, ``/etc/segrelay/agent.toml``, on Windows
   ``%PROGRAMDATA%\\SegRelay\\agent.toml``

The first one that is there is read, and no other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab_side.computer.account import NO_HOME

CONFIG_VARIABLE = "SEGRELAY_CONFIG"

FILE_NAME = "agent.toml"

_SYSTEM_FOLDER = Path("/etc/segrelay")


WHERE_SETTINGS_ARE = (
    f"else ${CONFIG_VARIABLE}, else this account's ~/.config/segrelay/{FILE_NAME}, else this "
    f"computer's /etc/segrelay/{FILE_NAME} (Windows: ProgramData\\SegRelay\\{FILE_NAME})"
)


@dataclass(frozen=True, kw_only=True)
class SettingsFile:
    """The file that is read, if any, and what else was looked at."""

    path: Path | None
    """None: there is none, and the environment alone counts."""
    chosen_by: str
    """``--config``, the variable, or whose file it is."""
    looked_at: tuple[str, ...] = ()
    """Every place, in order, where none was found."""
    passed_over: tuple[Path, ...] = ()
    """Files that are there too and are not read."""

    def in_words(self) -> str:
        """One line: which file is read and why, and which ones are not."""
        if self.path is None:
            return f"no settings file; looked at {', '.join(self.looked_at)}"
        others = "".join(f"; not read: {path}" for path in self.passed_over)
        return f"{self.path} ({self.chosen_by}){others}"


def find_settings(
    given: Path | None = None, environment: Mapping[str, str] | None = None
) -> SettingsFile:
    """Look for the file; ``given`` is that of ``--config``, which need not exist."""
    environment = os.environ if environment is None else environment
    usual = list(_usual_places(environment))
    there = [(path, whose) for path, whose in usual if _is_there(path)]
    if given is not None:
        return SettingsFile(path=given, chosen_by="--config", passed_over=_paths(there))
    if CONFIG_VARIABLE in environment:
        named = environment[CONFIG_VARIABLE]
        if not named:
            return SettingsFile(
                path=None,
                chosen_by=CONFIG_VARIABLE,
                looked_at=(f"{CONFIG_VARIABLE} (set, and empty)",),
            )
        path = Path(named).expanduser()
        return SettingsFile(path=path, chosen_by=CONFIG_VARIABLE, passed_over=_paths(there))
    if there:
        (path, whose), *others = there
        return SettingsFile(path=path, chosen_by=whose, passed_over=_paths(others))
    places = (
        "--config (not given)",
        f"{CONFIG_VARIABLE} (not set)",
        *(str(path) for path, _ in usual),
    )
    return SettingsFile(path=None, chosen_by="", looked_at=places)


def new_settings_path(environment: Mapping[str, str] | None = None) -> Path:
    """Return where ``lab-agent setup`` writes by default: for root this computer's file."""
    environment = os.environ if environment is None else environment
    if environment.get(CONFIG_VARIABLE):
        return Path(environment[CONFIG_VARIABLE])
    own = _own_file(environment)
    is_root = os.name == "posix" and os.geteuid() == 0
    return _system_file(environment) if is_root or own is None else own


def _usual_places(environment: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    own = _own_file(environment)
    if own is not None:
        yield own, "this account's"
    yield _system_file(environment), "this computer's"


def _own_file(environment: Mapping[str, str]) -> Path | None:
    """None for an account without a home."""
    home = environment.get("USERPROFILE" if os.name == "nt" else "HOME")
    try:
        folder = Path(home) if home else Path.home() if environment is os.environ else None
    except (RuntimeError, KeyError):
        folder = None
    if folder is None or folder == Path(NO_HOME):
        return None
    return folder / ".config" / "segrelay" / FILE_NAME


def _system_file(environment: Mapping[str, str]) -> Path:
    if os.name == "nt":
        return Path(environment.get("PROGRAMDATA", r"C:\ProgramData")) / "SegRelay" / FILE_NAME
    return _SYSTEM_FOLDER / FILE_NAME


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except PermissionError:
        # A folder of root's: that its file cannot be read is said when it is read. Somebody
        # else's home (HOME is kept by sudo) is none of this account's places.
        return path == _system_file(os.environ)
    except OSError:
        return False


def _paths(found: list[tuple[Path, str]]) -> tuple[Path, ...]:
    return tuple(path for path, _ in found)
