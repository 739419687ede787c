"""The images that the compose file names: those already here, else stand-ins from Debian."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from infra.containers.engine import CACHE, Engine
from segrelay.errors import FixConfigurationError

FOLDER = Path(__file__).parent / "images"
BASE = "debian:trixie-slim"
RELEASE = "trixie"
LABEL = "segrelay.stand-in"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
PLUGINS = ("docker-compose", "docker-buildx")
_PLUGIN_FOLDER = "/usr/libexec/docker/cli-plugins"


def base_of(dockerfile: Path) -> str:
    """The image that a Dockerfile builds upon."""
    found = re.search(r"^FROM (\S+)", dockerfile.read_text(), flags=re.MULTILINE)
    if found is None:
        raise ValueError(f"{dockerfile} has no FROM")
    return found[1]


def needed(document: dict[str, Any]) -> list[str]:
    """Images that the services run or are built upon, each once, sorted.

    ``document`` is what ``docker compose config --format json`` prints.
    """
    names = set()
    for service in document["services"].values():
        if "build" in service:
            names.add(base_of(Path(service["build"]["context"], service["build"]["dockerfile"])))
        else:
            names.add(service["image"])
    return sorted(names)


def provide(engine: Engine, names: Iterable[str]) -> dict[str, str]:
    """Have each image on the engine; returns what each is, in words.

    Raises
    ------
    FixConfigurationError
        One is not here and has no stand-in, or a stand-in could not be made.
    """
    return {name: _provide(engine, name) for name in names}


def _provide(engine: Engine, name: str) -> str:
    found = engine.attempt(
        "image", "inspect", "--format", f'{{{{index .Config.Labels "{LABEL}"}}}}', name
    )
    if found.returncode == 0:
        return found.stdout.strip() or "the image itself"
    dockerfile = FOLDER / f"{name.rpartition('/')[2].partition(':')[0]}.Dockerfile"
    if not dockerfile.is_file():
        raise FixConfigurationError(
            f"The image {name} is not here, and nothing can stand in for it.",
            code="image-missing",
            remedy=f"Run docker pull {name}.",
        )
    _make_base(engine)
    words = f"stand-in from Debian's packages ({RELEASE})"
    with tempfile.TemporaryDirectory() as work:
        context = Path(work, "context")
        shutil.copytree(FOLDER, context)
        shutil.copy(AUTHORITIES, context / "ca-certificates.crt")
        _build(engine, name, context / dockerfile.name, f"{LABEL}={words}")
    return words


def _build(engine: Engine, name: str, dockerfile: Path, label: str) -> None:
    engine.docker(
        *("build", "--quiet", "--tag", name, "--label", label),
        *("--file", str(dockerfile), str(dockerfile.parent)),
    )


def _make_base(engine: Engine) -> None:
    if engine.attempt("image", "inspect", BASE).returncode == 0:
        return
    if shutil.which("debootstrap") is None:
        raise FixConfigurationError(
            "debootstrap is not installed, which makes the root of the stand-ins.",
            code="program-missing",
            remedy="Run: apt-get install debootstrap",
        )
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        root, archive = Path(work, "root"), Path(work, "root.tar")
        _run(["debootstrap", "--variant=minbase", RELEASE, str(root)], CACHE / "debootstrap.log")
        _run(
            ["tar", "--one-file-system", "-C", str(root), "-cf", str(archive), "."],
            CACHE / "tar.log",
        )
        engine.docker("import", "-", BASE, data=archive)


def _run(words: Sequence[str], log: Path) -> None:
    with log.open("wb") as output:
        done = subprocess.run(words, stdout=output, stderr=output, check=False)
    if done.returncode:
        raise FixConfigurationError(
            f"`{words[0]}` failed with exit code {done.returncode}.",
            code="command-failed",
            remedy=f"Read {log}.",
        )


def provide_compose(engine: Engine) -> None:
    """Have ``docker compose``: this machine's, else Debian's in our own folder of plugins.

    Raises
    ------
    FixConfigurationError
        It is missing, and the engine is not our own.
    """
    if engine.attempt("compose", "version").returncode == 0:
        return
    folder = engine.environment.get("DOCKER_CONFIG")
    if folder is None:
        raise FixConfigurationError(
            "This machine's docker has no compose.",
            code="program-missing",
            remedy="Install docker's plugin compose (Debian 13: docker-compose).",
        )
    _make_base(engine)
    name = "segrelay-compose-plugins"
    _build(engine, name, FOLDER / "plugins.Dockerfile", f"{LABEL}=plugins")
    plugins = Path(folder, "cli-plugins")
    plugins.mkdir(parents=True, exist_ok=True)
    container = engine.docker("create", name).strip()
    try:
        for plugin in PLUGINS:
            engine.docker("cp", f"{container}:{_PLUGIN_FOLDER}/{plugin}", str(plugins / plugin))
    finally:
        engine.docker("rm", container)
