"""``lab-agent service install | start | stop | status | uninstall``: by systemd or by Windows."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from lab_side.commands.console import EXIT_NOT_NOW, EXIT_OK, write
from lab_side.service.backend import Backend, backend
from lab_side.settings.config import SERVICE_NAME, LocalConfig
from lab_side.settings.loading import load_config, load_part
from lab_side.settings.settings_file import find_settings
from segrelay.errors import FixConfigurationError


def add_to(commands: Any) -> None:
    """Add the commands to the parser of ``lab-agent``."""
    parser = commands.add_parser(
        "service", help="run the agent as a service of this computer (systemd, Windows)"
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    command = actions.add_parser(
        "install",
        help="let the agent start with the computer",
        description="Let the agent start with the computer, with the settings that the other "
        "commands read: as a unit of systemd, or as a service of Windows. The account's rights, "
        "and what of folders is missing, are made as well. Needs root, or an administrator.",
    )
    command.add_argument(
        "--user",
        metavar="ACCOUNT",
        help="of the agent (default: an account for it alone, which is made); Windows asks for the "
        "password of a named one, or reads it from standard input",
    )
    command.add_argument(
        "--print",
        action="store_true",
        help="show what would be installed, and install nothing",
        dest="show",
    )
    command.set_defaults(command=_install)
    for name, what in (
        ("start", "start it now"),
        ("stop", "stop it: it drains, which may take minutes"),
        ("status", "whether it is installed, and runs"),
        ("uninstall", "stop it and take it away; settings and work folder stay"),
    ):
        command = actions.add_parser(name, help=what, description=f"{what}.".capitalize())
        command.set_defaults(command=_ACTIONS[name])


def _install(options: argparse.Namespace) -> int:
    path = _config_path(options)
    config = load_config(path)
    config.load_profiles()
    manager = backend(config.service_name)
    user = options.user or manager.default_user
    if options.show:
        sys.stdout.write(manager.register(config, path, user, os.environ).text())
        return EXIT_OK
    written = manager.install(config, path, user, os.environ)
    write(
        f"Written: {written}. It starts with the computer, as {user}, and reads {path}.\n"
        f"To start it now: lab-agent service start. {manager.log_hint}"
    )
    return EXIT_OK


def _start(options: argparse.Namespace) -> int:
    _installed(options).start()
    write("It starts; the models are loaded first. How far it is: lab-agent status")
    return EXIT_OK


def _stop(options: argparse.Namespace) -> int:
    _installed(options).stop()
    write("It is stopped.")
    return EXIT_OK


def _status(options: argparse.Namespace) -> int:
    manager = _service(options)
    if not manager.is_installed():
        write("No service is installed.")
        return EXIT_NOT_NOW
    state = manager.state()
    write(f"The service is {state or 'in an unknown state'}. {manager.log_hint}")
    return EXIT_OK if state == "active" else EXIT_NOT_NOW


def _uninstall(options: argparse.Namespace) -> int:
    was_there = _service(options).uninstall()
    write("It is removed; settings and work folder stay." if was_there else "None is installed.")
    return EXIT_OK


_ACTIONS = {"start": _start, "stop": _stop, "status": _status, "uninstall": _uninstall}


def _service(options: argparse.Namespace) -> Backend:
    """The service of these settings; without settings, the one that most computers have."""
    path = find_settings(options.config).path
    return backend(load_part(LocalConfig, path).service_name if path else SERVICE_NAME)


def _installed(options: argparse.Namespace) -> Backend:
    manager = _service(options)
    if not manager.is_installed():
        raise FixConfigurationError(
            "No service is installed.",
            code="service-missing",
            remedy="Install it: lab-agent --config FILE service install",
        )
    return manager


def _config_path(options: argparse.Namespace) -> Path:
    """The file that the commands of this account read; the service is given its path."""
    file = find_settings(options.config)
    if file.path is None:
        raise FixConfigurationError(
            "A service reads its settings from a file, and there is none. "
            f"Looked at: {', '.join(file.looked_at)}.",
            code="service-no-file",
            remedy="Run lab-agent setup, which writes the file, or give --config.",
        )
    return file.path.expanduser().absolute()
