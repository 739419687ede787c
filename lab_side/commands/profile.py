"""``lab-agent profile list | show | check | import``: what this computer can compute with.

They need no queue and no Orthanc. Weights are opened by a worker process alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab_side.commands import profile_text
from lab_side.completion import complete_profiles
from lab_side.profile_registry import InstalledProfile, look_at_profiles, valid_profiles
from lab_side.settings.config import ModelConfig, ModelsConfig, load_models_config, unknown_profile
from segrelay.errors import FixConfigurationError, SegRelayError
from segrelay.parsing.text_files import SAVE_AS_UTF_8, UnreadableTextError, read_text
from segrelay.profiles import Network

if TYPE_CHECKING:
    from lab_side.worker.client import WorkerProcess
    from lab_side.worker.protocol import LoadReply

OK, CONFIG = 0, 78
"""Exit codes, as everywhere in ``lab-agent``: 78 where a profile cannot be used."""


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
        "load profiles as for a job, run each network once, and tell what is wrong",
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
        "or a MONAI bundle (folder or zip). It is told what the file is; nothing in it is run, a "
        "bundle's configuration is read as data. The profile appears in profiles_dir once a "
        "worker process has loaded it and run its network.",
    )
    command.add_argument("path", type=Path, metavar="PATH")
    command.add_argument("--name", required=True, help="of the new profile, e.g. breast-2026")
    complete_profiles(
        command.add_argument(
            "--like",
            metavar="PROFILE",
            help="take inputs, segments and what the file does not tell from this profile "
            "(default: the only one with such a network)",
        )
    )
    command.add_argument(
        "--network",
        type=Path,
        metavar="FILE",
        help='JSON: {"architecture": "UNet", "arguments": {…}}, where the weights do not tell',
    )
    command.add_argument(
        "--lora-alpha", type=float, help="lora_alpha of the training, where the file does not tell"
    )
    command.add_argument("--licence", help="of the weights")
    command.add_argument("--citation", help="whom to cite")


def _add(
    actions: Any, name: str, run: Callable[[argparse.Namespace], int], what: str, **more: Any
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = actions.add_parser(name, help=what, **more)
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(command=run)
    return command


def _list(options: argparse.Namespace) -> int:
    shelf = list(look_at_profiles(load_models_config(options.config)).values())
    if options.json:
        _write(json.dumps([profile_text.as_json(item) for item in shelf], indent=1))
    else:
        _write(profile_text.shelf(shelf))
    return OK


def _show(options: argparse.Namespace) -> int:
    item = _shelved(load_models_config(options.config), options.name)
    if item.profile is None:
        raise item.problem or FixConfigurationError("The profile cannot be read.")
    if options.json:
        document = {"folder": str(item.folder), "profile": item.profile.model_dump(mode="json")}
        _write(json.dumps(document, indent=1, ensure_ascii=False))
    else:
        _write(f"{item.folder}\n\n{profile_text.fields(item.profile)}")
    return OK


def _check(options: argparse.Namespace) -> int:
    config = load_models_config(options.config)
    names = options.names or [model.profile for model in config.models]
    results: dict[str, LoadReply | SegRelayError] = {}
    with _worker(config) as worker:
        for name in names:
            try:
                results[name] = _load(config, worker, _shelved(config, name))
            except SegRelayError as error:
                results[name] = error
            if not options.json:
                _write(profile_text.checked(name, results[name]))
    if options.json:
        document = {name: profile_text.checked_json(result) for name, result in results.items()}
        _write(json.dumps(document, indent=1))
    return CONFIG if any(isinstance(item, SegRelayError) for item in results.values()) else OK


def _import(options: argparse.Namespace) -> int:
    from lab_side.importing.draft import Wishes
    from lab_side.importing.run import import_profile

    config = load_models_config(options.config)
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
    with _worker(config) as worker:
        imported = import_profile(
            options.path,
            wishes,
            into=config.profiles_dir,
            known=valid_profiles(config),
            worker=worker,
            device=config.device,
        )
    if options.json:
        document = {
            "name": imported.profile.name,
            "folder": str(imported.folder),
            "found": imported.found,
            "proof": imported.proof.model_dump(mode="json"),
        }
        _write(json.dumps(document, indent=1))
    else:
        _write(profile_text.imported(imported))
    return OK


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


def _shelved(config: ModelsConfig, name: str) -> InstalledProfile:
    shelf = look_at_profiles(config)
    if name not in shelf:
        raise unknown_profile(name, config.profiles_dir)
    return shelf[name]


def _load(config: ModelsConfig, worker: WorkerProcess, item: InstalledProfile) -> LoadReply:
    from lab_side.worker.protocol import LoadRequest

    if item.problem is not None:
        raise item.problem
    model = item.model or ModelConfig(profile=item.name)
    return worker.load(
        LoadRequest(
            folder=item.folder,
            weights=model.weights,
            sha256=model.sha256,
            device=config.device,
            cpu_engine=config.cpu_engine,
        )
    )


@contextmanager
def _worker(config: ModelsConfig) -> Iterator[WorkerProcess]:
    from lab_side.agent.models import new_worker

    worker = new_worker(config)
    try:
        yield worker
    finally:
        worker.close()


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
