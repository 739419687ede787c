"""``lab-agent profile list | show | check | import``: what this computer can compute with.

They need no queue and no Orthanc. Weights are opened by a worker process alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab_side.commands import profile_text
from lab_side.commands.console import EXIT_CONFIG, EXIT_OK, add_json, show, write, write_json
from lab_side.completion import complete_profiles
from lab_side.profile_registry import InstalledProfile, installed_profiles, valid_profiles
from lab_side.settings.config import ModelConfig, ModelsConfig, unknown_profile
from lab_side.settings.loading import load_part
from segrelay.errors import FixConfigurationError, SegRelayError
from segrelay.parsing.text_files import SAVE_AS_UTF_8, UnreadableTextError, read_text
from segrelay.profiles import Network

if TYPE_CHECKING:
    from lab_side.worker.client import WorkerProcess
    from lab_side.worker.protocol import LoadReply


def add_to(commands: Any) -> None:
    """Add the command to the parser of ``lab-agent``."""
    parser = commands.add_parser("profile", help="model profiles: list, show, check, import")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    _add(actions, "list", _list, "show the profiles that are here, and which are served")
    command = _add(actions, "show", _show, "show every field of one profile")
    complete_profiles(command.add_argument("name", metavar="NAME"))
    command = _add(
        actions,
        "check",
        _check,
        "load profiles as for a job, run each network once, and report what is wrong",
    )
    complete_profiles(
        command.add_argument(
            "names", nargs="*", metavar="NAME", help="default: those that are served"
        )
    )
    command = _add(
        actions,
        "import",
        _import,
        "make a profile of a file of weights or of a MONAI bundle",
        description="Make a profile of a checkpoint (.pth, .pt, .safetensors), a TorchScript file "
        "or a MONAI bundle (folder or zip). What the file is, is shown; nothing in it is run, a "
        "bundle's configuration is read as data. The profile appears in profiles_dir once a "
        "worker process has loaded it and run its network.",
    )
    command.add_argument("path", type=Path, metavar="PATH")
    command.add_argument("--name", required=True, help="of the new profile, e.g. breast-2026")
    complete_profiles(
        command.add_argument(
            "--like",
            metavar="PROFILE",
            help="take inputs, segments and what the file does not say from this profile "
            "(default: the only one with such a network)",
        )
    )
    command.add_argument(
        "--network",
        type=Path,
        metavar="FILE",
        help='JSON: {"architecture": "UNet", "arguments": {…}}, where the weights do not say',
    )
    command.add_argument(
        "--lora-alpha", type=float, help="lora_alpha of the training, where the file does not say"
    )
    command.add_argument("--licence", help="of the weights")
    command.add_argument("--citation", help="whom to cite")


def _add(
    actions: Any, name: str, run: Callable[[argparse.Namespace], int], what: str, **more: Any
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = actions.add_parser(name, help=what, **more)
    add_json(command)
    command.set_defaults(command=run)
    return command


def _list(options: argparse.Namespace) -> int:
    items = list(installed_profiles(load_part(ModelsConfig, options.config)).values())
    show(options, [profile_text.as_json(item) for item in items], profile_text.installed(items))
    return EXIT_OK


def _show(options: argparse.Namespace) -> int:
    item = installed(load_part(ModelsConfig, options.config), options.name)
    if item.profile is None:
        raise item.problem or FixConfigurationError("The profile cannot be read.")
    document = {"folder": item.folder, "profile": item.profile}
    show(options, document, f"{item.folder}\n\n{profile_text.fields(item.profile)}")
    return EXIT_OK


def _check(options: argparse.Namespace) -> int:
    config = load_part(ModelsConfig, options.config)
    names = options.names or [model.profile for model in config.models]
    results: dict[str, LoadReply | SegRelayError] = {}
    with open_worker(config) as worker:
        for name in names:
            try:
                results[name] = load(config, worker, installed(config, name))
            except SegRelayError as error:
                results[name] = error
            if not options.json:
                write(profile_text.checked(name, results[name]))
    if options.json:
        checked = {name: profile_text.checked_json(result) for name, result in results.items()}
        write_json(checked)
    has_failed = any(isinstance(item, SegRelayError) for item in results.values())
    return EXIT_CONFIG if has_failed else EXIT_OK


def _import(options: argparse.Namespace) -> int:
    from lab_side.importing.draft import Wishes
    from lab_side.importing.run import import_profile

    config = load_part(ModelsConfig, options.config)
    if config.profiles_dir is None:
        raise FixConfigurationError(
            "There is no place for a profile of your own.",
            code="profiles-dir",
            remedy="Set profiles_dir in the TOML file, or SEGRELAY_PROFILES_DIR, to a folder.",
        )
    wishes = Wishes(
        name=options.name,
        like=options.like,
        network=None if options.network is None else _read_network(options.network),
        lora_alpha=options.lora_alpha,
        licence=options.licence,
        citation=options.citation,
    )
    with open_worker(config) as worker:
        imported = import_profile(
            options.path,
            wishes,
            into=config.profiles_dir,
            known=valid_profiles(config),
            worker=worker,
            device=config.device,
        )
    document = {
        "name": imported.profile.name,
        "folder": imported.folder,
        "found": imported.found,
        "proof": imported.proof,
    }
    show(options, document, profile_text.imported(imported))
    return EXIT_OK


def _read_network(path: Path) -> Network:
    try:
        return Network.model_validate_json(read_text(path))
    except UnreadableTextError as error:
        raise FixConfigurationError(
            f"The file {path} {error}.", code="network-file", remedy=SAVE_AS_UTF_8
        ) from error
    except (OSError, ValueError) as error:
        raise FixConfigurationError(
            f"The file {path} does not describe a network.",
            code="network-file",
            remedy='Write {"architecture": …, "arguments": {…}} into it; lab_side/profiles/'
            "README.md explains both.",
        ) from error


def installed(config: ModelsConfig, name: str) -> InstalledProfile:
    """Find a profile; raises FixConfigurationError where there is none of this name."""
    found = installed_profiles(config)
    if name not in found:
        raise unknown_profile(name, config.profiles_dir)
    return found[name]


def load(config: ModelsConfig, worker: WorkerProcess, item: InstalledProfile) -> LoadReply:
    """Load a profile in the worker and run its network once; raises its problem, if it has one."""
    from lab_side.agent.models import load_request

    if item.problem is not None:
        raise item.problem
    return worker.load(load_request(config, item.model or ModelConfig(profile=item.name)))


@contextmanager
def open_worker(config: ModelsConfig) -> Iterator[WorkerProcess]:
    """Yield a worker process that ends with the block."""
    from lab_side.agent.models import new_worker

    worker = new_worker(config)
    try:
        yield worker
    finally:
        worker.close()
