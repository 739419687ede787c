"""``lab-agent service install | start | stop | status | uninstall``: on Linux, by systemd."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from common.errors import FixConfigurationError
from lab_side.config import CONFIG_VARIABLE, load_config
from lab_side.service import systemd
from lab_side.service.unit import NAME

OK, NOT_NOW = 0, 75
"""Exit codes, as everywhere in ``lab-agent``: 75 where the service does not run."""

DEFAULT_USER = "segrelay"


def add_to(commands: Any) -> None:
    """Add the commands to the parser of ``lab-agent``."""
    parser = commands.add_parser(
        "service", help="run the agent as a service of this computer (Linux: systemd)"
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    command = actions.add_parser(
        "install",
        help="write the unit, and let it start with the computer",
        description="Write the unit of systemd for the settings of --config, make the account "
        "and the work folder where they are missing, and let the agent start with the computer. "
        "Needs root.",
    )
    command.add_argument(
        "--user", default=DEFAULT_USER, help=f"account of the agent (default: {DEFAULT_USER})"
    )
    command.add_argument(
        "--print", action="store_true", help="show the unit, and install nothing", dest="show"
    )
    command.set_defaults(command=_install)
    for name, what in (
        ("start", "start it now"),
        ("stop", "stop it: it drains, which may take minutes"),
        ("status", "whether it is installed, and runs"),
        ("uninstall", "stop it and take the unit away; settings and work folder stay"),
    ):
        command = actions.add_parser(name, help=what, description=f"{what}.".capitalize())
        command.set_defaults(command=_ACTIONS[name])


def _install(options: argparse.Namespace) -> int:
    path = _config_path(options)
    config = load_config(path)
    config.load_profiles()
    unit = systemd.make_unit(config, path, options.user, os.environ)
    if options.show:
        sys.stdout.write(unit.text())
        return OK
    written = systemd.install(unit, config)
    _write(
        f"Written: {written}. It starts with the computer, as {options.user}.\n"
        f"To start it now: lab-agent service start. Its log: journalctl -u {NAME}"
    )
    return OK


def _start(_options: argparse.Namespace) -> int:
    _need_unit()
    # The models are loaded before systemd calls it started: that takes minutes.
    systemd.call("start", "--no-block", NAME)
    _write("It starts; the models are loaded first. How far it is: lab-agent service status")
    return OK


def _stop(_options: argparse.Namespace) -> int:
    _need_unit()
    systemd.call("stop", NAME, seconds=None)
    _write("It is stopped.")
    return OK


def _status(_options: argparse.Namespace) -> int:
    if not systemd.is_installed():
        _write("No service is installed.")
        return NOT_NOW
    state = systemd.state()
    _write(f"The service is {state or 'in an unknown state'}. Its log: journalctl -u {NAME}")
    return OK if state == "active" else NOT_NOW


def _uninstall(_options: argparse.Namespace) -> int:
    was_there = systemd.uninstall()
    _write("It is removed; settings and work folder stay." if was_there else "None is installed.")
    return OK


_ACTIONS = {"start": _start, "stop": _stop, "status": _status, "uninstall": _uninstall}


def _config_path(options: argparse.Namespace) -> Path:
    path = options.config or os.environ.get(CONFIG_VARIABLE)
    if not path:
        raise FixConfigurationError(
            "A service reads its settings from a file, and none is given.",
            code="service-no-file",
            remedy="Give --config; lab-agent setup writes the file.",
        )
    return Path(path).expanduser().absolute()


def _need_unit() -> None:
    if not systemd.is_installed():
        raise FixConfigurationError(
            "No service is installed.",
            code="service-missing",
            remedy="Install it: lab-agent --config FILE service install",
        )


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
